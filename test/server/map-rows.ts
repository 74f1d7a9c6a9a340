/** Rows in a map, for machines and stores of tests. */

import type { Index } from "../../server/raft/entry.ts";
import type { Row } from "../../server/state-machine/command.ts";
import { Deadlines } from "../../server/state-machine/deadlines.ts";
import { compareKeys, type KeyRange } from "../../server/state-machine/key-range.ts";
import { LeasedKeys } from "../../server/state-machine/leased-keys.ts";
import {
  rowOf,
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
  readonly leased: LeasedKeys;
  timeMs = 0;

  constructor(
    rows: Map<string, Row>,
    changed: (key: string, before: Row | null, after: Row | null) => void = () => {},
    { deadlines, leased }: Lasting = lastingOf(rows),
  ) {
    this.deadlines = deadlines;
    this.leased = leased;
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

  put(row: NewRow, revision: Index): RowRevisions | null {
    const { key, value } = row;
    const before = this.#rows.get(key) ?? null;
    const createRevision = before?.createRevision ?? revision;
    this.#change(
      key,
      before,
      rowOf({ ...row, value: value.slice() }, { revision, createRevision }),
    );
    return before;
  }

  touch(key: string, expiresMs: number): void {
    const before = this.#rows.get(key);
    if (!before) return;
    this.#change(key, before, rowOf({ ...before, expiresMs, lease: undefined }, before));
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
    this.leased.set(key, after?.lease);
    this.#changed(key, before, after);
  }
}

/** What a store remembers besides its rows of how long they stay. */
export interface Lasting {
  readonly deadlines: Deadlines;
  readonly leased: LeasedKeys;
}

export function lastingOf(rows: ReadonlyMap<string, Row>): Lasting {
  const lasting = { deadlines: new Deadlines(), leased: new LeasedKeys() };
  for (const { key, expiresMs, lease } of rows.values()) {
    lasting.deadlines.set(key, expiresMs);
    lasting.leased.set(key, lease);
  }
  return lasting;
}
