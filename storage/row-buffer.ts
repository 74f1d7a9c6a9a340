/**
 * Rows that were applied and have not been written to the database yet. A key that is written many
 * times between two transactions costs one row, and neighbours are written together. The Raft log
 * holds all of it: a crash loses nothing.
 */

import { must } from "../server/raft/assert.ts";
import type { Row } from "../server/state-machine/command.ts";
import { compareKeys, type KeyRange } from "../server/state-machine/key-range.ts";
import type { RowVersion } from "./state-verification.ts";

export interface WaitingRow {
  /** What stands in the table when this is written; null: nothing. */
  readonly stored: RowVersion | null;
  /** Where that stands; 0: not known, or nowhere. */
  rowid: number;
  /** Null: the row is to go. Whoever reads it gets this very row, and keeps it as it is. */
  row: Row | null;
  /** Of `row`; of no meaning where there is none. */
  checksum: number;
}

/** Keys that are put in order together. */
const recentMax = 1_024;

export class RowBuffer {
  readonly #rows = new Map<string, WaitingRow>();
  /** All keys but the most recent, each run in order and at least twice as long as the next. */
  readonly #runs: string[][] = [];
  #recent: string[] = [];
  #replacing = 0;

  get size(): number {
    return this.#rows.size;
  }

  /** Rows that change one that stands in the table: wherever that is. */
  get replacing(): number {
    return this.#replacing;
  }

  /** Undefined where others know best. */
  get(key: string): WaitingRow | undefined {
    return this.#rows.get(key);
  }

  /** Of a key that does not wait yet. */
  add(key: string, waiting: WaitingRow): void {
    this.#rows.set(key, waiting);
    if (waiting.stored !== null) this.#replacing++;
    this.#recent.push(key);
    if (this.#recent.length === recentMax) this.#arrange();
  }

  /** In no order that matters. */
  all(): IterableIterator<WaitingRow> {
    return this.#rows.values();
  }

  /** In the order of a scan; nothing may be added while it is read. */
  *within({ start, end }: KeyRange, reverse: boolean): Generator<[string, WaitingRow]> {
    this.#arrange();
    const left: Cursor[] = [];
    for (const run of this.#runs) {
      const cursor = { run, from: placeOf(start, run), to: placeOf(end, run) };
      if (cursor.from < cursor.to) left.push(cursor);
    }
    while (left.length > 0) {
      const key = takeNext(left, reverse);
      yield [key, must(this.#rows.get(key), "a key in order has a row")];
    }
  }

  #arrange(): void {
    if (this.#recent.length === 0) return;
    let run = sorted(this.#recent);
    this.#recent = [];
    for (let last = this.#runs.at(-1); last && last.length < 2 * run.length;) {
      run = merged(last, run);
      this.#runs.pop();
      last = this.#runs.at(-1);
    }
    this.#runs.push(run);
  }
}

/** What is left of a run. */
interface Cursor {
  readonly run: readonly string[];
  from: number;
  to: number;
}

/** Takes the next key out of those that are left, and out of the list who has none any more. */
function takeNext(left: Cursor[], reverse: boolean): string {
  let next = 0;
  for (let at = 1; at < left.length; at++) {
    const order = compareKeys(headOf(left[at], reverse), headOf(left[next], reverse));
    if (reverse ? order > 0 : order < 0) next = at;
  }
  const cursor = must(left[next], "one is left");
  const key = headOf(cursor, reverse);
  if (reverse) cursor.to--;
  else cursor.from++;
  if (cursor.from === cursor.to) left.splice(next, 1);
  return key;
}

const headOf = (cursor: Cursor | undefined, reverse: boolean): string =>
  (cursor as Cursor).run[reverse ? (cursor as Cursor).to - 1 : (cursor as Cursor).from] as string;

/** How many keys of `run` come before `key`. */
function placeOf(key: string, run: readonly string[]): number {
  let from = 0;
  let to = run.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (compareKeys(run[middle] as string, key) < 0) from = middle + 1;
    else to = middle;
  }
  return from;
}

/**
 * The order of UTF-16 is that of the keys unless there are surrogates and what they have to come behind;
 * and that the runtime sorts by itself, in a tenth of the time.
 */
function sorted(keys: string[]): string[] {
  return keys.some((key) => beyondSurrogates.test(key)) ? keys.sort(compareKeys) : keys.sort();
}

const beyondSurrogates = /[\ue000-\uffff]/;

function merged(a: readonly string[], b: readonly string[]): string[] {
  const run: string[] = [];
  let at = 0;
  for (const key of b) {
    for (; at < a.length && compareKeys(a[at] as string, key) < 0; at++) run.push(a[at] as string);
    run.push(key);
  }
  for (; at < a.length; at++) run.push(a[at] as string);
  return run;
}
