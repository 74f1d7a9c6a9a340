/** What a leader's messages do to a node that follows it (Raft §5.3, §7). */

import { assert, must } from "./assert.ts";
import { index, type Index, type NodeId, type Term } from "./entry.ts";
import type { Append, Heartbeat, Snapshot } from "./message.ts";
import type { Raft } from "./raft.ts";

export function handleAppend(raft: Raft, from: NodeId, message: Append): void {
  const { log } = raft;
  if (message.previousIndex < log.commitIndex) {
    // Late: everything up to the commit index is equal on both sides anyway.
    accept(raft, from, log.commitIndex);
    return;
  }
  if (!log.matches(message.previousIndex, message.previousTerm)) {
    reject(raft, from, message);
    return;
  }
  const missing = log.firstMissing(message.entries);
  if (missing !== null) raft.append(message.entries.slice(missing));
  const lastNew = index(message.previousIndex + message.entries.length);
  // Raft figure 2: only up to the last entry this message vouches for.
  raft.commitTo(index(Math.min(message.commitIndex, lastNew)));
  accept(raft, from, lastNew);
}

export function handleHeartbeat(raft: Raft, from: NodeId, message: Heartbeat): void {
  const isHeld = message.commitIndex <= raft.log.lastIndex;
  assert(isHeld || raft.recovery !== null, "the leader knows what this node holds");
  // Of a node that has lost entries the leader may know what was true before.
  if (isHeld) raft.commitTo(message.commitIndex);
  const { readRound } = message;
  raft.send(from, { type: "heartbeatResponse", term: raft.term, readRound });
}

/** Whether this node lacks what a snapshot up to there stands for. */
export const needsSnapshot = ({ log }: Raft, lastIndex: Index, lastTerm: Term): boolean =>
  lastIndex > log.commitIndex && !log.matches(lastIndex, lastTerm);

export function handleSnapshot(raft: Raft, from: NodeId, message: Snapshot): void {
  const { log } = raft;
  const { lastIndex, lastTerm } = message;
  if (!needsSnapshot(raft, lastIndex, lastTerm)) {
    // Raft figure 13, rule 6: the log has it all; it may be news that it is committed.
    raft.commitTo(lastIndex);
    accept(raft, from, log.commitIndex);
    return;
  }
  const { configuration } = message;
  log.restore({ index: lastIndex, term: lastTerm });
  raft.configurations.restore(lastIndex, configuration);
  raft.installSnapshot({ lastIndex, lastTerm, configuration });
  accept(raft, from, lastIndex);
}

/**
 * A leader of an older term is told that it is one. Without this, a node whose term is ahead because
 * of a lost election could neither follow nor be heard (its pre-votes find no majority).
 */
export function answerStaleLeader(raft: Raft, from: NodeId): void {
  raft.send(from, { type: "heartbeatResponse", term: raft.term, readRound: 0 });
}

function accept(raft: Raft, to: NodeId, matchIndex: Index): void {
  raft.recovery?.agreed(raft, matchIndex);
  raft.send(to, { type: "appendAccepted", term: raft.term, matchIndex });
}

function reject(raft: Raft, to: NodeId, message: Append): void {
  const { log } = raft;
  const upTo = index(Math.min(message.previousIndex, log.lastIndex));
  const hint = log.lastNotAfterTerm(upTo, message.previousTerm);
  assert(hint.index >= log.commitIndex, "logs agree on what is committed");
  raft.send(to, {
    type: "appendRejected",
    term: raft.term,
    previousIndex: message.previousIndex,
    hintIndex: hint.index,
    hintTerm: must(hint.term, "a hint has a term"),
  });
}
