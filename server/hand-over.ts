/** To whom a leader that goes hands over. */

import type { NodeId } from "./raft/entry.ts";
import type { Raft } from "./raft/raft.ts";

export interface Acquaintance {
  readonly isConnected: (id: NodeId) => boolean;
  /** When it answered last, by the monotonic clock. */
  readonly answeredMs: (id: NodeId) => number;
  /** Whoever has answered since then is surely there. */
  readonly freshMs: number;
}

/** Of the voters that are there, the one that has most of the log; null where there is none. */
export function fittestSuccessor(
  { role, self, voters }: Raft,
  { isConnected, answeredMs, freshMs }: Acquaintance,
): NodeId | null {
  if (role.kind !== "leader") return null;
  const match = (id: NodeId): number => role.progress.get(id)?.match ?? 0;
  const isFresh = (id: NodeId): number => (answeredMs(id) >= freshMs ? 1 : 0);
  const found = voters
    .filter((id) => id !== self && isConnected(id))
    .sort((a, b) => isFresh(b) - isFresh(a) || match(b) - match(a));
  return found[0] ?? null;
}
