/** Everything that travels between two nodes: the core's messages, and forwarded proposals. */

import type { Message, Snapshot } from "./raft/message.ts";

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
  /** Theirs: in another life of the node the same numbers mean other writes. */
  readonly session: number;
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

/**
 * What the core calls a snapshot, and the file that goes with it: the receiver's core hears of it only
 * once the file is there and a state was made of it.
 */
export interface SnapshotOffer extends Omit<Snapshot, "type"> {
  readonly type: "snapshotOffer";
  /** Names the file: one that is offered again goes on where it stopped. */
  readonly id: number;
  readonly bytes: number;
}

export interface SnapshotChunk {
  readonly type: "snapshotChunk";
  readonly id: number;
  /** Where in the file `data` stands. */
  readonly offset: number;
  readonly data: Uint8Array;
}

/** Answers offers and chunks. */
export interface SnapshotProgress {
  readonly type: "snapshotProgress";
  readonly id: number;
  /** Everything before it is here. */
  readonly offset: number;
  /**
   * - `receiving`: more is welcome.
   * - `building`: it is all here, and a state is being made of it.
   * - `installed`: the receiver has what the snapshot stands for.
   * - `refused`: it is not taken now.
   * - `noRoom`: the receiver's disk has no room for it.
   * - `damaged`: the file is not what its checksums say.
   */
  readonly phase: "receiving" | "building" | "installed" | "refused" | "noRoom" | "damaged";
}

/** A request about the cluster, for the leader; `cluster-codec.ts` says what `body` holds. */
export interface Ask {
  readonly type: "ask";
  readonly requestId: number;
  readonly body: Uint8Array;
}

export interface Answer {
  readonly type: "answer";
  readonly requestId: number;
  readonly body: Uint8Array;
}

export type SnapshotMessage = SnapshotOffer | SnapshotChunk | SnapshotProgress;

/** The core's own `snapshot` does not travel without its file. */
export type PeerMessage =
  | Exclude<Message, Snapshot>
  | Forward
  | ForwardRefused
  | SnapshotMessage
  | DiskReport
  | Ask
  | Answer;
