/**
 * # How this Raft works
 *
 * This directory is the consensus algorithm and nothing else: no socket, no file, no clock, no
 * random number of its own, no `await`. A `Raft` is a state machine. Messages, ticks and proposals
 * go in; a `Ready` comes out and says what to send, what to write and what may be applied. The same
 * inputs give the same outputs, always, which is what makes it possible to test it by transcripts
 * and to run thousands of years of it in a simulator.
 *
 * References are to "In Search of an Understandable Consensus Algorithm" (Ongaro and Ousterhout,
 * extended version; "Raft §n") and to Ongaro's dissertation ("thesis §n").
 *
 * **The log.** Every node keeps a list of entries. An entry has an index, the term of the leader
 * that proposed it, and bytes. Two logs that have the same term at an index are equal up to there
 * (log matching, Raft §5.3): a leader never writes two entries to one place in one term, and a
 * follower takes an entry only behind one that it has in common with the leader. An entry is
 * *committed* once it is on the disks of a majority and can therefore not be lost; committed entries
 * are applied in order, on every node, to the same state machine.
 *
 * **Terms and elections** (`election.ts`, Raft §5.2, §5.4). A term has at most one leader, because a
 * node gives one vote a term and writes it to disk before it says so. A node that has not heard from
 * a leader for a random time first asks whether it would win (*PreVote*, thesis §9.6): this changes
 * nobody's term, so a node that was cut off comes back without deposing anyone. If a majority says
 * yes it raises its term and asks for real votes. A vote goes only to a log at least as complete as
 * the voter's own, so whoever wins has every committed entry (leader completeness). A node that
 * hears from a living leader ignores other candidates altogether (thesis §4.2.3).
 *
 * **Replication** (`leader.ts`, `follower.ts`, `progress.ts`). The leader sends each follower the
 * entries it lacks, many to a message and several messages ahead of the answers, within a window.
 * The first append of a term is a probe: the follower refuses it if the logs part earlier and hints
 * where, whole terms at a time. A leader commits an entry when a majority has it *and it is of its
 * own term* (Raft §5.4.2, figure 8: an older one could still be replaced); its first act is an empty
 * entry that brings the older ones along. It sends before its own disk is done and counts itself
 * only afterwards (thesis §10.2.1).
 *
 * **Staying honest** (thesis §6.2). A leader that hears from no majority within an election timeout
 * steps down (*CheckQuorum*): it could not commit anyway, and its clients should look elsewhere. While
 * everybody has everything and nobody waits, heartbeats only have to come in time for that, and for the
 * followers' patience: they are further apart then, since nothing else wakes an idle node as often.
 *
 * **Reads** (`read-rounds.ts`, thesis §6.4). A linearizable read needs no log entry. The leader notes
 * its commit index, asks a majority "am I still your leader?" by a numbered heartbeat round, and the
 * read may be answered, here or on the follower that asked, once that index is applied. One round
 * serves every read that came before it. A follower that asks is itself an answer, though for its own
 * reads only: of three nodes the two are a majority, and no round is needed. A new leader first commits
 * an entry of its own term, since until then it does not know what is committed.
 *
 * **Members** (`configuration-history.ts`, thesis §4). A configuration is an entry that counts as
 * soon as it is in the log and is taken back if it is truncated. One member changes at a time, so
 * any two successive majorities overlap; the next change waits until the last one is committed, and
 * the first one until the term's own entry is (the flaw found in 2015). Learners receive the log and
 * have no vote; a learner is promoted by an entry that is committed without it, and then counts by a
 * second one. A member is an id and the incarnation of its directory: a wiped node is a new one, and the old one's place is
 * empty between its removal and the newcomer's coming.
 *
 * **Handing over** (thesis §3.10). A leader asked to go stops taking proposals, brings the target up
 * to date and tells it to stand at once.
 *
 * **Recovering** (`recovery.ts`). A node whose log was found damaged has forgotten what it had
 * acknowledged. It keeps its vote to itself until a leader has given it back everything.
 *
 * **What must be on disk before what is said** is visible in the types: `Ready.messages` may leave
 * before the write, `Ready.messagesAfterSync` only after it.
 */

