/** Majority arithmetic over the voters of one configuration. */

import type { NodeId } from "./entry.ts";

/** The smallest number of voters any two of which sets overlap in a member. */
export const majority = (voterCount: number): number => Math.floor(voterCount / 2) + 1;

/**
 * The largest value that a majority of voters has reached, given each one's value: the commit rule
 * for match indexes, and the release rule for read rounds. 0 without voters.
 */
export function reachedByMajority(ids: readonly NodeId[], valueOf: (id: NodeId) => number): number {
  if (ids.length === 0) return 0;
  const values = ids.map(valueOf).sort((a, b) => b - a);
  return values[majority(ids.length) - 1] ?? 0;
}

export type Tally = "won" | "lost" | "open";

/** How an election stands. Votes of nodes that are not voters do not count. */
export function tally(ids: readonly NodeId[], votes: ReadonlyMap<NodeId, boolean>): Tally {
  let granted = 0;
  let refused = 0;
  for (const id of ids) {
    const vote = votes.get(id);
    if (vote === true) granted++;
    else if (vote === false) refused++;
  }
  const needed = majority(ids.length);
  if (granted >= needed) return "won";
  if (ids.length - refused < needed) return "lost";
  return "open";
}
