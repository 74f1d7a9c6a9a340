/** The member list: who votes, who learns, and where each one is to be found. */

import { assert, unreachable } from "./assert.ts";
import { nodeId, type NodeId } from "./entry.ts";

/**
 * - `learner`: receives the log and counts for nothing (thesis §4.2.1).
 * - `promoted`: still a learner. Once that is committed, the next change makes it a voter.
 * - `voter`: counts for quorums.
 *
 * Whether a newcomer counts has to be told by the log alone. If it began to count with the news that its
 * promotion is committed, those who lack the news when the leader is lost could not tell it from one
 * that never was, and might wait for the lost one's word for ever. So it takes two entries: the first
 * is committed by a majority without the newcomer, the second counts from the moment it is in the log.
 */
export type MemberRole = "voter" | "promoted" | "learner";

export interface Member {
  readonly id: NodeId;
  readonly role: MemberRole;
  /** `host:port` of the peer port. */
  readonly raft: string;
  /** `host:port` of the HTTP port. */
  readonly http: string;
  /**
   * Names one life of one data directory; a wiped directory gets another one. Empty for a learner whose
   * machine has not come yet.
   */
  readonly incarnation: string;
}

/** More would not fit into what two nodes tell each other when they meet; five or seven is usual. */
export const membersMax = 16;
/** Characters of an address or an incarnation. */
const textLengthMax = 256;
/** Retired incarnations that are remembered; beyond it the oldest is forgotten. */
export const retiredMax = 64;

/** Members sorted by id, ids unique, at least one voter; no member's incarnation is retired. */
export interface Configuration {
  /** The index of the entry that brought it; 0 for the one the cluster was formed with. */
  readonly revision: number;
  readonly members: readonly Member[];
  /**
   * Incarnations that were members and are not to come back, oldest first. They stand here and not in
   * the state, so that they come into force, and are taken back, with the very change that retires them.
   */
  readonly retired: readonly string[];
  /**
   * Who takes the places of members that were removed, each in the role it is to have in the end:
   * whoever leads adds it as a learner, and promotes it when it has caught up. At most one an id.
   */
  readonly successors: readonly Member[];
}

/** The newest in the log, and the newest that is known to be committed. */
export interface Configurations {
  readonly current: Configuration;
  readonly committed: Configuration;
}

/** Checks the invariants of `Configuration` and brings the members into order. */
export function configuration(
  members: readonly Member[],
  rest: Partial<Omit<Configuration, "members">> = {},
): Configuration {
  const { revision = 0, retired = [], successors = [] } = rest;
  const sorted = [...members].sort((a, b) => a.id - b.id);
  assert(sorted.length <= membersMax, "a configuration has a bounded number of members");
  assert(retired.length <= retiredMax, "a configuration remembers a bounded number");
  assert(successors.length <= membersMax, "a configuration awaits a bounded number");
  for (let i = 1; i < sorted.length; i++) {
    assert(sorted[i - 1]?.id !== sorted[i]?.id, "a member is listed once");
  }
  assert(
    sorted.some((member) => member.role === "voter"),
    "a configuration has a voter",
  );
  const isRetired = ({ incarnation }: Member): boolean => retired.includes(incarnation);
  assert(!sorted.some(isRetired), "who is retired is no member");
  return { revision, members: sorted, retired, successors };
}

export const voters = (config: Configuration): NodeId[] =>
  config.members.filter((member) => member.role === "voter").map((member) => member.id);

export const learners = (config: Configuration): NodeId[] =>
  config.members.filter((member) => member.role === "learner").map((member) => member.id);

/** Whether somebody else could lead, and give this node back what it has lost. */
export const hasOtherVoter = ({ members }: Configuration, self: NodeId): boolean =>
  members.some(({ id, role }) => role === "voter" && id !== self);

export const memberOf = (config: Configuration, id: NodeId): Member | undefined =>
  config.members.find((member) => member.id === id);

/**
 * One member at a time is what makes old and new majorities overlap (thesis §4.1): at most one id
 * changes, comes or goes. A voter with another incarnation would be another voter, so that takes two
 * changes at least; who becomes one was promoted before; and who goes is retired. No change at all is
 * one of the successors.
 */
export function isSingleChange(before: Configuration, after: Configuration): boolean {
  const ids = new Set([...before.members, ...after.members].map((member) => member.id));
  let changes = 0;
  for (const id of ids) {
    const [old, now] = [memberOf(before, id), memberOf(after, id)];
    if (old && now && isSameMember(old, now)) continue;
    changes++;
    if (now && !mayBecome(now.role, old?.role)) return false;
    if (old?.incarnation === now?.incarnation) continue;
    const isVoterReplaced = old && now && (old.role !== "learner" || now.role !== "learner");
    const isForgotten = old && old.incarnation !== "" && !after.retired.includes(old.incarnation);
    if (isVoterReplaced || isForgotten) return false;
  }
  return changes === 1 || (changes === 0 && before.successors !== after.successors);
}

function mayBecome(role: MemberRole, before: MemberRole | undefined): boolean {
  switch (role) {
    case "learner":
      return true;
    case "promoted":
      return before === "learner";
    case "voter":
      return before === "voter" || before === "promoted";
    default:
      return unreachable(role);
  }
}

const isSameMember = (a: Member, b: Member): boolean =>
  a.role === b.role && a.incarnation === b.incarnation && a.raft === b.raft && a.http === b.http;

/** JSON in UTF-8: rare, small, and readable in a hex dump of the log. */
export const encodeConfiguration = (config: Configuration): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(config));

/** Throws where the bytes are not what `encodeConfiguration` wrote. */
export function decodeConfiguration(data: Uint8Array): Configuration {
  const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
  assert(typeof value === "object" && value !== null, "a configuration is an object");
  const { revision, members, retired, successors } = value as Record<string, unknown>;
  assert(Number.isSafeInteger(revision), "a configuration has a revision");
  assert(Array.isArray(retired) && retired.every(isText), "who is retired is listed");
  return configuration(decodeMembers(members), {
    revision: revision as number,
    retired,
    successors: decodeMembers(successors),
  });
}

/** Throws where `value` is not a list of members, as JSON has it. */
export function decodeMembers(value: unknown): Member[] {
  assert(Array.isArray(value), "members are listed");
  return value.map(decodeMember);
}

const isText = (value: unknown): value is string =>
  typeof value === "string" && value.length <= textLengthMax;

function decodeMember(value: unknown): Member {
  assert(typeof value === "object" && value !== null, "a member is an object");
  const { id, role, raft, http, incarnation } = value as Record<string, unknown>;
  assert(typeof id === "number" && Number.isInteger(id), "a member has an id");
  assert(id > 0 && id < 2 ** 32, "a member's id is one");
  assert(role === "voter" || role === "promoted" || role === "learner", "a member has a role");
  assert(isText(raft) && isText(http), "a member has two addresses");
  assert(isText(incarnation), "a member has an incarnation");
  return { id: nodeId(id), role, raft, http, incarnation };
}
