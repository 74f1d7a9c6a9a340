/** What one node's core says to another's. Every field means one thing, in every type that has it. */

import type { Configuration } from "./configuration.ts";
import type { Entry, Index, NodeId, Term } from "./entry.ts";

/** Asks "would you vote for me in `term`?" and changes nobody's term (thesis §9.6). */
export interface PreVote {
  readonly type: "preVote";
  /** The term the sender would campaign in: its own plus one. */
  readonly term: Term;
  readonly lastLogIndex: Index;
  readonly lastLogTerm: Term;
}

export interface PreVoteResponse {
  readonly type: "preVoteResponse";
  /** The asked term where granted; the responder's own where not. */
  readonly term: Term;
  readonly granted: boolean;
}

/** Asks for the vote of `term` (Raft §5.2). */
export interface Vote {
  readonly type: "vote";
  readonly term: Term;
  readonly lastLogIndex: Index;
  readonly lastLogTerm: Term;
  /** The old leader asked for this election, so its lease does not stand in the way (thesis §4.2.3). */
  readonly transfer: boolean;
}

/** Leaves only after the vote is on disk. */
export interface VoteResponse {
  readonly type: "voteResponse";
  readonly term: Term;
  readonly granted: boolean;
}

/** Entries that follow (previousIndex, previousTerm), and how far the leader has committed (Raft §5.3). */
export interface Append {
  readonly type: "append";
  readonly term: Term;
  readonly previousIndex: Index;
  readonly previousTerm: Term;
  readonly commitIndex: Index;
  readonly entries: readonly Entry[];
}

/** Everything up to `matchIndex` is on the sender's disk and equal to the leader's log. */
export interface AppendAccepted {
  readonly type: "appendAccepted";
  readonly term: Term;
  readonly matchIndex: Index;
}

/**
 * The sender has no entry (previousIndex, previousTerm). The hint lets the leader skip a whole term
 * of conflicts at once (Raft §5.3, last paragraphs).
 */
export interface AppendRejected {
  readonly type: "appendRejected";
  readonly term: Term;
  /** Echo of the refused append, by which a late rejection is recognised. */
  readonly previousIndex: Index;
  /** The largest index at which the logs may still agree, and the sender's term there. */
  readonly hintIndex: Index;
  readonly hintTerm: Term;
}

/** "I lead `term`", without entries. */
export interface Heartbeat {
  readonly type: "heartbeat";
  readonly term: Term;
  /** Never past what the receiver is known to hold. */
  readonly commitIndex: Index;
  /** The newest read round that waits for a quorum; 0 when none does. */
  readonly readRound: number;
}

export interface HeartbeatResponse {
  readonly type: "heartbeatResponse";
  readonly term: Term;
  /** Echo: the sender still followed this leader when it saw that round. */
  readonly readRound: number;
}

/** The entries the receiver needs are compacted; a snapshot up to `lastIndex` takes their place (Raft §7). */
export interface Snapshot {
  readonly type: "snapshot";
  readonly term: Term;
  readonly lastIndex: Index;
  readonly lastTerm: Term;
  /** As of `lastIndex`. */
  readonly configuration: Configuration;
}

/** Stand for election now: the leader hands over (thesis §3.10). */
export interface TimeoutNow {
  readonly type: "timeoutNow";
  readonly term: Term;
}

/** A follower asks up to which index it must have applied to answer a linearizable read (thesis §6.4). */
export interface ReadIndex {
  readonly type: "readIndex";
  readonly term: Term;
  /** Chosen by the asking node; means nothing to the leader. */
  readonly requestId: number;
}

export interface ReadIndexResponse {
  readonly type: "readIndexResponse";
  readonly term: Term;
  readonly requestId: number;
  readonly readIndex: Index;
}

/** A node whose log has lost its end asks the leader how far it must catch up (`recovery.ts`). */
export interface RecoveryPoint {
  readonly type: "recoveryPoint";
  readonly term: Term;
  /** New to every life of the asking node; means nothing to the leader. */
  readonly requestId: number;
  /** Where the asking node's log ends now, whatever it acknowledged before. */
  readonly lastIndex: Index;
}

export interface RecoveryPointResponse {
  readonly type: "recoveryPointResponse";
  readonly term: Term;
  readonly requestId: number;
  /** The leader's own last index, taken after the question had arrived. */
  readonly lastIndex: Index;
}

export type Message =
  | PreVote
  | PreVoteResponse
  | Vote
  | VoteResponse
  | Append
  | AppendAccepted
  | AppendRejected
  | Heartbeat
  | HeartbeatResponse
  | Snapshot
  | TimeoutNow
  | ReadIndex
  | ReadIndexResponse
  | RecoveryPoint
  | RecoveryPointResponse;

/** A message with its address. The sender is the node that produced it. */
export interface Envelope {
  readonly to: NodeId;
  readonly message: Message;
}
