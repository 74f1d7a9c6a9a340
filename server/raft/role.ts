/** The four roles. Each holds its own state; a transition replaces the whole object (never field by field). */

import type { CatchUp } from "./catch-up.ts";
import type { Index, NodeId } from "./entry.ts";
import type { Progress } from "./progress.ts";
import type { ReadRounds } from "./read-rounds.ts";

export interface Follower {
  readonly kind: "follower";
  /** Who leads this term; null until it has been heard from. */
  leaderId: NodeId | null;
  /** Ticks since the leader was last heard from. */
  electionElapsed: number;
  /** Drawn anew at each transition, so that two nodes rarely stand at once (Raft §5.2). */
  readonly electionTimeout: number;
}

/** Asks whether an election could be won, before it disturbs anybody's term (thesis §9.6). */
export interface PreCandidate {
  readonly kind: "preCandidate";
  readonly votes: Map<NodeId, boolean>;
  electionElapsed: number;
  readonly electionTimeout: number;
}

export interface Candidate {
  readonly kind: "candidate";
  readonly votes: Map<NodeId, boolean>;
  electionElapsed: number;
  readonly electionTimeout: number;
}

export interface Transfer {
  readonly to: NodeId;
  elapsed: number;
  /** Whether the target was told to stand. */
  asked: boolean;
}

/**
 * A voter that was removed is told of it, and of what was committed until then: it has clients who wait for
 * entries that it has passed on, and learns of them from nobody else.
 */
export interface Parting {
  readonly progress: Progress;
  /** The entry that removes it. */
  readonly through: Index;
}

export interface Leader {
  readonly kind: "leader";
  /** Of every member of the current configuration, the leader itself included. */
  readonly progress: Map<NodeId, Progress>;
  readonly parting: Map<NodeId, Parting>;
  readonly catchUp: CatchUp;
  readonly reads: ReadRounds;
  /** Reads that came before an entry of this term was committed (etcd issue 7331). */
  readonly earlyReads: { from: NodeId; requestId: number }[];
  heartbeatElapsed: number;
  quorumCheckElapsed: number;
  transfer: Transfer | null;
  /** What was proposed in this term and is not yet committed, a part per proposal, oldest first. */
  readonly uncommitted: { last: Index; bytes: number }[];
  /** The sum over `uncommitted`. */
  uncommittedBytes: number;
  /** The time of the newest entry: the next one is not allowed to be older. */
  logTimeMs: number;
}

export type Role = Follower | PreCandidate | Candidate | Leader;
