/** The newest entries of the log in memory: what followers that keep up and the state machine read. */

import { must } from "../server/raft/assert.ts";
import { entryBytes, type Entry, type Index } from "../server/raft/entry.ts";

/** Small entries take several times their bytes. */
const entriesMax = 10_000;

/** The dead front of the array is given back when it is longer than this, and than the rest. */
const deadMax = 1024;

/** Invariant: contiguous up to the last entry of the log; at most `bytesMax` and `entriesMax`, or one entry. */
export class EntryCache {
  readonly #bytesMax: number;
  #entries: (Entry | undefined)[] = [];
  /** Where the live ones begin. */
  #start = 0;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get(at: Index): Entry | undefined {
    const first = this.#entries[this.#start];
    if (!first || at < first.index) return undefined;
    return this.#entries[this.#start + at - first.index];
  }

  /** Takes the entry that follows the last one. */
  push(entry: Entry): void {
    this.#entries.push(entry);
    this.#bytes += entryBytes(entry);
    while (this.#isOver && this.#start < this.#entries.length - 1) {
      this.#bytes -= entryBytes(must(this.#entries[this.#start], "it is there"));
      // Given up at once and not when the array is next copied: that may be long after.
      this.#entries[this.#start] = undefined;
      this.#start++;
    }
    if (this.#start > deadMax && this.#start * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#start);
      this.#start = 0;
    }
  }

  get #isOver(): boolean {
    return this.#bytes > this.#bytesMax || this.#entries.length - this.#start > entriesMax;
  }

  /** Forgets what was cut off the log: all from `from` on. */
  truncate(from: Index): void {
    const first = this.#entries[this.#start];
    if (!first) return;
    const kept = Math.max(0, from - first.index);
    for (const entry of this.#entries.splice(this.#start + kept)) {
      this.#bytes -= entryBytes(must(entry, "it is there"));
    }
    if (kept > 0) return;
    this.#entries = [];
    this.#start = 0;
  }
}
