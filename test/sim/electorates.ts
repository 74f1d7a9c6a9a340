/**
 * Whose majorities count: the configurations in a log, as an observer reads them off it, and what each
 * asks of a commit, of an election, and of those who are about to lose a directory.
 */

import {
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

export const votersIn = ({ members }: Configuration): Member[] =>
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
 * Whether those who are such suffice where the trail's element number `place` is the newest. A voter
 * whom a change has brought counts for nothing before that change is committed: until then a majority
 * of those before it is asked for as well.
 */
export function suffices(
  trail: Trail,
  { place, committed }: { place: number; committed: number },
  isSuch: (voter: Member) => boolean,
): boolean {
  const newest = trail[place];
  if (!newest || !isMajority(newest.configuration, isSuch)) return false;
  const before = trail[place - 1];
  if (!before || newest.index <= committed) return true;
  const earlier = votersIn(before.configuration).map(({ incarnation }) => incarnation);
  const isNewcomer = ({ incarnation }: Member): boolean => !earlier.includes(incarnation);
  if (!votersIn(newest.configuration).some(isNewcomer)) return true;
  return isMajority(before.configuration, isSuch);
}

/**
 * Whether `at` may count as committed for a leader with this trail: by the configuration in force there,
 * or by a later one of its log.
 */
export function mayBeCommitted(
  trail: Trail,
  { at, committed }: { at: number; committed: number },
  isHolder: (voter: Member) => boolean,
): boolean {
  const first = Math.max(
    0,
    trail.findLastIndex(({ index }) => index <= at),
  );
  for (let place = first; place < trail.length; place++) {
    if (suffices(trail, { place, committed }, isHolder)) return true;
  }
  return false;
}
