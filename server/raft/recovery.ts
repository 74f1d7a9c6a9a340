/**
 * Coming back with a log that has lost its end: what a node must not do until it has caught up, and
 * how it knows that it has.
 *
 * Raft takes it for granted that a log on disk stays what it was. Where it does not (a damaged record
 * is found, and what follows it cannot be vouched for), a node that went on as if nothing had happened
 * could give its vote to a candidate without an entry that it once acknowledged and that is committed
 * by its word (Alagappan et al., "Protocol-Aware Recovery for Consensus-Based Storage", FAST '18, §2.3:
 * truncating at the damage loses data for the whole cluster). Such a node is *recovering*:
 *
 * - It neither votes nor stands, in no form: no pre-vote, no `timeoutNow`. Its term still rises.
 * - It takes appends and acknowledges what is on its disk: that is as true as ever.
 * - It asks the leader of its term for a *recovery point*, the leader's last index on receipt.
 * - It is whole again once its log equals that leader's log up to that point, on disk, within that
 *   term. The note that it was recovering goes from the disk only then.
 *
 * **Why that is enough.** Let N have been damaged, with its term and vote intact, and let it get its
 * point from the leader L of term u. Whatever N acknowledged before was to leaders of terms t ≤ u.
 *
 * - t = u: the entry is in L's log, and L's log only grows as long as it leads, so the entry is at or
 *   below a point that L names later. (For this the answer must be to a question of this life, by its
 *   `requestId`: a late heartbeat of L, from before the acknowledgement, could name an older end.)
 * - t < u: if the entry is committed, or will be, it was in L's log when L was elected (leader
 *   completeness, Raft §5.4.3). That proof needs every voter of u to have still had, when it voted, what
 *   it had acknowledged in t. N did not vote after the damage; before it, it had everything.
 *
 * So a recovered N is in no state in which an undamaged N that follows L could not be, and the proof of
 * Raft goes through for the terms after u by induction. It does not matter whether L still leads: the
 * argument needs only that L was elected in u. No read round is needed, and none would help.
 *
 * **Late messages.** An acknowledgement of before the damage that reaches its leader late is counted
 * for a copy that is gone. The entry may be committed by it, with one copy fewer than it should have;
 * but it is of the leader's own term t, and by the above either N has got it back, or N has not voted,
 * and nobody is elected without another of those who acknowledged it. The leader that believes N to have
 * more than it has is told so by the question itself (`lastIndex`), again and again, because such a late
 * acknowledgement may bring the wrong belief back.
 *
 * **What it costs.** A recovering node does not count for elections. A majority of them cannot elect
 * anybody, even if together they have everything: they wait for the others, and invent nothing.
 */

import type { Index, NodeId, Term } from "./entry.ts";
import type { Leader } from "./role.ts";
import type { RecoveryPoint, RecoveryPointResponse } from "./message.ts";
import type { Raft } from "./raft.ts";

/** A place in the log of the leader of a term. */
interface Place {
  readonly term: Term;
  readonly index: Index;
}

export class Recovery {
  /** New to every life of this node, so that an answer to an earlier life is not taken for ours. */
  readonly #requestId: number;
  /** Ticks since the leader was last asked. */
  #askElapsed = 0;
  /** How far the leader's log reached when it was asked. */
  #point: Place | null = null;
  /** Up to where the own log is known to equal the leader's. */
  #agreed: Place | null = null;

  constructor(requestId: number) {
    this.#requestId = requestId;
  }

  /** Asks the leader, now and then: the question may be lost, and the next leader has another answer. */
  tick(raft: Raft): void {
    const { leaderId } = raft;
    this.#askElapsed++;
    if (leaderId === null || this.#askElapsed < raft.options.heartbeatTicks) return;
    this.#askElapsed = 0;
    raft.send(leaderId, {
      type: "recoveryPoint",
      term: raft.term,
      requestId: this.#requestId,
      lastIndex: raft.log.lastIndex,
    });
  }

  /** The leader of the current term has answered. Its first answer is the nearest. */
  answered(raft: Raft, { requestId, lastIndex }: RecoveryPointResponse): void {
    if (requestId !== this.#requestId || this.#point?.term === raft.term) return;
    this.#point = { term: raft.term, index: lastIndex };
  }

  /** The own log, written or not, equals that of the current term's leader up to `through`. */
  agreed(raft: Raft, through: Index): void {
    if (this.#agreed?.term === raft.term && this.#agreed.index >= through) return;
    this.#agreed = { term: raft.term, index: through };
  }

  /** Whether everything up to the current leader's point is here, on disk, and the same. */
  isComplete({ term, log }: Raft): boolean {
    const point = this.#point;
    if (point?.term !== term || log.pendingSnapshot !== null) return false;
    const agreed = this.#agreed?.term === term ? this.#agreed.index : 0;
    // What is committed is in the leader's log too, said or not.
    return Math.max(agreed, log.commitIndex) >= point.index && log.stableIndex >= point.index;
  }
}

/** On the leader: one of its members has lost the end of its log, and asks what it has to catch up with. */
export function handleRecoveryPoint(
  raft: Raft,
  leader: Leader,
  { from, message }: { from: NodeId; message: RecoveryPoint },
): void {
  const progress = leader.progress.get(from);
  if (!progress) return;
  progress.recentlyActive = true;
  progress.lost(message.lastIndex);
  const { requestId } = message;
  const { lastIndex } = raft.log;
  raft.send(from, { type: "recoveryPointResponse", term: raft.term, requestId, lastIndex });
}
