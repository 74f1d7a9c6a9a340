/** The last changes of this node's rows, in order: bounded by their number and their bytes. */

import { must } from "../raft/assert.ts";
import { index, type Index } from "../raft/entry.ts";
import type { ChangeType, RowChanged } from "../state-machine/changes.ts";
import type { Row } from "../state-machine/command.ts";
import type { RowRevisions } from "../state-machine/rows.ts";

export interface Change {
  readonly type: ChangeType;
  readonly key: string;
  /** The index of the entry that made it. */
  readonly revision: Index;
  /** What stands there since; null: nothing. */
  readonly row: Row | null;
  /** Of what stood there before; null: nothing. */
  readonly revisionsBefore: RowRevisions | null;
  /** What stood there before, where it was read. */
  readonly rowBefore: Row | null;
  /** The place of the change of this key before this one; -1: it was not in the history. */
  readonly placeBefore: number;
  readonly bytes: number;
}

export interface HistoryBounds {
  readonly changesMax: number;
  readonly bytesMax: number;
}

/** What a change takes besides its key and values, roughly. */
const changeBytes = 700;

/** The front is cut off in pieces, so that each change is moved less than once. */
const cutMin = 1_024;

/** Stands where a change was dropped, which would be held otherwise. */
const gone: Change = {
  type: "delete",
  key: "",
  revision: index(0),
  row: null,
  revisionsBefore: null,
  rowBefore: null,
  placeBefore: -1,
  bytes: 0,
};

/** Every change has a place: one more than that of the change before it. */
export class ChangeHistory {
  readonly #bounds: HistoryBounds;
  #changes: Change[] = [];
  /** Of `#changes`, those before this are gone. */
  #offset = 0;
  /** The place of `#changes[0]`. */
  #base = 0;
  #bytes = 0;
  /** The newest place of each key. */
  readonly #places = new Map<string, number>();
  #floor: Index;

  constructor(appliedIndex: Index, bounds: HistoryBounds) {
    this.#bounds = bounds;
    this.#floor = appliedIndex;
  }

  /** Every change behind this revision is here. */
  get floor(): Index {
    return this.#floor;
  }

  /** Of the oldest change that is here. */
  get firstPlace(): number {
    return this.#base + this.#offset;
  }

  /** Of the next change that comes. */
  get nextPlace(): number {
    return this.#base + this.#changes.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  at(place: number): Change {
    return must(this.#changes[place - this.#base], "the place is in the history");
  }

  /** The place of the first change behind `revision`, which is not below the floor. */
  placeAfter(revision: number): number {
    let low = this.firstPlace;
    let high = this.nextPlace;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.at(middle).revision > revision) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** What stood there before, as far as it is known here. */
  rowBefore({ rowBefore, placeBefore }: Change): Row | null {
    if (rowBefore !== null || placeBefore < this.firstPlace) return rowBefore;
    return this.at(placeBefore).row;
  }

  add(changed: RowChanged, revision: Index): void {
    const { type, key, row, revisionsBefore, rowBefore } = changed;
    const placeBefore = this.#places.get(key) ?? -1;
    let bytes = changeBytes + 2 * key.length;
    if (row !== null) bytes += row.value.byteLength;
    if (rowBefore !== null) bytes += rowBefore.value.byteLength;
    const place = this.nextPlace;
    this.#places.set(key, place);
    this.#changes.push({
      type,
      key,
      revision,
      row,
      revisionsBefore,
      rowBefore,
      placeBefore,
      bytes,
    });
    this.#bytes += bytes;
  }

  /** Drops what is too much, but nothing of the newest revision. */
  trim(): void {
    const { changesMax, bytesMax } = this.#bounds;
    const newest = this.#changes.at(-1)?.revision;
    for (;;) {
      const isOver = this.nextPlace - this.firstPlace > changesMax || this.#bytes > bytesMax;
      const first = this.#changes[this.#offset];
      if (!isOver || first === undefined || first.revision === newest) break;
      this.#drop(first);
    }
    if (this.#offset >= cutMin && 2 * this.#offset >= this.#changes.length) this.#cut();
  }

  /** Drops what is not behind `revision`, which is none of the future. */
  compact(revision: Index): void {
    if (revision <= this.#floor) return;
    for (;;) {
      const first = this.#changes[this.#offset];
      if (first === undefined || first.revision > revision) break;
      this.#drop(first);
    }
    this.#floor = revision;
    this.#cut();
  }

  /** Nothing that was before means anything any more. */
  restart(appliedIndex: Index): void {
    this.#base = this.nextPlace;
    this.#changes = [];
    this.#offset = 0;
    this.#bytes = 0;
    this.#places.clear();
    this.#floor = appliedIndex;
  }

  #drop({ key, revision, bytes }: Change): void {
    if (this.#places.get(key) === this.firstPlace) this.#places.delete(key);
    this.#floor = revision;
    this.#bytes -= bytes;
    this.#changes[this.#offset] = gone;
    this.#offset++;
  }

  #cut(): void {
    this.#changes = this.#changes.slice(this.#offset);
    this.#base += this.#offset;
    this.#offset = 0;
  }
}
