/** Who a node says it is when two nodes meet, as strict JSON. */

import { isAddressText } from "./address.ts";
import { membersMax } from "./raft/configuration.ts";
import { nodeId, type NodeId } from "./raft/entry.ts";

export interface PeerMember {
  readonly id: NodeId;
  /** `host:port` of the peer port. */
  readonly raft: string;
  /** `host:port` of the HTTP port. */
  readonly http: string;
  /** 32 hex digits; null as long as that member's machine has not come. */
  readonly incarnation: string | null;
}

export interface PeerIdentity {
  readonly nodeId: NodeId;
  /** 32 hex digits that name one life of one data directory. */
  readonly incarnation: string;
  /** 32 hex digits; null until the cluster has formed. */
  readonly clusterId: string | null;
  readonly members: readonly PeerMember[];
  /** Of the configuration these members are of; 0 for those a cluster is, or is to be, formed with. */
  readonly revision: number;
}

const nodeIdMax = 2 ** 32 - 1;

/** Null where `value` is not exactly a `PeerIdentity`: a field too many is as wrong as one too few. */
export function readIdentity(value: unknown): PeerIdentity | null {
  const fields = fieldsOf(value, 5);
  if (fields === null) return null;
  const { nodeId: id, incarnation, clusterId, members, revision } = fields;
  if (!isNodeId(id) || !isHexId(incarnation)) return null;
  if (clusterId !== null && !isHexId(clusterId)) return null;
  if (!isRevision(revision)) return null;
  if (!Array.isArray(members) || members.length > membersMax) return null;
  const read: PeerMember[] = [];
  for (const item of members) {
    const member = readMember(item);
    if (member === null || read.some((other) => other.id === member.id)) return null;
    read.push(member);
  }
  return { nodeId: nodeId(id), incarnation, clusterId, members: read, revision };
}

function readMember(value: unknown): PeerMember | null {
  const fields = fieldsOf(value, 4);
  if (fields === null) return null;
  const { id, raft, http, incarnation } = fields;
  if (!isNodeId(id) || !isAddress(raft) || !isAddress(http)) return null;
  if (incarnation !== null && !isHexId(incarnation)) return null;
  return { id: nodeId(id), raft, http, incarnation };
}

/** Exactly the fields that travel, whatever else the caller's objects carry. */
export function identityFields({
  nodeId: id,
  incarnation,
  clusterId,
  members,
  revision,
}: PeerIdentity): PeerIdentity {
  const listed = members.map((member) => ({
    id: member.id,
    raft: member.raft,
    http: member.http,
    incarnation: member.incarnation,
  }));
  return { nodeId: id, incarnation, clusterId, members: listed, revision };
}

/** The properties of a plain object that has exactly `count` of them. */
export function fieldsOf(value: unknown, count: number): Record<string, unknown> | null {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  return Object.keys(value).length === count ? (value as Record<string, unknown>) : null;
}

export const isNodeId = (value: unknown): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= nodeIdMax;

const isRevision = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;

const isHexId = (value: unknown): value is string =>
  typeof value === "string" && /^[0-9a-f]{32}$/.test(value);

const isAddress = (value: unknown): value is string =>
  typeof value === "string" && isAddressText(value);
