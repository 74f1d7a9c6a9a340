/**
 * What the node takes from outside, so that a simulator can put its own in place: time, randomness,
 * the network and the storage. Nothing else in `server` reads a clock or draws a number.
 */

import type { PeerMessage } from "./peer-message.ts";
import type { Entry, HardState, NodeId } from "./raft/entry.ts";
import type { LogReader } from "./raft/log-reader.ts";

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds that never go back and do not jump; the origin means nothing. */
  monotonicMs(): number;
  /** Milliseconds since 1970 as the system believes them. */
  wallMs(): number;
  /** Runs once, not before `ms` have passed. A pending timer does not keep the process alive. */
  after(ms: number, run: () => void): Timer;
  /** Runs every `ms`; a stall does not make up for missed runs. */
  every(ms: number, run: () => void): Timer;
  /** Runs once, after the input that is ready now has been taken in: the batching point. */
  soon(run: () => void): void;
}

export interface Random {
  /** A float in [0, 1). */
  fraction(): number;
  /** Unpredictable bytes, for ids and nonces. */
  bytes(count: number): Uint8Array;
}

/** The way to the other members. Delivery is best effort: late, lost or twice is all allowed. */
export interface Network {
  /**
   * Never blocks and never throws. False where the message was dropped and surely nobody gets it (a
   * full outbox, no connection); true says nothing about its arrival.
   */
  send(to: NodeId, message: PeerMessage): boolean;
  /** Pushes what was sent since the last flush onto the wires. */
  flush(): void;
  /** Whether an authenticated connection to `peer` stands right now. */
  isConnected(peer: NodeId): boolean;
}

/** The log on disk as the node drives it. Any method may throw a disk error, which ends the process. */
export interface LogStore extends LogReader {
  /**
   * Writes consecutive entries, the first at most `lastIndex + 1`; entries from there on that were in
   * the log before are cut off first. Durable only after `sync`.
   */
  append(entries: readonly Entry[]): void;
  sync(): void;
}

export interface HardStateStore {
  readonly current: HardState;
  /** On disk when it returns. */
  save(state: HardState): void;
}
