/** What a leader does: propose, replicate, commit, keep in touch, serve reads, hand over. */

import { assert, must, unreachable } from "./assert.ts";
import { CatchUp } from "./catch-up.ts";
import { isSingleChange, encodeConfiguration, type Configuration } from "./configuration.ts";
import { entryBytes, index, type Entry, type EntryKind, type Index } from "./entry.ts";
import type { NodeId, Term } from "./entry.ts";
import type { AppendAccepted, AppendRejected, HeartbeatResponse } from "./message.ts";
import { Progress } from "./progress.ts";
import { majority, reachedByMajority } from "./quorum.ts";
import type { Raft } from "./raft.ts";
import { ReadRounds, waitingReadsMax, type ReleasedRead, type WaitingRead } from "./read-rounds.ts";
import type { Leader } from "./role.ts";

export interface Proposal {
  readonly data: Uint8Array;
  /** The proposer's clock; the log's own time never goes back, whatever this says. */
  readonly timeMs: number;
}

export type ProposeResult =
  | { readonly ok: true; readonly firstIndex: Index; readonly term: Term }
  | {
      readonly ok: false;
      readonly error:
        | "notLeader"
        /** Leadership is being handed over. */
        | "transferring"
        /** Too many bytes wait to be committed. */
        | "overloaded"
        /** A configuration change is pending, or this term has committed nothing yet. */
        | "changePending"
        /** More than one member would change. */
        | "notOneChange";
    };

export function becomeLeader(raft: Raft): void {
  const { log } = raft;
  const lastIndex = log.lastIndex;
  const last = lastIndex >= log.firstIndex ? log.entries(lastIndex, lastIndex, 0)[0] : undefined;
  const leader: Leader = {
    kind: "leader",
    progress: new Map(),
    parting: new Map(),
    catchUp: new CatchUp(raft.options.catchUpTickBytes ?? Infinity),
    reads: new ReadRounds(),
    earlyReads: [],
    heartbeatElapsed: 0,
    quorumCheckElapsed: 0,
    transfer: null,
    uncommitted: [],
    uncommittedBytes: 0,
    logTimeMs: last?.timeMs ?? raft.options.appliedTimeMs?.() ?? 0,
  };
  raft.role = leader;
  configurationChanged(raft, leader);
  // The first quorum check asks who has answered in this term.
  for (const progress of leader.progress.values()) progress.recentlyActive = false;
  // Thesis §6.4: the empty entry commits what earlier terms left, and makes reads possible.
  appendOwn(raft, leader, [{ kind: "noop", data: new Uint8Array(0), timeMs: leader.logTimeMs }]);
  ownDiskAdvanced(raft, leader);
}

export function propose(raft: Raft, proposals: readonly Proposal[]): ProposeResult {
  const leader = raft.role;
  if (leader.kind !== "leader") return { ok: false, error: "notLeader" };
  if (leader.transfer !== null) return { ok: false, error: "transferring" };
  if (leader.uncommittedBytes >= raft.options.uncommittedBytesMax) {
    return { ok: false, error: "overloaded" };
  }
  const firstIndex = appendOwn(
    raft,
    leader,
    proposals.map(({ data, timeMs }) => ({ kind: "command", data, timeMs })),
  );
  return { ok: true, firstIndex, term: raft.term };
}

export function proposeConfiguration(
  raft: Raft,
  next: Configuration,
  timeMs: number,
): ProposeResult {
  const leader = raft.role;
  if (leader.kind !== "leader") return { ok: false, error: "notLeader" };
  if (leader.transfer !== null) return { ok: false, error: "transferring" };
  // One at a time, and none before the term's own entry: without the second half, two leaders in
  // a row could each change one member and have majorities that do not overlap (raft-dev, 2015).
  const isPending = raft.configurations.currentIndex > raft.log.commitIndex;
  if (isPending || !hasCommittedInTerm(raft)) return { ok: false, error: "changePending" };
  if (!isSingleChange(raft.configuration, next)) return { ok: false, error: "notOneChange" };
  const revision = raft.log.lastIndex + 1;
  const data = encodeConfiguration({ ...next, revision });
  const firstIndex = appendOwn(raft, leader, [{ kind: "configuration", data, timeMs }]);
  return { ok: true, firstIndex, term: raft.term };
}

