/** Rows in a map, for machines and stores of tests. */

import type { Index } from "../../server/raft/entry.ts";
import type { Row } from "../../server/state-machine/command.ts";
import { Deadlines } from "../../server/state-machine/deadlines.ts";
import { compareKeys, type KeyRange } from "../../server/state-machine/key-range.ts";
import {
  withTtl,
  type NewRow,
  type RowRevisions,
  type Rows,
  type ScanOptions,
} from "../../server/state-machine/rows.ts";

export class MapRows implements Rows {
  readonly #rows: Map<string, Row>;
  readonly #changed: (key: string, before: Row | null, after: Row | null) => void;
  readonly deadlines: Deadlines;
  timeMs = 0;

  constructor(
    rows: Map<string, Row>,
    changed: (key: string, before: Row | null, after: Row | null) => void = () => {},
    deadlines: Deadlines = deadlinesOf(rows),
  ) {
    this.deadlines = deadlines;
    this.#rows = rows;
    this.#changed = changed;
  }

  revisions(key: string): RowRevisions | null {
    return this.get(key);
  }

  get(key: string): Row | null {
    const row = this.#rows.get(key);
    return row === undefined ? null : withTtl(row, this.timeMs);
  }

  scan({ start, end }: KeyRange, { reverse, keysOnly }: ScanOptions): Row[] {
    const sign = reverse ? -1 : 1;
    return [...this.#rows.values()]
      .filter(({ key }) => compareKeys(key, start) >= 0 && compareKeys(key, end) < 0)
      .sort((a, b) => sign * compareKeys(a.key, b.key))
      .map((row) => withTtl(row, this.timeMs))
      .map((row) => (keysOnly ? { ...row, value: new Uint8Array() } : row));
  }

  put({ key, value, contentType, expiresMs }: NewRow, revision: Index): RowRevisions | null {
    const before = this.#rows.get(key) ?? null;
    const createRevision = before?.createRevision ?? revision;
    const plain = { key, value: value.slice(), contentType, revision, createRevision };
    this.#change(key, before, expiresMs === undefined ? plain : { ...plain, expiresMs });
    return before;
  }

  touch(key: string, expiresMs: number): void {
    const before = this.#rows.get(key);
    if (before) this.#change(key, before, { ...before, expiresMs });
  }

  remove(key: string): RowRevisions | null {
    const before = this.#rows.get(key);
    if (before === undefined) return null;
    this.#change(key, before, null);
    return before;
  }

  #change(key: string, before: Row | null, after: Row | null): void {
    if (after === null) this.#rows.delete(key);
    else this.#rows.set(key, after);
    this.deadlines.set(key, after?.expiresMs);
    this.#changed(key, before, after);
  }
}

export function deadlinesOf(rows: ReadonlyMap<string, Row>): Deadlines {
  const deadlines = new Deadlines();
  for (const { key, expiresMs } of rows.values()) deadlines.set(key, expiresMs);
  return deadlines;
}
