/** Standing for election, and answering those who do (Raft §5.2, §5.4.1; thesis §4.2.3, §9.6). */

import { unreachable } from "./assert.ts";
import { term, type NodeId } from "./entry.ts";
import { becomeLeader } from "./leader.ts";
import type { PreVote, PreVoteResponse, Vote, VoteResponse } from "./message.ts";
import { tally } from "./quorum.ts";
import type { Raft } from "./raft.ts";

/**
 * - `pre`: ask first whether it could be won.
 * - `real`: raise the term and ask for votes.
 * - `transfer`: the same on the old leader's word, without asking first.
 */
export type Campaign = "pre" | "real" | "transfer";

/** Whether this node has heard from a leader lately enough to ignore other candidates. */
export function isInLease(raft: Raft): boolean {
  const role = raft.role;
  if (role.kind === "leader") return true;
  return (
    role.kind === "follower" &&
    role.leaderId !== null &&
    role.electionElapsed < raft.options.electionTicks
  );
}

export function campaign(raft: Raft, kind: Campaign): void {
  const votes = new Map<NodeId, boolean>([[raft.self, true]]);
  const electionTimeout = raft.drawElectionTimeout();
  if (kind === "pre") {
    raft.role = { kind: "preCandidate", votes, electionElapsed: 0, electionTimeout };
  } else {
    raft.raiseTerm();
    raft.voteFor(raft.self);
    raft.role = { kind: "candidate", votes, electionElapsed: 0, electionTimeout };
  }
  if (concludeElection(raft)) return;
  const lastLogIndex = raft.log.lastIndex;
  const lastLogTerm = raft.log.lastTerm;
  for (const id of raft.voters) {
    if (id === raft.self) continue;
    if (kind === "pre") {
      const asked = term(raft.term + 1);
      raft.send(id, { type: "preVote", term: asked, lastLogIndex, lastLogTerm });
    } else {
      const transfer = kind === "transfer";
      raft.send(id, { type: "vote", term: raft.term, lastLogIndex, lastLogTerm, transfer });
    }
  }
}

export function handleVote(raft: Raft, from: NodeId, message: PreVote | Vote): void {
  const { lastLogIndex, lastLogTerm } = message;
  // A node that has lost entries cannot judge whose log is complete: it keeps its vote.
  const isComplete = raft.recovery === null && raft.log.isUpToDate(lastLogIndex, lastLogTerm);
  switch (message.type) {
    case "preVote": {
      // Of a term that is not ahead, a real vote would only be given to the same candidate again.
      const granted = isComplete && message.term > raft.term;
      const answer = granted ? message.term : raft.term;
      raft.send(from, { type: "preVoteResponse", term: answer, granted });
      return;
    }
    case "vote": {
      const isFree = raft.vote === from || (raft.vote === null && raft.leaderId === null);
      const granted = isFree && isComplete;
      if (granted) {
        raft.voteFor(from);
        // Raft §5.2: a granted vote postpones one's own candidacy.
        if (raft.role.kind === "follower") raft.role.electionElapsed = 0;
      }
      raft.send(from, { type: "voteResponse", term: raft.term, granted });
      return;
    }
    default:
      unreachable(message);
  }
}

export function handleVoteResponse(
  raft: Raft,
  from: NodeId,
  message: PreVoteResponse | VoteResponse,
): void {
  const role = raft.role;
  const isAnswerToUs =
    (role.kind === "preCandidate" &&
      message.type === "preVoteResponse" &&
      (!message.granted || message.term === raft.term + 1)) ||
    (role.kind === "candidate" && message.type === "voteResponse");
  if (!isAnswerToUs) return;
  // The first answer stands: a duplicate, or a late contradiction, changes nothing.
  if (!role.votes.has(from)) role.votes.set(from, message.granted);
  concludeElection(raft);
}

/** Acts on a decided election; returns whether it was. */
function concludeElection(raft: Raft): boolean {
  const role = raft.role;
  if (role.kind !== "preCandidate" && role.kind !== "candidate") return false;
  switch (tally(raft.voters, role.votes)) {
    case "open":
      return false;
    case "lost":
      raft.becomeFollower(raft.term, null);
      return true;
    case "won":
      if (role.kind === "preCandidate") campaign(raft, "real");
      else becomeLeader(raft);
      return true;
  }
}