/** Ticks to the next heartbeats, where nothing else is to be done before; otherwise 1. */
export function restTicks(raft: Raft, leader: Leader): number {
  if (!isAtRest(raft, leader)) return 1;
  return Math.max(1, raft.restHeartbeatTicks - leader.heartbeatElapsed);
}

/** Everybody has everything and knows that it is committed; nobody waits for a read or a handover. */
function isAtRest({ self, log }: Raft, leader: Leader): boolean {
  if (leader.transfer !== null || leader.parting.size > 0 || leader.reads.wanted > 0) return false;
  for (const [id, { match, commitSent }] of leader.progress) {
    if (match < log.lastIndex || (id !== self && commitSent < log.commitIndex)) return false;
  }
  return true;
}

export function tick(raft: Raft, leader: Leader): void {
  leader.catchUp.tick(raft.log.commitIndex, raft.log.lastIndex);
  leader.quorumCheckElapsed++;
  if (leader.quorumCheckElapsed >= raft.options.electionTicks) {
    leader.quorumCheckElapsed = 0;
    if (!isQuorumActive(raft, leader)) {
      raft.becomeFollower(raft.term, null);
      return;
    }
  }
  const { transfer } = leader;
  if (transfer) {
    transfer.elapsed++;
    // Thesis §3.10: a target that does not take over within an election timeout is given up.
    if (transfer.elapsed >= raft.options.electionTicks) leader.transfer = null;
  }
  for (const progress of leader.progress.values()) {
    if (progress.commitWait > 0) progress.commitWait--;
  }
  leader.heartbeatElapsed++;
  if (leader.heartbeatElapsed < raft.options.heartbeatTicks) return;
  const isDue = leader.heartbeatElapsed >= raft.restHeartbeatTicks || !isAtRest(raft, leader);
  if (isDue) sendHeartbeats(raft, leader);
}

export function handleAnswer(
  raft: Raft,
  leader: Leader,
  {
    from,
    message,
  }: {
    from: NodeId;
    message: AppendAccepted | AppendRejected | HeartbeatResponse;
  },
): void {
  const progress = leader.progress.get(from);
  if (!progress) return;
  progress.recentlyActive = true;
  switch (message.type) {
    case "appendAccepted":
      handleAccepted(raft, leader, { progress, matchIndex: message.matchIndex });
      pursueTransfer(raft, leader);
      return;
    case "appendRejected":
      handleRejected(raft, progress, message);
      return;
    case "heartbeatResponse":
      handleHeartbeatResponse(raft, leader, { from, progress, readRound: message.readRound });
      return;
    default:
      unreachable(message);
  }
}

/**
 * Takes a read; it is answered at once where nobody else has to be asked, after the next round, or never (the
 * asker asks again). `isNamed`: who asks is the directory that stands for its id.
 */
export function gatherRead(raft: Raft, leader: Leader, read: WaitingRead, isNamed: boolean): void {
  if (!hasCommittedInTerm(raft)) {
    if (leader.earlyReads.length < waitingReadsMax) leader.earlyReads.push(read);
  } else if (isNamed && isMajorityWith(raft, read.from)) {
    answerRead(raft, { ...read, readIndex: raft.log.commitIndex });
    // It waits to hear that this much is committed, which a round's heartbeat would have told it.
    announceCommit(leader, read.from);
  } else leader.reads.gather(read);
}

/**
 * Who asks knew of no later term when its reads had begun, and this node knows of none now. Where two are a
 * majority, nobody can have been elected before those reads, and no round has to show it. That holds for them
 * alone: others may have begun while the question was on its way.
 */
function isMajorityWith({ self, voters }: Raft, asker: NodeId): boolean {
  if (asker === self || majority(voters.length) > 2) return false;
  return voters.includes(self) && voters.includes(asker);
}

