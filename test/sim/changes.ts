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
  /** Of the entry that is being applied. */
  readonly #entry = new Map<string, RowChange>();

  /** By the entry that is being applied. */
  changed(key: string, before: Row | null, after: Row | null): void {
    const first = this.#entry.get(key);
    this.#entry.set(key, { key, before: first ? first.before : before, after });
  }

  /** That entry is applied as a whole. That replicas change alike is checked by what they come to. */
  applied(index: number, isExpiry: boolean): void {
    this.#entries[index] ??= [...this.#entry.values()].filter(isNews).map((change) => {
      const gone = isExpiry ? "expire" : "delete";
      return { ...change, type: change.after === null ? gone : "put" };
    });
    this.#entry.clear();
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
