/** What entries do to rows, told while they are applied: each key at most once for each entry. */

import type { Index } from "../raft/entry.ts";
import type { Row } from "./command.ts";
import type { KeyRange } from "./key-range.ts";
import type { NewRow, RowRevisions, Rows, ScanOptions } from "./rows.ts";

/** A row that went because its time was over has gone by `expire`. */
export type ChangeType = "put" | "delete" | "expire";

export interface RowChanged {
  readonly type: ChangeType;
  readonly key: string;
  /** What stands there now; null: nothing. */
  readonly row: Row | null;
  /** Of what stood there; null: nothing. */
  readonly revisionsBefore: RowRevisions | null;
  /** What stood there, where it was asked for. */
  readonly rowBefore: Row | null;
}

export interface ChangeSink {
  /** Whether somebody wants to know what stood there, and not only that something did. */
  readonly wantsRowBefore: boolean;
  /** By the entry that is being applied. A later change of the same key takes the place of this one. */
  changed(change: RowChanged): void;
  /** The entry is applied as a whole, whether or not it changed anything. */
  applied(index: Index): void;
  /** Another state, of this index, took the place of the one that was watched. */
  replaced(index: Index): void;
}

/** Rows whose changes are told. */
export class WatchedRows implements Rows {
  readonly #rows: Rows;
  readonly #sink: ChangeSink;

  constructor(rows: Rows, sink: ChangeSink) {
    this.#rows = rows;
    this.#sink = sink;
  }

  revisions(key: string): RowRevisions | null {
    return this.#rows.revisions(key);
  }

  get(key: string): Row | null {
    return this.#rows.get(key);
  }

  scan(range: KeyRange, options: ScanOptions): Iterable<Row> {
    return this.#rows.scan(range, options);
  }

  put(row: NewRow, revision: Index): RowRevisions | null {
    const { key } = row;
    const rowBefore = this.#sink.wantsRowBefore ? this.#rows.get(key) : null;
    const revisionsBefore = this.#rows.put(row, revision);
    // As readers get it.
    const after = this.#rows.get(key);
    this.#sink.changed({ type: "put", key, row: after, revisionsBefore, rowBefore });
    return revisionsBefore;
  }

  remove(key: string, type: "delete" | "expire" = "delete"): RowRevisions | null {
    const rowBefore = this.#sink.wantsRowBefore ? this.#rows.get(key) : null;
    const revisionsBefore = this.#rows.remove(key);
    if (revisionsBefore === null) return null;
    this.#sink.changed({ type, key, row: null, revisionsBefore, rowBefore });
    return revisionsBefore;
  }

  /** No change: what is told of a row is its value and its revision. */
  touch(key: string, expiresMs: number): void {
    this.#rows.touch(key, expiresMs);
  }

  get leased(): Rows["leased"] {
    return this.#rows.leased;
  }

  get deadlines(): Rows["deadlines"] {
    return this.#rows.deadlines;
  }

  get timeMs(): number {
    return this.#rows.timeMs;
  }

  set timeMs(timeMs: number) {
    this.#rows.timeMs = timeMs;
  }
}
