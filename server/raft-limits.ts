/** The node's limits as the core counts them: in ticks. */

import type { Limits } from "./limits.ts";
import type { RaftOptions } from "./raft/raft.ts";

export const raftLimits = (limits: Limits) =>
  ({
    electionTicks: ticksIn(limits.electionTimeoutMs, limits),
    firstElectionTicks: ticksIn(limits.firstElectionTimeoutMs, limits),
    heartbeatTicks: ticksIn(limits.heartbeatMs, limits),
    restHeartbeatTicks: ticksIn(limits.restHeartbeatMs, limits),
    commitWaitTicks: 1,
    appendBytesMax: limits.appendBytesMax,
    catchUpTickBytes: limits.catchUpTickBytes,
    inflight: { messagesMax: limits.inflightMessagesMax, bytesMax: limits.inflightBytesMax },
    uncommittedBytesMax: limits.uncommittedBytesMax,
  }) satisfies Partial<RaftOptions>;

const ticksIn = (ms: number, { tickMs }: Limits): number => Math.round(ms / tickMs);