export function startTransfer(raft: Raft, leader: Leader, to: NodeId): boolean {
  if (to === raft.self || !raft.voters.includes(to)) return false;
  if (leader.transfer?.to === to) return true;
  leader.transfer = { to, elapsed: 0, asked: false };
  pursueTransfer(raft, leader);
  return true;
}

export function peerUnreachable(leader: Leader, peer: NodeId): void {
  leader.parting.delete(peer);
  const progress = leader.progress.get(peer);
  if (progress?.flow.kind === "replicate") progress.becomeProbe();
}

export function snapshotFinished(leader: Leader, peer: NodeId, arrived: boolean): void {
  leader.progress.get(peer)?.snapshotEnded(arrived);
}

/** The own disk counts like a follower's answer, and only now. */
export function ownDiskAdvanced(raft: Raft, leader: Leader): void {
  const own = leader.progress.get(raft.self);
  if (!own?.accepted(raft.log.stableIndex)) return;
  maybeCommit(raft, leader);
}

/** Brings the followers' progress in line with the current configuration. */
export function configurationChanged(raft: Raft, leader: Leader): void {
  const ids = new Set(raft.configuration.members.map((member) => member.id));
  const through = raft.configurations.currentIndex;
  for (const [id, progress] of leader.progress) {
    if (ids.has(id)) continue;
    leader.progress.delete(id);
    const isHere = id !== raft.self && progress.flow.kind === "replicate";
    if (isHere) leader.parting.set(id, { progress, through });
  }
  for (const id of ids) {
    leader.parting.delete(id);
    if (leader.progress.has(id)) continue;
    const next = index(raft.log.lastIndex + 1);
    // A newcomer counts as active, so that it is not the reason to step down before it could answer.
    const options = { next, limits: raft.options.inflight, recentlyActive: true };
    leader.progress.set(id, new Progress(options));
  }
  if (leader.transfer && !raft.voters.includes(leader.transfer.to)) leader.transfer = null;
  // A smaller quorum may already have what is waiting.
  maybeCommit(raft, leader);
}

export function announceCommit(leader: Leader, peer: NodeId): void {
  const progress = leader.progress.get(peer);
  if (progress) progress.commitWait = 0;
}

/** Turns what the followers lack into messages: once per `Ready`, so one append carries a whole drain. */
export function fillMessages(raft: Raft, leader: Leader): void {
  if (leader.reads.hasGathered) {
    leader.reads.open(raft.log.commitIndex);
    sendHeartbeats(raft, leader);
    releaseReads(raft, leader);
  }
  for (const [id, progress] of leader.progress) {
    if (id !== raft.self) sendAppends(raft, leader, { id, progress });
  }
  for (const [id, { progress, through }] of leader.parting) {
    // A snapshot is not worth its while.
    if (raft.log.term(index(progress.next - 1)) === null) {
      leader.parting.delete(id);
      continue;
    }
    // It is waited for, and will soon be cut off.
    progress.commitWait = 0;
    sendAppends(raft, leader, { id, progress });
    if (progress.commitSent >= through) leader.parting.delete(id);
  }
}

// ------------------------------------------------------------------ replication

function appendOwn(
  raft: Raft,
  leader: Leader,
  proposals: readonly { kind: EntryKind; data: Uint8Array; timeMs: number }[],
): Index {
  const firstIndex = index(raft.log.lastIndex + 1);
  const entries: Entry[] = [];
  let bytes = 0;
  for (const { kind, data, timeMs } of proposals) {
    if (timeMs > leader.logTimeMs) leader.logTimeMs = timeMs;
    const at = index(firstIndex + entries.length);
    const entry = { index: at, term: raft.term, kind, timeMs: leader.logTimeMs, data };
    bytes += entryBytes(entry);
    entries.push(entry);
  }
  leader.uncommitted.push({ last: index(firstIndex + entries.length - 1), bytes });
  leader.uncommittedBytes += bytes;
  leader.catchUp.appended(bytes);
  raft.append(entries);
  return firstIndex;
}

