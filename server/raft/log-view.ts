/** The core's picture of its log: what is on disk, seen through a reader, and what is not there yet. */

import { assert, must } from "./assert.ts";
import { index, term, entryBytes, type Entry, type Index, type Term } from "./entry.ts";
import type { LogReader } from "./log-reader.ts";

/** Where the log begins when a snapshot has replaced everything up to and including it. */
export interface SnapshotBase {
  readonly index: Index;
  readonly term: Term;
}

/**
 * Invariants: appliedIndex ≤ commitIndex ≤ lastIndex. `#unstable` is contiguous and hides whatever
 * the reader has from its first index on. Nothing at or below commitIndex is ever replaced.
 */
export class LogView {
  readonly #reader: LogReader;
  /** Entries the reader does not vouch for yet, oldest first. */
  #unstable: Entry[] = [];
  /** How many of `#unstable` were handed out to be written. */
  #handedOut = 0;
  /** The disk has no room: nothing is handed out. */
  #isHeld = false;
  /** Some of `#unstable` found no room, and was not written since. */
  #isRefused = false;
  /** A snapshot the storage has not installed yet. */
  #base: SnapshotBase | null = null;
  #commitIndex: Index;
  #appliedIndex: Index;

  constructor(reader: LogReader, appliedIndex: Index) {
    assert(appliedIndex <= reader.lastIndex, "what is applied is in the log or compacted");
    assert(appliedIndex >= reader.firstIndex - 1, "the log reaches down to what is applied");
    this.#reader = reader;
    this.#commitIndex = appliedIndex;
    this.#appliedIndex = appliedIndex;
  }

  get commitIndex(): Index {
    return this.#commitIndex;
  }

  get appliedIndex(): Index {
    return this.#appliedIndex;
  }

  get firstIndex(): Index {
    return this.#base ? index(this.#base.index + 1) : this.#reader.firstIndex;
  }

  get lastIndex(): Index {
    const last = this.#unstable[this.#unstable.length - 1];
    if (last) return last.index;
    return this.#base ? this.#base.index : this.#reader.lastIndex;
  }

  get lastTerm(): Term {
    return must(this.term(this.lastIndex), "the last entry has a term");
  }

  /** The last entry that is on disk here: the node may count itself, and apply, up to it. */
  get stableIndex(): Index {
    const first = this.#unstable[0];
    if (first) return index(first.index - 1);
    return this.#base ? this.#base.index : this.#reader.lastIndex;
  }

