/** Whom a leader that goes hands over to. */

import type { Network } from "./ports.ts";
import type { NodeId } from "./raft/entry.ts";
import type { Raft } from "./raft/raft.ts";

export interface SuccessorOptions {
  readonly self: NodeId;
  readonly raft: Raft;
  readonly network: Network;
  /** When a member last answered this leader; null: never. */
  readonly answeredMs: (id: NodeId) => number | null;
  /** Who has answered since then comes first. */
  readonly freshMs: number;
}

/** The connected voter that has most of the log; null where there is none, or nothing to hand over. */
export function successor(options: SuccessorOptions): NodeId | null {
  const { self, raft, network, answeredMs, freshMs } = options;
  const { role } = raft;
  if (role.kind !== "leader") return null;
  const match = (id: NodeId): number => role.progress.get(id)?.match ?? 0;
  const isFresh = (id: NodeId): number => ((answeredMs(id) ?? 0) >= freshMs ? 1 : 0);
  const [best = null] = raft.voters
    .filter((id) => id !== self && network.isConnected(id))
    .sort((a, b) => isFresh(b) - isFresh(a) || match(b) - match(a));
  return best;
}