function sendAppends(
  raft: Raft,
  { catchUp }: Leader,
  { id, progress }: { id: NodeId; progress: Progress },
): void {
  const { log } = raft;
  const { appendBytesMax } = raft.options;
  while (!progress.isPaused) {
    const isBehind = progress.next <= log.commitIndex;
    const bytesMax = isBehind ? Math.min(appendBytesMax, catchUp.budget) : appendBytesMax;
    const hasEntries = progress.next <= log.lastIndex && bytesMax > 0;
    const hasCommit =
      progress.commitWait === 0 &&
      progress.commitSent < Math.min(log.commitIndex, progress.next - 1);
    if (!hasEntries && !hasCommit && progress.flow.kind !== "probe") return;
    const sent = sendAppend(raft, id, { progress, bytesMax: hasEntries ? bytesMax : 0 });
    if (sent === null) return;
    if (isBehind) catchUp.sent(sent);
  }
}

/**
 * With at least one entry, unless `bytesMax` is 0. Returns the bytes of what was sent, null where a
 * snapshot would be needed and none is there yet.
 */
function sendAppend(
  raft: Raft,
  id: NodeId,
  { progress, bytesMax }: { progress: Progress; bytesMax: number },
): number | null {
  const { log } = raft;
  const previousIndex = index(progress.next - 1);
  const previousTerm = log.term(previousIndex);
  if (previousTerm === null) return sendSnapshot(raft, id, progress) ? 0 : null;
  const entries = bytesMax > 0 ? log.entries(progress.next, log.lastIndex, bytesMax) : [];
  const { commitIndex } = log;
  raft.send(id, {
    type: "append",
    term: raft.term,
    previousIndex,
    previousTerm,
    commitIndex,
    entries,
  });
  const last = index(previousIndex + entries.length);
  let bytes = 0;
  for (const entry of entries) bytes += entryBytes(entry);
  progress.commitSent = index(Math.min(commitIndex, last));
  progress.commitWait = raft.options.commitWaitTicks ?? 0;
  progress.sentAppend(last, { entryCount: entries.length, bytes });
  return bytes;
}

function sendSnapshot(raft: Raft, id: NodeId, progress: Progress): boolean {
  // Asked in this order: a snapshot may be made because it is asked for.
  const snapshot = progress.recentlyActive ? raft.options.latestSnapshot(id) : null;
  if (!snapshot) return false;
  raft.send(id, { type: "snapshot", term: raft.term, ...snapshot });
  progress.becomeSnapshot(snapshot.lastIndex);
  return true;
}

function handleAccepted(
  raft: Raft,
  leader: Leader,
  { progress, matchIndex }: { progress: Progress; matchIndex: Index },
): void {
  assert(matchIndex <= raft.log.lastIndex, "nobody has more of our log than we do");
  const isNews = progress.accepted(matchIndex);
  switch (progress.flow.kind) {
    case "probe":
      progress.becomeReplicate();
      break;
    case "snapshot":
      // Any place from which the log can go on will do, be it short of the snapshot's end.
      if (progress.match + 1 >= raft.log.firstIndex) progress.becomeReplicate();
      break;
    case "replicate":
      progress.flow.inflight.free(matchIndex);
      break;
    default:
      unreachable(progress.flow);
  }
  if (isNews) maybeCommit(raft, leader);
}

function handleRejected(raft: Raft, progress: Progress, message: AppendRejected): void {
  // The follower's hint says how far its terms reach; ours may part from it even earlier.
  const agree = raft.log.lastNotAfterTerm(
    index(Math.min(message.hintIndex, raft.log.lastIndex)),
    message.hintTerm,
  );
  progress.rejected(message.previousIndex, agree.index);
}

