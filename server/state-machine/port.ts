/**
 * What the node asks of a replicated state machine on disk (after Dragonboat's IOnDiskStateMachine).
 * `apply` is a function of the entries alone: it reads no clock and no random number, so every
 * replica gets the same rows, the same results and the same hash.
 */

import type { Entry, Index, Term } from "../raft/entry.ts";
import type { Configuration } from "../raft/configuration.ts";
import type { ChangeSink } from "./changes.ts";
import type { CommandResult, Query, Answer } from "./command.ts";

/** How far a state machine has come; stored in the same transaction as the rows. */
export interface AppliedState {
  readonly appliedIndex: Index;
  readonly appliedTerm: Term;
  /** The newest applied entry's log time, in milliseconds; 0 before the first. */
  readonly appliedTimeMs: number;
  /** The newest configuration at or before `appliedIndex`; null before the first. */
  readonly configuration: Configuration | null;
}

/** Taken at one instant: the hash is of exactly the rows at `appliedIndex`. */
export interface StateDigest {
  readonly appliedIndex: Index;
  /** 16 hex digits over all rows, in no order: equal rows give equal hashes. */
  readonly stateHash: string;
  /** Checksum over every entry ever applied, in order: 8 hex digits. */
  readonly historyHash: string;
  /** 16 hex digits over what the state keeps besides the rows: the requests it remembers. */
  readonly bookHash: string;
}

/** What a column of a row in a snapshot holds. Numbers are safe integers. */
export type SnapshotValue = string | number | null | Uint8Array;

/** Rows of one table, each with all its columns in the table's own order. */
export interface RowBatch {
  readonly table: string;
  readonly rows: readonly (readonly SnapshotValue[])[];
}

/** Exactly the state at `applied.appliedIndex`, whatever is applied while it is read. */
export interface StateView {
  readonly applied: AppliedState;
  readonly digest: StateDigest;
  /**
   * Rows that were not given yet, each once and in no order that means anything: some `bytesMax` of
   * them, but at least one. Null behind the last. The work is bounded by `bytesMax` and one row.
   */
  read(bytesMax: number): RowBatch | null;
  /** Gives back what the view holds; it is not read any more. */
  close(): void;
  /** Also by the state machine, where another state took the place of this one. */
  readonly isClosed: boolean;
}

/** A state in the making, from a snapshot. Nothing of it counts before `install`. */
export interface StateRecovery {
  /** The disk has not taken yet what was added: better nothing more is added for now. Default false. */
  readonly isBehind?: boolean;
  /** Returns what is wrong with the rows, null where nothing is. */
  add(batch: RowBatch): string | null;
  /**
   * Everything was added: makes it durable. Returns how it contradicts the digest it was to have, null
   * where it does not.
   */
  finish(): string | null;
  /** After `finish`: from here on the state machine is this state, after a crash as well. */
  install(): void;
  /** Leaves nothing behind. */
  abandon(): void;
}

export interface StateMachine {
  readonly applied: AppliedState;
  /**
   * Applies the next committed entry, the one at `appliedIndex + 1`, and returns its result, null where
   * it is no command. It counts for `lookup` at once, and reaches the database with the next `commit`:
   * a process that dies before applies it again from the log. Throws where the database fails; the
   * process then ends, because a skipped entry would be silent divergence.
   */
  apply(entry: Entry): CommandResult | null;
  /** From now on `sink`, and nobody else, is told what entries change while they are applied. */
  watch(sink: ChangeSink): void;
  /**
   * Rows and applied index, in one transaction, out of this process's hands. "full": the disk has no
   * room for them; they still count for `lookup`, and wait for the next `commit`.
   */
  commit(): "done" | "full";
  /**
   * Begins, or goes on with, a commit of what is applied when it begins, by at most so many rows.
   * "more": it goes on with the next call, or with `commit`. "full": it begins again with either.
   */
  commitSome(rowsMax: number): "more" | "done" | "full";
  /** There is more to come of the last `commitSome`. */
  readonly isCommitting: boolean;
  /** Entry bytes applied and not committed. */
  readonly uncommittedBytes: number;
  /** Log time at which the first row is to go, as of what is applied; null: none is. */
  readonly nextDeadlineMs: number | null;
  /** Reads the applied state. Runs beside nothing: it is called between batches. */
  lookup(query: Query): Answer;
  digest(): StateDigest;
  /**
   * Makes everything applied so far survive a power loss; returns up to which index it now does: on a
   * full disk an earlier one than `applied`.
   */
  sync(): Index;
  /**
   * The same of what is committed, without waiting for the disk: it is called again and again until it
   * says how far that is. In between nothing is committed, or the sync waited for after all. Not while
   * `isCommitting`. Without `hasRoom` the disk gets back at once what the sync has made superfluous.
   */
  syncSome(hasRoom?: boolean): Index | "more" | "full";
  /**
   * Commits first ("full": it could not). Takes no longer for much data than for little. One view at a
   * time ("busy": there is one).
   */
  prepareSnapshot(): StateView | "full" | "busy";
  /**
   * Begins a state with that bookkeeping (whose configuration is not null) and digest, to take the
   * place of this one. One at a time.
   */
  beginRecovery(applied: AppliedState, digest: StateDigest): StateRecovery;
  /** Commits before. */
  close(): void;
  /**
   * Pages that what is uncommitted changes, roughly, where hardly two of its rows share one, and would not if
   * `bytes` of entries were uncommitted; 0 where they do.
   */
  scatteredPages(bytes: number): number;
  /** Bytes a `sync` would have to move, roughly. */
  readonly unsyncedBytes: number;
  /** Bytes on the disk as of the last `sync`, roughly: what a snapshot would have to carry. */
  readonly stateBytes: number;
  /** How many of them hold nothing any more, and are used again before the file grows. */
  readonly reusableBytes: number;
  /**
   * Gives up to `bytesMax` of what is reusable back to the disk where that is a large part of the state, and
   * returns how much that was. It counts with the next checkpoint.
   */
  shrinkSome(bytesMax: number): number;
}
