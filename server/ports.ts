/**
 * What the node takes from outside, so that a simulator can put its own in place: time, randomness,
 * the network and the storage. Nothing else in `server` reads a clock or draws a number.
 */

import type { PeerMessage } from "./peer-message.ts";
import type { Configuration } from "./raft/configuration.ts";
import type { Entry, HardState, Index, NodeId, Term } from "./raft/entry.ts";
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

/**
 * The log on disk as the node drives it. Any method may throw a disk error, which ends the process; a
 * full disk is none, because what was refused is known to be nowhere.
 */
export interface LogStore extends LogReader {
  /**
   * Writes consecutive entries, the first at most `lastIndex + 1`; entries from there on that were in
   * the log before are cut off first. Durable only after `sync`. "full": the disk has no room, and none
   * of the entries is in the log.
   */
  append(entries: readonly Entry[]): "written" | "full";
  sync(): void;
  /** Drops from the front what it can of the entries up to `through`, in pieces of its own size. */
  compact(through: Index): void;
  /** Bytes on the disk. */
  readonly bytes: number;
  /** How far `compact` has to go for the rest to fit into `bytesMax`. */
  lastBeyond(bytesMax: number): Index;
}

/** The disk that the node's files are on. */
export interface DiskSpace {
  /** Bytes that may still be written, and the size of the whole. */
  measure(): { readonly freeBytes: number; readonly totalBytes: number };
  /**
   * Some room is kept occupied so that others cannot use it up, and is there when this node's own last
   * writes need it: a delete, a checkpoint. "full": it does not fit now.
   */
  reserve(bytes: number): "reserved" | "full";
  /** Gives that room free; false where there is none. */
  release(): boolean;
}

/** What was found damaged, in words for a person; null where that part is whole. */
export interface Mending {
  /** The log may lack entries that this node has acknowledged: it has no vote (`raft/recovery.ts`). */
  readonly log: string | null;
  /** The state is being made anew, and is older than what this node has answered before. */
  readonly state: string | null;
}

/** Damage that is being mended, noted on disk so that a restart goes on with it. */
export interface MendingStore {
  readonly current: Mending;
  /** Durable when it returns, unless the disk is full: then nothing is noted. What was noted first stays. */
  add(part: keyof Mending, detail: string): "noted" | "full";
  /** Everything is there again, on disk. */
  clear(): void;
}

export interface HardStateStore {
  readonly current: HardState;
  /** On disk when it returns. */
  save(state: HardState): void;
}

/** A whole snapshot, and what it stands for. */
export interface SnapshotInfo {
  /** Names this very file: another one of the same state has another id. */
  readonly id: number;
  readonly bytes: number;
  readonly lastIndex: Index;
  readonly lastTerm: Term;
  readonly configuration: Configuration;
}

/** A copy of the state in a file of its own, for somebody outside. */
export interface BackupStore {
  /**
   * Begins one of what is applied now. "busy": there is one already, or a snapshot is being made;
   * "full": the disk has no room at all.
   */
  begin(): BackupMaking | "busy" | "full";
}

export interface BackupMaking {
  /** Goes on making it. "full": no room for it; "lost": the state was replaced. Then it was given up. */
  work(bytesMax: number): "more" | "done" | "full" | "lost";
  /** After "done": its size. */
  readonly bytes: number;
  /** After "done"; empty behind the end. */
  read(offset: number, bytesMax: number): Uint8Array;
  /** Nothing is left of it. May be called again. */
  close(): void;
}

/**
 * Snapshots on their way: one to be sent, one that comes in. Nothing here outlives the process but
 * what `install` has done. Every call does a bounded piece of work, and throws where the disk fails.
 */
export interface SnapshotStore {
  /** Whole and checked, to be read; null where there is none. */
  readonly newest: SnapshotInfo | null;
  /** What the snapshot that is being made will stand for; null where none is. */
  readonly makingIndex: Index | null;
  /** How much of that one is made, from 0 to 1; null where none is. */
  readonly makingShare: number | null;
  /** Begins one of what is applied now, unless one is being made, the disk has no room at all, or a backup is. */
  make(): void;
  /** Goes on making it. "full": the disk has no room for it, and it was given up. */
  work(): "more" | "done" | "full";
  /** Bytes of `newest`. */
  read(offset: number, bytesMax: number): Uint8Array;
  /** Removes `newest`, and what is being made. */
  discard(): void;

  /**
   * Bytes of the incoming snapshot with this id that have come already: 0 where it is a new one. "full":
   * the disk has no room for it, and none comes in.
   */
  accept(info: SnapshotInfo): number | "full";
  /** Its next bytes. They are in memory until `build` has made of them what it can. */
  write(data: Uint8Array): void;
  /** There is something to build. */
  readonly hasWork: boolean;
  /** Goes on checking what has come, and making a state of it. "full", or damaged: it was given up. */
  build(): "more" | "built" | "full" | { readonly damage: string };
  /**
   * After "built": state and log are replaced. A crash at any point leaves the old ones or the new
   * ones. The log is empty then and begins behind the snapshot.
   */
  install(): void;
  /** Gives up what comes in. */
  drop(): void;
}
