/** `HOST:PORT`, as people, other nodes and the log of members write it: one rule for all of them. */

import { isIP } from "node:net";
import type { SocketAddress } from "./socket/socket.ts";

/** A DNS name has no more (RFC 1035 §2.3.4). */
const hostLengthMax = 253;

/**
 * Null where `text` is no address. A host is a name in ASCII letters, digits, `.`, `-` and `_`, or an
 * IPv4 address, or an IPv6 address in brackets; the port is from 1 to 65535, without leading zeros, so
 * that an address is written in one way only.
 */
export function parseAddress(text: string): SocketAddress | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([\w.-]+)):([1-9]\d{0,4})$/.exec(text);
  if (match === null) return null;
  const [, six, name = ""] = match;
  const port = Number(match[3]);
  if (port > 65_535 || (six ?? name).length > hostLengthMax) return null;
  if (six !== undefined && isIP(six) !== 6) return null;
  return { host: six ?? name, port };
}

export const isAddressText = (text: string): boolean => parseAddress(text) !== null;

export const formatAddress = ({ host, port }: SocketAddress): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
