/** The core's read-only view of the log on disk. */

import type { Entry, Index, Term } from "./entry.ts";

/**
 * Answers from what was appended through `Ready.entries`, synced or not. All methods return at once
 * or throw: an error here is the environment's and ends the process.
 */
export interface LogReader {
  /** The first entry still there; `lastIndex + 1` where there is none. From 1. */
  readonly firstIndex: Index;
  /** The last entry; `firstIndex - 1` where there is none. */
  readonly lastIndex: Index;
  /** The term at `index`, for firstIndex − 1 … lastIndex; null outside. */
  term(index: Index): Term | null;
  /**
   * Entries from `from` up to and including `through`, as many as fit into `bytesMax` (counted by
   * `entryBytes`), but at least one. Both ends lie within firstIndex … lastIndex.
   */
  entries(from: Index, through: Index, bytesMax: number): Entry[];
}
