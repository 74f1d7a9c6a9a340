/** What commands and queries are made of: rows by key, in order, before and after changes. */

import type { Index } from "../raft/entry.ts";
import type { Row } from "./command.ts";
import type { Deadlines } from "./deadlines.ts";
import { compareKeys, type KeyRange } from "./key-range.ts";
import type { LeasedKeysReader } from "./leased-keys.ts";

/** What a condition looks at without reading the value. */
export interface RowRevisions {
  readonly revision: number;
  readonly createRevision: number;
}

export interface ScanOptions {
  /** From the greatest key down. */
  readonly reverse: boolean;
  /** Leaves the values out (empty bytes in the rows). */
  readonly keysOnly: boolean;
  /** Ends the scan where there is no end of rows that are gone. */
  readonly effort?: ScanEffort;
}

/** How many rows that are gone, but are not cleared away yet, one scan passes over. */
export class ScanEffort {
  #left: number;
  /** Where the scan gave up: all before it was given. Null: it did not. */
  endedAt: string | null = null;

  constructor(goneMax: number) {
    this.#left = goneMax;
  }

  /** False: the scan is to end here. Whoever is behind it in the order of layers stops earlier still. */
  pass(key: string): boolean {
    if (this.#left-- > 0) return true;
    this.endedAt = key;
    return false;
  }
}

export interface RowReader {
  /** Null where there is no such row. */
  revisions(key: string): RowRevisions | null;
  get(key: string): Row | null;
  /** In the order of the keys; nothing may be changed while it is read. */
  scan(range: KeyRange, options: ScanOptions): Iterable<Row>;
}

/** What a row is replaced by; `value` is the row's from then on, and not to be changed. */
export interface NewRow {
  readonly key: string;
  readonly value: Uint8Array;
  readonly contentType: string | null;
  /** Log time at which it goes; without it, it stays. */
  readonly expiresMs?: number | undefined;
  /** The lease with which it goes; not together with `expiresMs`. */
  readonly lease?: number | undefined;
}

export interface Rows extends RowReader {
  /** Returns what was there before: a row that was there keeps its create revision. */
  put(row: NewRow, revision: Index): RowRevisions | null;
  /** Returns what was there before. `why` changes nothing but what those are told who watch. */
  remove(key: string, why?: "delete" | "expire"): RowRevisions | null;
  /** A row that is there goes at another time, and with no lease; nothing else of it changes. */
  touch(key: string, expiresMs: number): void;
  readonly deadlines: Pick<Deadlines, "count" | "next" | "has">;
  readonly leased: LeasedKeysReader;
  /** Log time of the entry that is applied. */
  timeMs: number;
}

/** Such as readers give it. */
export const withTtl = (row: Row, timeMs: number): Row =>
  row.expiresMs === undefined ? row : { ...row, ttlMs: Math.max(0, row.expiresMs - timeMs) };

/** A row without the fields that it has no value for. */
export function rowOf(
  { key, value, contentType, expiresMs, lease }: NewRow,
  { revision, createRevision }: Pick<Row, "revision" | "createRevision">,
): Row {
  const row = { key, value, contentType, revision, createRevision };
  if (lease !== undefined) return { ...row, lease };
  return expiresMs === undefined ? row : { ...row, expiresMs };
}

/** A key and what stands there now; null: nothing any more. */
export type RowChange = readonly [key: string, row: Row | null];

/** Those of `changes` in the range, in the order in which a scan gives them. */
function changesIn(changes: Iterable<RowChange>, range: KeyRange, reverse: boolean): RowChange[] {
  const found: RowChange[] = [];
  for (const change of changes) {
    const [key] = change;
    if (compareKeys(key, range.start) >= 0 && compareKeys(key, range.end) < 0) found.push(change);
  }
  const sign = reverse ? -1 : 1;
  return found.sort(([a], [b]) => sign * compareKeys(a, b));
}

/** `base` with `changes` laid over it; both in the order in which a scan gives them. */
export function* mergeRows(
  base: Iterable<Row>,
  changes: Iterable<RowChange>,
  { reverse, effort }: Pick<ScanOptions, "reverse" | "effort">,
): Generator<Row> {
  const sign = reverse ? -1 : 1;
  const left = changes[Symbol.iterator]();
  let next = left.next();
  for (const row of base) {
    let isCovered = false;
    while (next.done !== true && !isCovered) {
      const [key, changed] = next.value;
      const order = sign * compareKeys(key, row.key);
      if (order > 0) break;
      if (changed !== null) yield changed;
      else if (effort?.pass(key) === false) return;
      isCovered = order === 0;
      next = left.next();
    }
    if (!isCovered) yield row;
  }
  for (; next.done !== true; next = left.next()) {
    const [key, changed] = next.value;
    const end = effort?.endedAt ?? null;
    if (end !== null && sign * compareKeys(key, end) > 0) return;
    if (changed !== null) yield changed;
    else if (effort?.pass(key) === false) return;
  }
}

/** Changes that may still be dropped, over rows that stay as they are until `flush`. */
export class Overlay implements Rows {
  readonly #base: Rows;
  readonly #changes = new Map<string, Row | null>();
  #newDeadlines = 0;
  #newLeased = 0;

