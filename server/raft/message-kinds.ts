/** What is to be known of a message by its type alone. */

import { unreachable } from "./assert.ts";
import type { Term } from "./entry.ts";
import type { Envelope, Message } from "./message.ts";

/** What may be told before the write that comes with it (unless term or vote change). */
export function mayPrecedeWrite(message: Message): boolean {
  switch (message.type) {
    case "append":
    case "heartbeat":
    case "snapshot":
    case "timeoutNow":
    case "preVote":
    case "preVoteResponse":
    case "readIndex":
    case "readIndexResponse":
    case "recoveryPoint":
    case "recoveryPointResponse":
      return true;
    case "vote":
    case "voteResponse":
    case "appendAccepted":
    case "appendRejected":
    case "heartbeatResponse":
      return false;
    default:
      return unreachable(message);
  }
}

/** Whether it says something that is counted, or kept, under its sender's id. */
export function isCounted({ type }: Message): boolean {
  switch (type) {
    case "preVoteResponse":
    case "voteResponse":
    case "appendAccepted":
    case "appendRejected":
    case "heartbeatResponse":
    case "recoveryPoint":
      return true;
    case "append":
    case "heartbeat":
    case "snapshot":
    case "timeoutNow":
    case "preVote":
    case "vote":
    case "readIndex":
    case "readIndexResponse":
    case "recoveryPointResponse":
      return false;
    default:
      return unreachable(type);
  }
}

/**
 * Several appends in one drain need one acknowledgement: the last one says it all. And what was taken
 * in before the term went up may have been replaced before it was ever written: that is acknowledged
 * to nobody. The order of the other messages stays.
 */
export function withoutCoveredAcknowledgements(
  envelopes: readonly Envelope[],
  term: Term,
): readonly Envelope[] {
  if (envelopes.length < 2) return envelopes;
  return envelopes.filter(({ to, message }, position) => {
    if (message.type !== "appendAccepted") return true;
    if (message.term < term) return false;
    const later = envelopes[position + 1];
    return !(
      later?.to === to &&
      later.message.type === "appendAccepted" &&
      later.message.matchIndex >= message.matchIndex
    );
  });
}