  /** Null outside firstIndex − 1 … lastIndex. */
  term(at: Index): Term | null {
    if (at === 0) return this.firstIndex === 1 ? term(0) : null;
    const first = this.#unstable[0];
    if (first && at >= first.index) return this.#unstable[at - first.index]?.term ?? null;
    if (this.#base) return at === this.#base.index ? this.#base.term : null;
    return this.#reader.term(at);
  }

  matches(at: Index, expected: Term): boolean {
    return this.term(at) === expected;
  }

  /** Raft §5.4.1: whether a log that ends in (lastIndex, lastTerm) is at least as complete as this one. */
  isUpToDate(lastIndex: Index, lastTerm: Term): boolean {
    // What found no room was never acknowledged: to whoever lacks it this node is one that lacks it too.
    const own = this.isRefused ? this.stableIndex : this.lastIndex;
    const ownTerm = must(this.term(own), "the last entry has a term");
    return lastTerm > ownTerm || (lastTerm === ownTerm && lastIndex >= own);
  }

  /** From `from` through `through`, at least one, as many as fit into `bytesMax`. */
  entries(from: Index, through: Index, bytesMax: number): Entry[] {
    assert(from >= this.firstIndex && through <= this.lastIndex, "the entries are in the log");
    assert(from <= through, "at least one entry is asked for");
    const first = this.#unstable[0];
    if (!first || through < first.index) return this.#reader.entries(from, through, bytesMax);
    const result =
      from < first.index
        ? this.#reader.entries(from, index(first.index - 1), bytesMax)
        : ([] as Entry[]);
    let bytes = 0;
    for (const entry of result) bytes += entryBytes(entry);
    if (result.length > 0 && result.length < first.index - from) return result;
    const start = Math.max(from, first.index) - first.index;
    for (let i = start; i <= through - first.index; i++) {
      const entry = must(this.#unstable[i], "unstable entries are contiguous");
      bytes += entryBytes(entry);
      if (result.length > 0 && bytes > bytesMax) break;
      result.push(entry);
    }
    return result;
  }

  /** Appends consecutive entries; an existing suffix from the first one's index on is replaced. */
  append(entries: readonly Entry[]): void {
    const start = entries[0];
    if (!start) return;
    assert(start.index <= this.lastIndex + 1, "an append leaves no gap");
    assert(start.index > this.#commitIndex, "a committed entry is never replaced");
    const first = this.#unstable[0];
    if (!first || start.index <= first.index) {
      this.#unstable = entries.slice();
      this.#handedOut = 0;
      return;
    }
    const kept = start.index - first.index;
    if (kept < this.#unstable.length) this.#unstable.length = kept;
    this.#handedOut = Math.min(this.#handedOut, kept);
    for (const entry of entries) this.#unstable.push(entry);
  }

  /**
   * The first of `entries` that this log lacks or contradicts; null where it has them all. Entries
   * that are there already are left alone: a late, shorter append must not cut off what a newer one
   * brought (Raft figure 2, AppendEntries rule 3).
   */
  firstMissing(entries: readonly Entry[]): number | null {
    for (let i = 0; i < entries.length; i++) {
      const entry = must(entries[i], "i is in range");
      if (!this.matches(entry.index, entry.term)) return i;
    }
    return null;
  }

  /**
   * The largest index at or below `at` whose term is at most `termMax`: where two logs may still
   * agree. One step of it skips a whole term of conflicts.
   */
  lastNotAfterTerm(at: Index, termMax: Term): { index: Index; term: Term } {
    let candidate = at;
    for (;;) {
      const found = this.term(candidate);
      if (found === null) return { index: candidate, term: term(0) };
      if (found <= termMax || candidate === 0) return { index: candidate, term: found };
      candidate = index(candidate - 1);
    }
  }

  /** Never goes back. Returns whether it moved. */
  commitTo(to: Index): boolean {
    if (to <= this.#commitIndex) return false;
    assert(to <= this.lastIndex, "only what is in the log commits");
    this.#commitIndex = to;
    return true;
  }

  appliedTo(to: Index): void {
    assert(to >= this.#appliedIndex, "applying never goes back");
    assert(to <= this.#commitIndex, "only what is committed is applied");
    this.#appliedIndex = to;
  }

  /** Entries not handed out to the disk yet. */
  takeUnwritten(): Entry[] {
    if (this.#isHeld) return [];
    const unwritten =
      this.#handedOut === 0 ? this.#unstable : this.#unstable.slice(this.#handedOut);
    this.#handedOut = this.#unstable.length;
    return unwritten === this.#unstable ? unwritten.slice() : unwritten;
  }

  get hasUnwritten(): boolean {
    return !this.#isHeld && this.#handedOut < this.#unstable.length;
  }

  /** None of what was handed out was written, and nothing more is handed out before `resumeWrites`. */
  holdWrites(): void {
    this.#handedOut = 0;
    this.#isHeld = true;
    this.#isRefused = true;
  }

  resumeWrites(): void {
    this.#isHeld = false;
  }

  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** This log is longer in memory than the disk has room for. */
  get isRefused(): boolean {
    return this.#isRefused && this.#unstable.length > 0;
  }

  /** The disk has everything through (at, atTerm); ignored where that entry was replaced meanwhile. */
  stableTo(at: Index, atTerm: Term): void {
    const first = this.#unstable[0];
    if (!first || at < first.index) return;
    const offset = at - first.index;
    if (this.#unstable[offset]?.term !== atTerm) return;
    assert(this.#reader.lastIndex >= at, "the reader has what is said to be on disk");
    this.#unstable = this.#unstable.slice(offset + 1);
    if (this.#unstable.length === 0) this.#isRefused = false;
    this.#handedOut = Math.max(0, this.#handedOut - offset - 1);
  }

  /** A snapshot stands for everything up to `base.index`; the log starts anew behind it. */
  restore(base: SnapshotBase): void {
    assert(base.index > this.#commitIndex, "a snapshot never takes back what is committed");
    this.#base = base;
    this.#unstable = [];
    this.#handedOut = 0;
    this.#isRefused = false;
    this.#commitIndex = base.index;
  }

  /** The storage has installed the snapshot and starts its log behind it. */
  restored(base: SnapshotBase): void {
    if (this.#base?.index !== base.index) return;
    assert(this.#reader.firstIndex === base.index + 1, "the reader starts behind the snapshot");
    this.#base = null;
    this.#appliedIndex = base.index;
  }

  get pendingSnapshot(): SnapshotBase | null {
    return this.#base;
  }
}
