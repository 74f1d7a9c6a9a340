/** The member list: who votes, who learns, and where each one is to be found. */

import { assert } from "./assert.ts";
import { nodeId, type NodeId } from "./entry.ts";

/** A voter counts for quorums; a learner only receives the log (thesis §4.2.1). */
export type MemberRole = "voter" | "learner";

export interface Member {
  readonly id: NodeId;
  readonly role: MemberRole;
  /** `host:port` of the peer port. */
  readonly raft: string;
  /** `host:port` of the HTTP port. */
  readonly http: string;
  /** Names one life of one data directory; a wiped directory gets another one. */
  readonly incarnation: string;
}

/** Sorted by id, ids unique, at least one voter. */
export interface Configuration {
  readonly members: readonly Member[];
}

/** Checks the invariants of `Configuration` and brings the members into order. */
export function configuration(members: readonly Member[]): Configuration {
  const sorted = [...members].sort((a, b) => a.id - b.id);
  for (let i = 1; i < sorted.length; i++) {
    assert(sorted[i - 1]?.id !== sorted[i]?.id, "a member is listed once");
  }
  assert(
    sorted.some((member) => member.role === "voter"),
    "a configuration has a voter",
  );
  return { members: sorted };
}

export const voters = (config: Configuration): NodeId[] =>
  config.members.filter((member) => member.role === "voter").map((member) => member.id);

export const learners = (config: Configuration): NodeId[] =>
  config.members.filter((member) => member.role === "learner").map((member) => member.id);

/**
 * One member at a time is what makes old and new majorities overlap (thesis §4.1): at most one id
 * changes its voting role, comes or goes.
 */
export function differsByOneMember(before: Configuration, after: Configuration): boolean {
  const role = (config: Configuration, id: NodeId): MemberRole | undefined =>
    config.members.find((member) => member.id === id)?.role;
  const ids = new Set([...before.members, ...after.members].map((member) => member.id));
  let changes = 0;
  for (const id of ids) if (role(before, id) !== role(after, id)) changes++;
  return changes === 1;
}

/** JSON in UTF-8: rare, small, and readable in a hex dump of the log. */
export const encodeConfiguration = (config: Configuration): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(config.members));

/** Throws where the bytes are not what `encodeConfiguration` wrote. */
export function decodeConfiguration(data: Uint8Array): Configuration {
  const members: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
  assert(Array.isArray(members), "a configuration is a list of members");
  return configuration(members.map(decodeMember));
}

function decodeMember(value: unknown): Member {
  assert(typeof value === "object" && value !== null, "a member is an object");
  const { id, role, raft, http, incarnation } = value as Record<string, unknown>;
  assert(typeof id === "number" && Number.isInteger(id), "a member has an id");
  assert(id > 0 && id < 2 ** 32, "a member's id is one");
  assert(role === "voter" || role === "learner", "a member is a voter or a learner");
  assert(typeof raft === "string" && typeof http === "string", "a member has two addresses");
  assert(typeof incarnation === "string", "a member has an incarnation");
  return { id: nodeId(id), role, raft, http, incarnation };
}
