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
  readonly reason: "notLeader" | "overloaded" | "noSpace";
  readonly sequences: readonly number[];
}

/** How a voter's disk is, told to the leader again and again while it is not "ok". */
export interface DiskReport {
  readonly type: "diskReport";
  readonly room: Room;
}

/**
 * - `low`: less is free than is kept for what must always be possible.
 * - `full`: something could not be written.
 */
export type Room = "ok" | "low" | "full";

export type PeerMessage = Message | Forward | ForwardRefused | DiskReport;
