/** The log of a test node: an array where the real one has segments on a disk. */

import { assert, must } from "../../server/raft/assert.ts";
import { entryBytes, index, term } from "../../server/raft/entry.ts";
import type { Entry, Index, Term } from "../../server/raft/entry.ts";
import type { LogReader } from "../../server/raft/log-reader.ts";

export class MemoryLog implements LogReader {
  #entries: Entry[] = [];
  /** The place just before the first entry: what compaction or a snapshot left. */
  #baseIndex: Index = index(0);
  #baseTerm: Term = term(0);

  get firstIndex(): Index {
    return index(this.#baseIndex + 1);
  }

  get lastIndex(): Index {
    return index(this.#baseIndex + this.#entries.length);
  }

  term(at: Index): Term | null {
    if (at === this.#baseIndex) return this.#baseTerm;
    return this.#entries[at - this.#baseIndex - 1]?.term ?? null;
  }

  entries(from: Index, through: Index, bytesMax: number): Entry[] {
    assert(from >= this.firstIndex && through <= this.lastIndex, "a read stays inside the log");
    const result: Entry[] = [];
    let bytes = 0;
    for (let at: number = from; at <= through; at++) {
      const entry = must(this.#entries[at - this.#baseIndex - 1], "the log has no holes");
      bytes += entryBytes(entry);
      if (result.length > 0 && bytes > bytesMax) break;
      result.push(entry);
    }
    return result;
  }

  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (!first) return;
    assert(first.index >= this.firstIndex, "what is compacted is not written again");
    assert(first.index <= this.lastIndex + 1, "a write leaves no gap");
    this.#entries.length = first.index - this.firstIndex;
    this.#entries.push(...entries);
  }

  /** Forgets everything up to `through`. */
  compact(through: Index): void {
    const newBaseTerm = must(this.term(through), "only what is there is compacted");
    this.#entries = this.#entries.slice(through - this.#baseIndex);
    this.#baseIndex = through;
    this.#baseTerm = newBaseTerm;
  }

  /** Damage: everything from `from` on cannot be read any more. */
  lose(from: Index): void {
    this.#entries.length = from - this.firstIndex;
  }

  /** Starts anew behind a snapshot. */
  reset(lastIndex: Index, lastTerm: Term): void {
    this.#entries = [];
    this.#baseIndex = lastIndex;
    this.#baseTerm = lastTerm;
  }
}
