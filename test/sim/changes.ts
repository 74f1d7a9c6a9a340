/** What every committed entry did to the rows, by whoever applied it first: what watchers have to be told. */

import { must } from "../../server/raft/assert.ts";
import type { ChangeType } from "../../server/state-machine/changes.ts";
import type { Row } from "../../server/state-machine/command.ts";

interface RowChange {
  readonly key: string;
  readonly before: Row | null;
  readonly after: Row | null;
}

export interface CommittedChange extends RowChange {
  readonly type: ChangeType;
}

interface RowThen {
  readonly index: number;
  readonly row: Row | null;
  /** Otherwise it only lasts longer than before. */
  readonly isNews: boolean;
}

export class CommittedChanges {
  /** By index; each key once. */
  readonly #entries: (readonly CommittedChange[])[] = [[]];
  /** By key: what became of it, in order. */
  readonly #rows = new Map<string, RowThen[]>();
  /** By index: the log's time. */
  readonly #timesMs: number[] = [];
  /** Of the entry that is being applied. */
  readonly #entry = new Map<string, RowChange>();

  /** By the entry that is being applied. */
  changed(key: string, before: Row | null, after: Row | null): void {
    const first = this.#entry.get(key);
    this.#entry.set(key, { key, before: first ? first.before : before, after });
  }

  /** That entry is applied as a whole. That replicas change alike is checked by what they come to. */
  applied(index: number, timeMs: number, isExpiry: boolean): void {
    if (this.#entries[index] === undefined) {
      this.#timesMs[index] = timeMs;
      const all = [...this.#entry.values()];
      const news = all.filter(isNews);
      this.#entries[index] = news.map((change) => {
        const gone = isExpiry ? "expire" : "delete";
        return { ...change, type: change.after === null ? gone : "put" };
      });
      for (const change of all) {
        const { key, after } = change;
        this.#rowsOf(key).push({ index, row: after, isNews: isNews(change) });
      }
    }
    this.#entry.clear();
  }

  /** What stands there once that entry is applied. */
  rowAt(key: string, index: number): Row | null {
    return this.#rowsOf(key).findLast((each) => each.index <= index)?.row ?? null;
  }

  /** All there are then of the keys that it takes, in no order. */
  rowsAt(index: number, takes: (key: string) => boolean): Row[] {
    const rows: Row[] = [];
    for (const key of this.#rows.keys()) {
      const row = takes(key) ? this.rowAt(key, index) : null;
      if (row !== null) rows.push(row);
    }
    return rows;
  }

  /** The log's time at that entry; 0 before the first. */
  timeMs(index: number): number {
    return this.#timesMs[index] ?? 0;
  }

  /** The last entry up to `through` that changed it, if it lies behind `after`. */
  lastChange(key: string, after: number, through: number): number | null {
    const last = this.#rowsOf(key).findLast((each) => each.isNews && each.index <= through);
    return last !== undefined && last.index > after ? last.index : null;
  }

  #rowsOf(key: string): RowThen[] {
    const rows = this.#rows.get(key) ?? [];
    this.#rows.set(key, rows);
    return rows;
  }

  has(index: number): boolean {
    return this.#entries[index] !== undefined;
  }

  /** Of an entry that somebody has applied. */
  of(index: number): readonly CommittedChange[] {
    return must(this.#entries[index], "somebody has applied it");
  }
}

/** Of a seed where somebody watches. */
export const changesIn = (world: { readonly changes: CommittedChanges | null }): CommittedChanges =>
  must(world.changes ?? undefined, "changes are noted where somebody watches");

/** A row that only lasts longer than before is none, and neither is one that came and went. */
const isNews = ({ before, after }: RowChange): boolean => before?.revision !== after?.revision;
