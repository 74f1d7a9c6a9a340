/** `4=127.0.0.1:63004/127.0.0.1:8004`: a member as people write it. */

import { isIP } from "node:net";
import { isNodeId } from "./identity.ts";
import { nodeId, type NodeId } from "./raft/entry.ts";

export interface Address {
  /** A name, an IPv4 address, or an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
}

/**
 * `HOST:PORT`, an IPv6 address in brackets; null where it is none. A host is a name as the DNS has it, so
 * that it is as long in any encoding, and whatever is in the log can be dialled, or at least looked up.
 */
export function parseAddressText(text: string): Address | null {
  const match = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([A-Za-z0-9._-]{1,253})):([1-9]\d{0,4})$/.exec(text);
  const [, bracketed, name = "", digits] = match ?? [];
  const port = Number(digits);
  if (!match || port > 65_535 || (bracketed !== undefined && isIP(bracketed) !== 6)) return null;
  return { host: bracketed ?? name, port };
}

export const isAddressText = (text: string): boolean => parseAddressText(text) !== null;

/** Null where `text` is no id in decimal digits. */
export function parseMemberId(text: string): NodeId | null {
  const id = /^[1-9]\d{0,9}$/.test(text) ? Number(text) : 0;
  return isNodeId(id) ? nodeId(id) : null;
}

/** Null where `text` is not of that form. */
export function parseMemberText(
  text: string,
): { readonly id: NodeId; readonly raft: string; readonly http: string } | null {
  const [, digits = "", raft = "", http = ""] = /^(\d+)=([^/]+)\/([^/]+)$/.exec(text) ?? [];
  const id = parseMemberId(digits);
  return id !== null && isAddressText(raft) && isAddressText(http) ? { id, raft, http } : null;
}