import { assert } from "./assert.ts";
import { ConfigurationHistory } from "./configuration-history.ts";
import { memberOf, voters, type Configuration } from "./configuration.ts";
import { campaign } from "./election.ts";
import { index, term, type Entry, type HardState, type Index } from "./entry.ts";
import type { NodeId, Term } from "./entry.ts";
import { needsSnapshot } from "./follower.ts";
import * as leading from "./leader.ts";
import type { ProposeResult, Proposal } from "./leader.ts";
import type { LogReader } from "./log-reader.ts";
import { LogView } from "./log-view.ts";
import { isCounted, mayPrecedeWrite, withoutCoveredAcknowledgements } from "./message-kinds.ts";
import type { Envelope, Message, Snapshot } from "./message.ts";
import type { InflightLimits } from "./progress.ts";
import type { ReadState, Ready, SnapshotToInstall } from "./ready.ts";
import { Recovery } from "./recovery.ts";
import type { Follower, Role } from "./role.ts";
import { step } from "./step.ts";

export interface RaftOptions {
  readonly self: NodeId;
  /**
   * This life of this node's directory. A configuration that knows `self` by another one does not mean
   * this node, which has then no vote. Left out where each id has only one life.
   */
  readonly incarnation?: string;
  /** In force at `appliedIndex`; later ones are found in the log. */
  readonly configuration: Configuration;
  readonly hardState: HardState;
  readonly reader: LogReader;
  /** What the state machine holds durably; everything up to it is committed. */
  readonly appliedIndex: Index;
  /** A float in [0, 1); asked only for election timeouts. */
  readonly random: () => number;
  /** An election is due after `electionTicks` to twice as many ticks of silence. */
  readonly electionTicks: number;
  /**
   * The same for the first election after the start, when nobody has been heard yet, and after the
   * connection to the leader broke. May be short: where there is a leader, PreVote keeps an early
   * candidate from disturbing it.
   */
  readonly firstElectionTicks?: number;
  readonly heartbeatTicks: number;
  /** The same while everybody has everything and knows it, and nobody waits. Default the same. */
  readonly restHeartbeatTicks?: number;
  /**
   * Ticks for which the news that entries are committed waits for an append to travel with. 0 sends
   * it at once, in a message of its own. Default 0.
   */
  readonly commitWaitTicks?: number;
  /** Entry bytes in one append. A single larger entry still goes. */
  readonly appendBytesMax: number;
  /** See `CatchUp`. Default without a limit. */
  readonly catchUpTickBytes?: number;
  readonly inflight: InflightLimits;
  /** Entry bytes a leader holds uncommitted before it refuses proposals. */
  readonly uncommittedBytesMax: number;
  /** The newest snapshot there is to send, or null; asked for while a follower that answers needs one. */
  readonly latestSnapshot: (to: NodeId) => Omit<Snapshot, "type" | "term"> | null;
  /**
   * The log time of the newest applied entry, kept with the state machine; asked for where compaction
   * has left no entry that would tell. 0 where it is left out.
   */
  readonly appliedTimeMs?: () => number;
  /** Is told of a message that cannot be true, and of the claim it contradicts; it changed nothing. */
  readonly refused?: (from: NodeId, message: Message, claim: string) => void;
  /** A number that is new to every life of this node, to tell answers to its questions from older ones. */
  readonly lifeId: number;
  /**
   * The log may lack entries that this node has acknowledged. Term and vote are never in doubt: without
   * them no node starts. Default false.
   */
  readonly isRecovering?: boolean;
}

export class Raft {
  readonly options: RaftOptions;
  readonly self: NodeId;
  readonly log: LogView;
  readonly configurations: ConfigurationHistory;
  role: Role;
  /** While the log may lack what this node has acknowledged: it has no vote to give. */
  recovery: Recovery | null;
  /** Never goes back. */
  #term: Term;
  #vote: NodeId | null;
  #hardStateChanged = false;
  #messages: Envelope[] = [];
  #messagesAfterSync: Envelope[] = [];
  #reads: ReadState[] = [];
  #snapshot: SnapshotToInstall | null = null;
  #reportedCommit: Index;
  readonly restHeartbeatTicks: number;

