/** Every type of message in a lower, the same and a higher term, fitted to what its receiver holds. */

import type { Raft } from "../../server/raft/raft.ts";

/** As texts of `messageText`, in a fixed order. */
export function everyMessage(receiver: Raft): string[] {
  const own = receiver.term;
  const { lastIndex, lastTerm, commitIndex } = receiver.log;
  const last = `last=${lastIndex}/${lastTerm}`;
  const place = `previous=${lastIndex}/${lastTerm} commit=${commitIndex}`;
  const members = receiver.configuration.members.map(({ id }) => id).join(",");
  const texts: string[] = [];
  for (const term of [own - 1, own, own + 1]) {
    texts.push(
      `preVote term=${term} ${last}`,
      `preVoteResponse term=${term} granted=false`,
      `preVoteResponse term=${term} granted=true`,
      `vote term=${term} ${last}`,
      `vote term=${term} ${last} transfer=true`,
      `voteResponse term=${term} granted=false`,
      `voteResponse term=${term} granted=true`,
      `append term=${term} ${place} ${lastIndex + 1}/${term}`,
      `append term=${term} previous=${lastIndex + 5}/${term} commit=${commitIndex}`,
      `appendAccepted term=${term} match=${lastIndex}`,
      `appendRejected term=${term} previous=${lastIndex} hint=0/0`,
      `heartbeat term=${term} commit=${commitIndex}`,
      `heartbeatResponse term=${term}`,
      `snapshot term=${term} last=${lastIndex + 1}/${term} members=${members}`,
      `timeoutNow term=${term}`,
      `readIndex term=${term} request=1`,
      `readIndexResponse term=${term} request=1 index=${commitIndex}`,
      `recoveryPoint term=${term} request=1 last=${lastIndex}`,
      `recoveryPointResponse term=${term} request=1 last=${lastIndex}`,
    );
  }
  return texts;
}
