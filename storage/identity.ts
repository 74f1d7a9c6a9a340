/** Who this directory belongs to: written at the first start and when the cluster forms. */

import { crc32 } from "node:zlib";
import { configuration, decodeMembers, type Member } from "../server/raft/configuration.ts";
import { nodeId, type NodeId } from "../server/raft/entry.ts";
import { readFully, writeFully, type Disk } from "./disk.ts";

export interface Identity {
  readonly nodeId: NodeId;
  /** 32 hex digits: one life of this directory. */
  readonly incarnation: string;
  /** 32 hex digits; null until the cluster has formed. */
  readonly clusterId: string | null;
  /** The members at formation; empty before. */
  readonly members: readonly Member[];
}

export type ReadIdentity =
  | { readonly kind: "none" }
  | { readonly kind: "found"; readonly identity: Identity }
  | { readonly kind: "damaged"; readonly path: string; readonly detail: string };

const fileName = "identity";
const format = 1;
const bytesMax = 1 << 20;

export function readIdentity(disk: Disk, directory: string): ReadIdentity {
  const path = `${directory}/${fileName}`;
  if (!disk.exists(path)) return { kind: "none" };
  const file = disk.open(path, "read");
  const bytes = Buffer.alloc(Math.min(file.size(), bytesMax));
  readFully(file, 0, bytes);
  file.close();
  const identity = decodeIdentity(bytes);
  if (identity) return { kind: "found", identity };
  return { kind: "damaged", path, detail: "it contradicts its checksum" };
}

/** Replaces the file as a whole; durable when it returns. */
export function writeIdentity(disk: Disk, directory: string, identity: Identity): void {
  const path = `${directory}/${fileName}`;
  const temporary = `${path}.new`;
  if (disk.exists(temporary)) disk.remove(temporary);
  const file = disk.open(temporary, "create");
  writeFully(file, 0, encodeIdentity(identity));
  file.sync();
  file.close();
  disk.rename(temporary, path);
  disk.syncDirectory(directory);
}

/** One line of JSON, and its checksum on the next: readable by anyone, changeable by nobody unnoticed. */
function encodeIdentity(identity: Identity): Uint8Array {
  const members = identity.members.length === 0 ? null : identity.members;
  const text = JSON.stringify({
    format,
    nodeId: identity.nodeId,
    incarnation: identity.incarnation,
    clusterId: identity.clusterId,
    members,
  });
  return new TextEncoder().encode(`${text}\n${crc32(text)}\n`);
}

function decodeIdentity(bytes: Uint8Array): Identity | null {
  const [text = "", checksum] = new TextDecoder().decode(bytes).split("\n");
  if (checksum !== String(crc32(text))) return null;
  try {
    return identityOf(JSON.parse(text));
  } catch {
    // An empty line is its own checksum, for one.
    return null;
  }
}

const hexId = /^[0-9a-f]{32}$/;

/** Throws, or returns null, where `value` is not what `encodeIdentity` wrote. */
function identityOf(value: unknown): Identity | null {
  const found = value as Readonly<Record<string, unknown>>;
  const { nodeId: id, incarnation, clusterId, members } = found;
  if (found["format"] !== format) return null;
  if (typeof id !== "number" || !Number.isInteger(id) || id < 1 || id >= 2 ** 32) return null;
  if (typeof incarnation !== "string" || !hexId.test(incarnation)) return null;
  if (clusterId !== null && (typeof clusterId !== "string" || !hexId.test(clusterId))) return null;
  const checked = members === null ? [] : configuration(decodeMembers(members)).members;
  return { nodeId: nodeId(id), incarnation, clusterId, members: checked };
}