  constructor(options: RaftOptions) {
    const { heartbeatTicks, restHeartbeatTicks = heartbeatTicks } = options;
    assert(options.electionTicks > restHeartbeatTicks, "heartbeats outpace elections");
    assert(restHeartbeatTicks >= heartbeatTicks, "a rest has no more heartbeats than work");
    this.options = options;
    this.restHeartbeatTicks = restHeartbeatTicks;
    this.self = options.self;
    this.log = new LogView(options.reader, options.appliedIndex);
    this.configurations = new ConfigurationHistory(
      options.configuration,
      options.incarnation ?? null,
    );
    this.#term = options.hardState.term;
    this.#vote = options.hardState.vote;
    this.#reportedCommit = this.log.commitIndex;
    this.recovery = options.isRecovering ? new Recovery(options.lifeId) : null;
    assert(this.log.lastTerm <= this.#term, "the log has no entry of a later term than ours");
    this.configurations.find(this.log, index(this.log.appliedIndex + 1));
    this.role = this.#newFollower(null, options.firstElectionTicks);
  }

  get term(): Term {
    return this.#term;
  }

  get vote(): NodeId | null {
    return this.#vote;
  }

  get configuration(): Configuration {
    return this.configurations.current;
  }

  /** Whose majority elects and commits: those of the newest configuration in the log (thesis §4.1). */
  get voters(): NodeId[] {
    return voters(this.configuration);
  }

  /**
   * Whether `incarnation` is the directory that stands for `id` in our configuration. Votes and
   * acknowledgements count by id, so they have to come from that one: another one's were promised by,
   * or to, somebody else. What a leader or a candidate says is another matter: it may know members
   * that we do not know yet (thesis §4.2.2).
   */
  isNamed(id: NodeId, incarnation: string): boolean {
    return memberOf(this.configuration, id)?.incarnation === incarnation;
  }

  /** A member without a vote, or with the place of a voter whose directory this node does not have. */
  get isLearner(): boolean {
    const isMember = memberOf(this.configuration, this.self) !== undefined;
    return isMember && !this.configurations.isVoter(this.self);
  }

  /** Who leads the current term, as far as this node knows. */
  get leaderId(): NodeId | null {
    if (this.role.kind === "leader") return this.self;
    return this.role.kind === "follower" ? this.role.leaderId : null;
  }

  /** How many ticks may pass in one go, since none before the last of them has anything to do; or 1. */
  get restTicks(): number {
    const { log, role } = this;
    if (this.recovery !== null || log.commitIndex < log.lastIndex) return 1;
    if (role.kind === "leader") return leading.restTicks(this, role);
    if (this.leaderId === null) return 1;
    const left = role.electionTimeout - role.electionElapsed;
    // Longer than to the next heartbeat, which wakes this node anyway.
    return Math.max(1, Math.min(left - 1, 2 * this.restHeartbeatTicks));
  }

  // ---------------------------------------------------------------- what comes in

  /** One unit of time has passed. */
  tick(): void {
    const role = this.role;
    if (role.kind === "leader") {
      leading.tick(this, role);
      return;
    }
    this.recovery?.tick(this);
    role.electionElapsed++;
    if (role.electionElapsed < role.electionTimeout) return;
    // Who may not stand forgets the silent leader all the same: its lease must not last for ever.
    if (this.mayStand()) campaign(this, "pre");
    else this.becomeFollower(this.#term, null);
  }

  /**
   * A message arrived. `from` is who the connection was authenticated as, in the life `incarnation` of
   * its directory (null where each id has only one).
   */
  step(from: NodeId, message: Message, incarnation: string | null = null): void {
    if (from === this.self) return;
    const isNamed = incarnation === null || this.isNamed(from, incarnation);
    if (isNamed || !isCounted(message)) step(this, from, message, isNamed);
  }

  /** Leader only: appends the proposals to the log, in order, in one go. */
  propose(proposals: readonly Proposal[]): ProposeResult {
    return leading.propose(this, proposals);
  }

  /** Leader only: proposes a configuration that differs from the current one by one member. */
  proposeConfiguration(next: Configuration, timeMs: number): ProposeResult {
    return leading.proposeConfiguration(this, next, timeMs);
  }

  /**
   * Asks for a read index. The answer comes in `Ready.reads` under `requestId`, or never: without a
   * leader, or when messages are lost, the asker asks again. An id must be new, to earlier lives of
   * this node too: the late answer to an old question would be an index from before the new one.
   */
  readIndex(requestId: number): void {
    const role = this.role;
    if (role.kind === "leader")
      leading.gatherRead(this, role, { from: this.self, requestId }, true);
    else if (this.leaderId !== null) {
      this.send(this.leaderId, { type: "readIndex", term: this.#term, requestId });
    }
  }

  /** Leader only: hands over to a voter. Returns false where that cannot begin. */
  transferLeadership(to: NodeId): boolean {
    return this.role.kind === "leader" && leading.startTransfer(this, this.role, to);
  }

  /** Leader only: `peer` waits to hear what is committed, so that news does not wait. */
  announceCommit(peer: NodeId): void {
    if (this.role.kind === "leader") leading.announceCommit(this.role, peer);
  }

  /**
   * The connection to `peer` broke: what was on the way may be lost. Where it was the leader, its
   * process has probably ended, and an election need not wait out the whole timeout; if it lives, its
   * next heartbeat or the others' refusal to pre-vote keeps it in office.
   */
  unreachable(peer: NodeId): void {
    const { role } = this;
    if (role.kind === "leader") leading.peerUnreachable(role, peer);
    else if (role.kind === "follower" && role.leaderId === peer) {
      this.role = this.#newFollower(null, this.options.firstElectionTicks);
    }
  }

  /** The stream that goes with a `snapshot` message has ended. */
  snapshotFinished(peer: NodeId, arrived: boolean): void {
    if (this.role.kind === "leader") leading.snapshotFinished(this.role, peer, arrived);
  }

  /** Everything through (at, atTerm) is on this node's disk. */
  persisted(at: Index, atTerm: Term): void {
    this.log.stableTo(at, atTerm);
    this.concludeRecovery();
    if (this.role.kind === "leader") leading.ownDiskAdvanced(this, this.role);
  }

  /**
   * The disk had no room for the entries of the last `Ready`, and none of them is on it.
   *
   * They stay in memory, and are not taken back: a leader has sent them already, so they may be
   * committed by the others whatever this node does, and a second content for one (index, term) must
   * never be. So nobody can be told that they were not applied; they are written when there is room.
   * Until then this node does not count itself for them, applies none and acknowledges none, and
   * `Ready` brings no entries. Memory stays bounded if the caller proposes nothing and passes on no
   * appends with entries meanwhile; a lost append is nothing new to a leader.
   */
  holdWrites(): void {
    this.log.holdWrites();
  }

  /** The next `Ready` brings the entries again. */
  resumeWrites(): void {
    this.log.resumeWrites();
  }

  /**
   * What of `messagesAfterSync` is true though writes are held. An acknowledgement that is left out is
   * asked for again by the leader, with an empty append.
   */
  withoutHeld(envelopes: readonly Envelope[]): readonly Envelope[] {
    if (!this.log.isHeld) return envelopes;
    const { stableIndex } = this.log;
    return envelopes.filter(
      ({ message }) => message.type !== "appendAccepted" || message.matchIndex <= stableIndex,
    );
  }

  /** Whether a snapshot up to there would bring this node anything. A `snapshot` that does not is harmless. */
  needsSnapshot(lastIndex: Index, lastTerm: Term): boolean {
    return needsSnapshot(this, lastIndex, lastTerm);
  }

  /** The snapshot of the last `Ready` is installed and the log on disk starts behind it. */
  snapshotInstalled(lastIndex: Index, lastTerm: Term): void {
    this.log.restored({ index: lastIndex, term: lastTerm });
    this.concludeRecovery();
  }

  /** The state machine has applied everything up to `at`. */
  applied(at: Index): void {
    this.log.appliedTo(at);
  }

  // ---------------------------------------------------------------- what goes out

  /** Everything to do since the last call; null where there is nothing. */
  ready(): Ready | null {
    if (this.role.kind === "leader") leading.fillMessages(this, this.role);
    const commitIndex = this.log.commitIndex;
    const hasNews =
      this.#hardStateChanged ||
      this.#snapshot !== null ||
      this.log.hasUnwritten ||
      this.#messages.length > 0 ||
      this.#messagesAfterSync.length > 0 ||
      this.#reads.length > 0 ||
      commitIndex > this.#reportedCommit;
    if (!hasNews) return null;
    // A new term or vote must be on disk before anything shows it: then nothing goes ahead.
    const ahead = this.#hardStateChanged ? [] : this.#messages;
    const behind = this.#hardStateChanged
      ? [...this.#messages, ...this.#messagesAfterSync]
      : this.#messagesAfterSync;
    const ready: Ready = {
      messages: ahead,
      hardState: this.#hardStateChanged ? { term: this.#term, vote: this.#vote } : null,
      snapshot: this.#snapshot,
      entries: this.log.takeUnwritten(),
      messagesAfterSync: withoutCoveredAcknowledgements(behind, this.#term),
      commitIndex,
      reads: this.#reads,
    };
    this.#hardStateChanged = false;
    this.#snapshot = null;
    this.#messages = [];
    this.#messagesAfterSync = [];
    this.#reads = [];
    this.#reportedCommit = commitIndex;
    return ready;
  }

  /**
   * Committed entries that are on this node's disk and not applied yet, oldest first, within
   * `bytesMax` but at least one; none where there is nothing to apply. What is committed but not yet
   * written here waits, so that the state machine is never ahead of its own log.
   */
  toApply(bytesMax: number): Entry[] {
    if (this.log.pendingSnapshot) return [];
    const through = Math.min(this.log.commitIndex, this.log.stableIndex);
    const from = this.log.appliedIndex + 1;
    return from > through ? [] : this.log.entries(index(from), index(through), bytesMax);
  }

  // ---------------------------------------------------------------- for the role functions

  send(to: NodeId, message: Message): void {
    assert(to !== this.self, "a node sends no message to itself");
    (mayPrecedeWrite(message) ? this.#messages : this.#messagesAfterSync).push({ to, message });
  }

  releaseRead(read: ReadState): void {
    this.#reads.push(read);
  }

  installSnapshot(snapshot: SnapshotToInstall): void {
    this.#snapshot = snapshot;
  }

  becomeFollower(newTerm: Term, leaderId: NodeId | null): void {
    this.#setTerm(newTerm);
    this.role = this.#newFollower(leaderId);
  }

  /** Only of a node that has not voted for another in this term. */
  voteFor(candidate: NodeId): void {
    assert(this.#vote === null || this.#vote === candidate, "one vote a term");
    if (this.#vote === candidate) return;
    this.#vote = candidate;
    this.#hardStateChanged = true;
  }

  /** Raises the own term for a candidacy. */
  raiseTerm(): void {
    this.#setTerm(term(this.#term + 1));
  }

  /** A random number of ticks from `ticks` to almost twice as many. */
  drawElectionTimeout(ticks: number = this.options.electionTicks): number {
    return ticks + Math.floor(this.options.random() * ticks);
  }

  /** Appends to the log and lets the configuration follow. */
  append(entries: readonly Entry[]): void {
    this.log.append(entries);
    if (!this.configurations.appended(entries)) return;
    if (this.role.kind === "leader") leading.configurationChanged(this, this.role);
  }

  /** Moves the commit index on; returns whether it moved. */
  commitTo(to: Index): boolean {
    if (!this.log.commitTo(to)) return false;
    this.configurations.committed(to);
    return true;
  }

  /**
   * A learner, a stranger to the configuration, or a node without its whole log on disk does not
   * stand. A voter whose removal may not be committed still does (thesis §4.2.2): the others may lack
   * that entry, and then they need its vote while its log is ahead of theirs.
   */
  mayStand(): boolean {
    if (this.log.pendingSnapshot !== null || this.recovery !== null) return false;
    if (this.log.isRefused) return false;
    return this.configurations.mayBeVoter(this.self);
  }

  /** Ends the recovery where everything that was lost is back. */
  concludeRecovery(): void {
    if (this.recovery?.isComplete(this)) this.recovery = null;
  }

  // ---------------------------------------------------------------- inside

  #newFollower(leaderId: NodeId | null, electionTicks?: number): Follower {
    const electionTimeout = this.drawElectionTimeout(electionTicks);
    return { kind: "follower", leaderId, electionElapsed: 0, electionTimeout };
  }

  #setTerm(newTerm: Term): void {
    assert(newTerm >= this.#term, "the term never goes back");
    if (newTerm === this.#term) return;
    this.#term = newTerm;
    this.#vote = null;
    this.#hardStateChanged = true;
  }
}
