/** The one door for messages: what their terms mean, which cannot be true, and who handles the rest. */

import { assert, unreachable } from "./assert.ts";
import { contradiction } from "./contradiction.ts";
import { campaign, handleVote, handleVoteResponse, isInLease } from "./election.ts";
import type { NodeId } from "./entry.ts";
import { answerStaleLeader, handleAppend, handleHeartbeat, handleSnapshot } from "./follower.ts";
import { gatherRead, handleAnswer } from "./leader.ts";
import type { Message } from "./message.ts";
import type { Raft } from "./raft.ts";
import { handleRecoveryPoint, Recovery } from "./recovery.ts";

/** `isNamed`: it comes from the directory that stands for its sender's id. */
export function step(raft: Raft, from: NodeId, message: Message, isNamed: boolean): void {
  if (message.term > raft.term && !acceptHigherTerm(raft, from, message)) return;
  if (message.term < raft.term) {
    answerLowerTerm(raft, from, message);
    return;
  }
  const claim = contradiction(raft, from, message);
  if (claim === null) {
    dispatch(raft, from, message, isNamed);
    return;
  }
  raft.options.refused?.(from, message, claim);
  // The log ends before what its leader was told it holds, and nobody had noticed.
  const hasLost = message.type === "heartbeat" && message.commitIndex > raft.log.lastIndex;
  if (!hasLost) return;
  raft.recovery = new Recovery(raft.options.lifeId);
  raft.becomeFollower(raft.term, null);
}

/** Handles what a higher term means in itself. Returns false where the message ends there. */
function acceptHigherTerm(raft: Raft, from: NodeId, message: Message): boolean {
  switch (message.type) {
    case "preVote":
      return !isInLease(raft);
    case "vote":
      // Thesis §4.2.3: whoever hears from a leader does not help to depose it.
      if (!message.transfer && isInLease(raft)) return false;
      raft.becomeFollower(message.term, null);
      return true;
    case "preVoteResponse":
      // A granted one carries the term that was asked for and binds nobody yet.
      if (!message.granted) raft.becomeFollower(message.term, null);
      return true;
    case "append":
    case "heartbeat":
    case "snapshot":
      raft.becomeFollower(message.term, from);
      return true;
    default:
      raft.becomeFollower(message.term, null);
      return true;
  }
}

function answerLowerTerm(raft: Raft, from: NodeId, message: Message): void {
  switch (message.type) {
    case "append":
    case "heartbeat":
    case "snapshot":
      answerStaleLeader(raft, from);
      return;
    case "preVote":
      raft.send(from, { type: "preVoteResponse", term: raft.term, granted: false });
      return;
    case "vote":
      raft.send(from, { type: "voteResponse", term: raft.term, granted: false });
      return;
    default:
      // A late answer to a question of an older term: nothing can be concluded from it.
      return;
  }
}

function dispatch(raft: Raft, from: NodeId, message: Message, isNamed: boolean): void {
  switch (message.type) {
    case "preVote":
    case "vote":
      handleVote(raft, from, message);
      return;
    case "preVoteResponse":
    case "voteResponse":
      handleVoteResponse(raft, from, message);
      return;
    case "append":
    case "heartbeat":
    case "snapshot":
      followSender(raft, from);
      if (message.type === "append") handleAppend(raft, from, message);
      else if (message.type === "heartbeat") handleHeartbeat(raft, from, message);
      else handleSnapshot(raft, from, message);
      raft.concludeRecovery();
      return;
    case "appendAccepted":
    case "appendRejected":
    case "heartbeatResponse":
      if (raft.role.kind === "leader") handleAnswer(raft, raft.role, { from, message });
      return;
    case "timeoutNow":
      if (raft.role.kind === "follower" && raft.mayStand()) campaign(raft, "transfer");
      return;
    case "readIndex":
      if (raft.role.kind === "leader") {
        gatherRead(raft, raft.role, { from, requestId: message.requestId }, isNamed);
      }
      return;
    case "readIndexResponse":
      raft.releaseRead({ requestId: message.requestId, readIndex: message.readIndex });
      return;
    case "recoveryPoint":
      if (raft.role.kind === "leader") handleRecoveryPoint(raft, raft.role, { from, message });
      return;
    case "recoveryPointResponse":
      raft.recovery?.answered(raft, message);
      raft.concludeRecovery();
      return;
    default:
      unreachable(message);
  }
}

/** A message only a leader of this very term sends. */
function followSender(raft: Raft, from: NodeId): void {
  const role = raft.role;
  assert(role.kind !== "leader", "a term has one leader");
  if (role.kind === "follower") {
    assert(role.leaderId === null || role.leaderId === from, "a term has one leader");
    role.leaderId = from;
    role.electionElapsed = 0;
  } else {
    raft.becomeFollower(raft.term, from);
  }
}
