/**
 * Whose majorities count: the configurations in a log, as an observer reads them off it, and what each
 * asks of a commit, of an election, and of those who are about to lose a directory.
 */

import {
  configuration as checked,
  decodeConfiguration,
  type Configuration,
  type Member,
} from "../../server/raft/configuration.ts";
import type { Entry } from "../../server/raft/entry.ts";
import { majority } from "../../server/raft/quorum.ts";

export interface DatedConfiguration {
  /** Of its entry; 0 for the one the cluster was formed with. */
  readonly index: number;
  readonly configuration: Configuration;
}

/** The configurations of one log, oldest first; the first is in force where the log begins. */
export type Trail = readonly DatedConfiguration[];

export const configurationIn = ({ kind, data }: Entry): Configuration | null =>
  kind === "configuration" ? decodeConfiguration(data) : null;

const votersIn = ({ members }: Configuration): Member[] =>
  members.filter(({ role }) => role === "voter");

/** Whether most of the voters are such. */
export function isMajority(
  configuration: Configuration,
  isSuch: (voter: Member) => boolean,
): boolean {
  const all = votersIn(configuration);
  return all.filter(isSuch).length >= majority(all.length);
}

/** The one in force at `at`. */
export function inForceAt(trail: Trail, at: number): DatedConfiguration | undefined {
  return trail.findLast(({ index }) => index <= at) ?? trail[0];
}

/**
 * Whether `at` may count as committed for a leader with this trail: by the configuration in force there,
 * or by a later one of its log.
 */
export function mayBeCommitted(
  trail: Trail,
  at: number,
  isHolder: (voter: Member) => boolean,
): boolean {
  const first = trail.findLastIndex(({ index }) => index <= at);
  const later = trail.slice(Math.max(0, first));
  return later.some(({ configuration }) => isMajority(configuration, isHolder));
}

/** A voter whom `after` brings and whom `before` did not have as promoted: it was never agreed on. */
export const unheraldedVoter = (before: Configuration, after: Configuration): Member | undefined =>
  votersIn(after).find(({ incarnation }) => {
    const member = before.members.find((other) => other.incarnation === incarnation);
    return member?.role !== "voter" && member?.role !== "promoted";
  });

/** The entry that makes a promoted member a voter follows by itself, wherever its directory is by then. */
export function afterPromotion(before: Configuration): Configuration[] {
  if (before.members.every(({ role }) => role !== "promoted")) return [];
  const members = before.members.map((member): Member => {
    return member.role === "promoted" ? { ...member, role: "voter" } : member;
  });
  return [checked(members, before)];
}
