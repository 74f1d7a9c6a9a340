/**
 * Messages that cannot be true, given what this node knows for certain. Among honest nodes with whole
 * disks there are none: the tests treat one as a failed assertion. In the world one means a peer that
 * lies, or lost what it had acknowledged; that must not end this process, so it is refused and told.
 */

import type { NodeId } from "./entry.ts";
import type { Append, Message } from "./message.ts";
import type { Raft } from "./raft.ts";

/** What `message`, which is of this node's term, contradicts; null where it may be true. */
export function contradiction(raft: Raft, from: NodeId, message: Message): string | null {
  const { log, role, recovery } = raft;
  switch (message.type) {
    case "append":
      return rivalLeader(raft, from) ?? rewrittenCommit(raft, message);
    case "snapshot":
      return rivalLeader(raft, from);
    case "heartbeat":
      return (
        rivalLeader(raft, from) ??
        (message.commitIndex > log.lastIndex && recovery === null
          ? "the leader knows what this node holds"
          : null)
      );
    case "appendAccepted":
      if (role.kind !== "leader" || message.matchIndex <= log.lastIndex) return null;
      return "nobody has more of our log than we do";
    case "heartbeatResponse":
      if (role.kind !== "leader" || message.readRound <= role.reads.newest) return null;
      return "nobody confirms a round that was not opened";
    default:
      return null;
  }
}

function rivalLeader({ leaderId }: Raft, from: NodeId): string | null {
  return leaderId === null || leaderId === from ? null : "a term has one leader";
}

/** Terms never fall along a log, so an older one here means that the leader lacks what is committed. */
function rewrittenCommit({ log }: Raft, { previousIndex, previousTerm }: Append): string | null {
  const { commitIndex } = log;
  const committedTerm = log.term(commitIndex) ?? 0;
  if (previousIndex < commitIndex) return null;
  const isWrong = previousIndex === commitIndex && previousTerm !== committedTerm;
  return isWrong || previousTerm < committedTerm ? "logs agree on what is committed" : null;
}
