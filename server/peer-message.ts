/** Everything that travels between two nodes: the core's messages, and forwarded proposals. */

import type { Message } from "./raft/message.ts";

/** A follower passes a client's command on. The answer comes through the log, not as a message. */
export interface Forward {
  readonly type: "forward";
  /** Commands as `command-header.ts` frames them, each to become one entry. */
  readonly commands: readonly Uint8Array[];
}

/** The receiver did not take the forwarded commands: surely not applied, by these sequence numbers. */
export interface ForwardRefused {
  readonly type: "forwardRefused";
  readonly reason: "notLeader" | "overloaded";
  readonly sequences: readonly number[];
}

export type PeerMessage = Message | Forward | ForwardRefused;
