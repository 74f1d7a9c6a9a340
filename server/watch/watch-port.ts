/** What is asked of a store that can be watched, and what it gives. */

import type { Failure, Result, Selection } from "../client-port.ts";
import type { Index } from "../raft/entry.ts";
import type { Row } from "../state-machine/command.ts";
import type { RowRevisions } from "../state-machine/rows.ts";

/** A key, or a selection; without any of them all keys. */
export interface WatchOptions extends Selection {
  readonly key?: string;
  /** Changes behind this revision; without it, those from now on. */
  readonly since?: number;
  /** What stood there before comes with each change. */
  readonly before?: boolean;
  /** Ends by itself after so long. */
  readonly forMs?: number;
  /** Ends the watch. */
  readonly signal?: AbortSignal;
}

export interface ChangeEvent {
  readonly type: "put" | "delete" | "expire";
  readonly key: string;
  /** What stands there since; null: nothing. */
  readonly row: Row | null;
  readonly revision: Index;
  /** No other change of this revision follows for this watcher. */
  readonly isLast: boolean;
  /** Where it was asked for: what stood there before, null for nothing. */
  readonly before: Row | null;
  /** The same without the value, which is not always known any more. */
  readonly revisionsBefore: RowRevisions | null;
}

/** Every change up to this revision was given. */
export interface ProgressEvent {
  readonly type: "progress";
  readonly revision: Index;
}

export type WatchEvent = ChangeEvent | ProgressEvent;

/** The watch is over. Whoever comes back with the last whole revision loses nothing. */
export interface WatchOver {
  readonly type: "over";
  readonly failure: Failure;
}

/**
 * Every change once, in order, in batches as they come. Between them, and at the start, the sign that
 * nothing was left out up to a revision. Ends without a word where the signal or the time says so, otherwise with the
 * reason as the last event.
 */
export type WatchBatches = AsyncIterable<readonly (WatchEvent | WatchOver)[]>;

export type WatchAnswer = Result<{ readonly batches: WatchBatches }>;