function handleHeartbeatResponse(
  raft: Raft,
  leader: Leader,
  { from, progress, readRound }: { from: NodeId; progress: Progress; readRound: number },
): void {
  const { flow } = progress;
  if (flow.kind === "probe") flow.sent = false;
  if (flow.kind === "replicate" && progress.match < progress.next - 1) {
    // Appends are unanswered. If they were lost, an empty one is refused and starts a probe.
    if (flow.inflight.isFull) flow.inflight.freeOldest();
    sendAppend(raft, from, { progress, bytesMax: 0 });
  }
  if (readRound <= progress.readRound) return;
  assert(readRound <= leader.reads.newest, "nobody confirms a round that was not opened");
  progress.readRound = readRound;
  releaseReads(raft, leader);
}

/** Raft §5.3, §5.4.2: what a majority has is committed, if it is of this term. */
function maybeCommit(raft: Raft, leader: Leader): void {
  const { log } = raft;
  const reached = reachedByMajority(raft.voters, (id) => leader.progress.get(id)?.match ?? 0);
  const to = index(reached);
  if (to <= log.commitIndex || log.term(to) !== raft.term) return;
  const wasFirst = !hasCommittedInTerm(raft);
  raft.commitTo(to);
  forgetCommitted(leader, to);
  if (wasFirst) for (const read of leader.earlyReads.splice(0)) leader.reads.gather(read);
  const isMember = raft.configurations.isVoter(raft.self);
  // Thesis §4.2.2: a leader that has removed itself goes once that is committed.
  if (!isMember && raft.configurations.currentIndex <= to) raft.becomeFollower(raft.term, null);
}

function forgetCommitted(leader: Leader, commitIndex: Index): void {
  let done = 0;
  for (const { last, bytes } of leader.uncommitted) {
    if (last > commitIndex) break;
    leader.uncommittedBytes -= bytes;
    done++;
  }
  if (done > 0) leader.uncommitted.splice(0, done);
}

/** Before this, the leader does not know how far its predecessors had committed. */
const hasCommittedInTerm = (raft: Raft): boolean =>
  raft.log.term(raft.log.commitIndex) === raft.term;

// ------------------------------------------------------------------ staying in touch

function sendHeartbeats(raft: Raft, leader: Leader): void {
  leader.heartbeatElapsed = 0;
  const readRound = leader.reads.wanted;
  for (const [id, progress] of leader.progress) {
    if (id === raft.self) continue;
    // A follower is told no more than it has: it may not even have what is committed.
    const commitIndex = index(Math.min(progress.match, raft.log.commitIndex));
    raft.send(id, { type: "heartbeat", term: raft.term, commitIndex, readRound });
    if (commitIndex > progress.commitSent) progress.commitSent = commitIndex;
  }
}

function releaseReads(raft: Raft, leader: Leader): void {
  const confirmed = reachedByMajority(raft.voters, (id) =>
    id === raft.self ? leader.reads.newest : (leader.progress.get(id)?.readRound ?? 0),
  );
  for (const read of leader.reads.release(confirmed)) answerRead(raft, read);
}

function answerRead(raft: Raft, { from, requestId, readIndex }: ReleasedRead): void {
  if (from === raft.self) raft.releaseRead({ requestId, readIndex });
  else raft.send(from, { type: "readIndexResponse", term: raft.term, requestId, readIndex });
}

/** Counts who was heard from since the last time it was asked. */
function isQuorumActive(raft: Raft, leader: Leader): boolean {
  const isActive = (id: NodeId): boolean =>
    id === raft.self || must(leader.progress.get(id), "a voter has progress").recentlyActive;
  const { voters } = raft;
  const isQuorum = voters.filter(isActive).length >= majority(voters.length);
  for (const progress of leader.progress.values()) progress.recentlyActive = false;
  return isQuorum;
}

function pursueTransfer(raft: Raft, leader: Leader): void {
  const { transfer } = leader;
  if (!transfer || transfer.asked) return;
  if (leader.progress.get(transfer.to)?.match !== raft.log.lastIndex) return;
  transfer.asked = true;
  raft.send(transfer.to, { type: "timeoutNow", term: raft.term });
}
