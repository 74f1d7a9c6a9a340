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

export class CommittedChanges {
  /** By index; each key once. */
  readonly #entries: (readonly CommittedChange[])[] = [[]];
  /** By key: what became of it, in order. */
  readonly #rows = new Map<string, { readonly index: number; readonly row: Row | null }[]>();
  /** Of the entry that is being applied. */
  readonly #entry = new Map<string, RowChange>();

  /** By the entry that is being applied. */
  changed(key: string, before: Row | null, after: Row | null): void {
    const first = this.#entry.get(key);
    this.#entry.set(key, { key, before: first ? first.before : before, after });
  }

  /** That entry is applied as a whole. That replicas change alike is checked by what they come to. */
  applied(index: number, isExpiry: boolean): void {
    if (this.#entries[index] === undefined) {
      const news = [...this.#entry.values()].filter(isNews);
      this.#entries[index] = news.map((change) => {
        const gone = isExpiry ? "expire" : "delete";
        return { ...change, type: change.after === null ? gone : "put" };
      });
      for (const { key, after } of news) this.#rowsOf(key).push({ index, row: after });
    }
    this.#entry.clear();
  }

  /** What stands there once that entry is applied. */
  rowAt(key: string, index: number): Row | null {
    return this.#rowsOf(key).findLast((each) => each.index <= index)?.row ?? null;
  }

  /** The last entry up to `through` that changed it, if it lies behind `after`. */
  lastChange(key: string, after: number, through: number): number | null {
    const last = this.#rowsOf(key).findLast(({ index }) => index <= through)?.index ?? 0;
    return last > after ? last : null;
  }

  #rowsOf(key: string): { readonly index: number; readonly row: Row | null }[] {
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

/** A row that only lasts longer than before is none, and neither is one that came and went. */
const isNews = ({ before, after }: RowChange): boolean => before?.revision !== after?.revision;