  constructor(base: Rows) {
    this.#base = base;
  }

  revisions(key: string): RowRevisions | null {
    const changed = this.#changes.get(key);
    return changed === undefined ? this.#base.revisions(key) : changed;
  }

  get(key: string): Row | null {
    const changed = this.#changes.get(key);
    return changed === undefined ? this.#base.get(key) : changed;
  }

  scan(range: KeyRange, options: ScanOptions): Iterable<Row> {
    const base = this.#base.scan(range, options);
    if (this.#changes.size === 0) return base;
    return mergeRows(base, changesIn(this.#changes, range, options.reverse), options);
  }

  put(row: NewRow, revision: Index): RowRevisions | null {
    const before = this.revisions(row.key);
    const createRevision = (before?.createRevision ?? revision) as Index;
    this.#changes.set(row.key, withTtl(rowOf(row, { revision, createRevision }), this.timeMs));
    this.#newDeadlines += row.expiresMs === undefined ? 0 : 1;
    this.#newLeased += row.lease === undefined ? 0 : 1;
    return before;
  }

  touch(key: string, expiresMs: number): void {
    const row = this.get(key);
    if (row === null) return;
    const touched = rowOf({ ...row, expiresMs, lease: undefined }, row);
    this.#changes.set(key, withTtl(touched, this.timeMs));
    this.#newDeadlines++;
  }

  get timeMs(): number {
    return this.#base.timeMs;
  }

  /** One that is replaced counts as one more: near the most, no exactness is needed. */
  get deadlines(): Pick<Deadlines, "count" | "next" | "has"> {
    const { count, next } = this.#base.deadlines;
    const has = (key: string): boolean => this.#base.deadlines.has(key);
    return { count: count + this.#newDeadlines, next, has };
  }

  /** The counts are as those of deadlines. */
  get leased(): LeasedKeysReader {
    return {
      count: this.#base.leased.count + this.#newLeased,
      countOf: (lease) => this.#base.leased.countOf(lease) + this.#newLeased,
      keysOf: (lease) => this.#keysOf(lease),
    };
  }

  #keysOf(lease: number): string[] {
    const keys = this.#base.leased.keysOf(lease).filter((key) => !this.#changes.has(key));
    for (const [key, row] of this.#changes) if (row?.lease === lease) keys.push(key);
    return keys.sort(compareKeys);
  }

  remove(key: string): RowRevisions | null {
    const before = this.revisions(key);
    if (before !== null) this.#changes.set(key, null);
    return before;
  }

  /** Makes the changes, all of which were made at `revision`. */
  flush(revision: Index): void {
    for (const [key, row] of this.#changes) {
      if (row !== null && row.revision !== revision) {
        this.#base.touch(key, row.expiresMs as number);
        continue;
      }
      // One that went and came again was created anew.
      if (row === null || row.createRevision === revision) this.#base.remove(key);
      if (row !== null) this.#base.put(row, revision);
    }
  }
}
