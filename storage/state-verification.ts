/**
 * Reads all rows bit by bit, in the order of their keys, and holds them to be the ones that the state
 * hash was kept of. A row's own checksum is looked at whenever it is read; but a bit that flips in a
 * key, in a page above the rows or in the list of pages may hide rows, and nobody reads what is hidden.
 */

import { Buffer } from "node:buffer";
import type { SqliteDatabase, SqliteRow, SqliteStatement } from "./sqlite/port.ts";
import { isIndexed } from "./state-schema.ts";
import { StateHash } from "./state-hash.ts";

/** Rows looked at in one step, unless their bytes are the nearer limit. */
const rowsPerStep = 256;

/** What the hash is made of, of one row. */
export interface RowVersion {
  readonly checksum: number;
  readonly revision: number;
  readonly createRevision: number;
}

export interface StateVerificationOptions {
  readonly database: SqliteDatabase;
  /** Throws where the row contradicts itself; returns its size in bytes. */
  readonly check: (row: SqliteRow) => number;
}

/**
 * Writes go on between the steps. Those behind the place that the reading has reached change what was
 * counted, as they change the hash; those before it are still to be read. Invariant: `#seen` is the
 * hash of the rows up to and including `#last`, as they are now.
 */
export class StateVerification {
  readonly #next: SqliteStatement;
  readonly #check: (row: SqliteRow) => number;
  /** The key read last, in the form SQLite orders it by; empty at the start. */
  #last = Buffer.alloc(0);
  #lastKey = "";
  #seen = new StateHash(0, 0);

  constructor({ database, check }: StateVerificationOptions) {
    this.#check = check;
    const columns = "value, content_type, create_revision, revision, checksum, expires_ms, lease";
    // A row is found by the index, which has a copy of its key; and both may be damaged.
    const sql = isIndexed(database)
      ? `SELECT place.key AS place, row.key, row.${columns.replaceAll(", ", ", row.")}
         FROM kv AS place CROSS JOIN kv AS row ON row.rowid = place.rowid
         WHERE place.key > ? ORDER BY place.key LIMIT 1`
      : `SELECT key AS place, key, ${columns} FROM kv WHERE key > ? ORDER BY key LIMIT 1`;
    this.#next = database.prepare(sql);
  }

  /**
   * Reads on. The next step after "end" begins a new reading. `bytes`: how much was read; at least one
   * row is, however large.
   */
  step(bytesMax: number): { bytes: number; end: StateHash | null } {
    let bytes = 0;
    for (let count = 0; count < rowsPerStep && bytes < bytesMax; count++) {
      const row = this.#next.get(this.#lastKey);
      if (row === null) {
        const end = this.#seen;
        this.restart();
        return { bytes, end };
      }
      bytes += this.#check(row);
      const { place = null } = row;
      if (place !== row["key"]) this.#check({ ...row, key: place });
      this.#lastKey = place as string;
      this.#last = Buffer.from(this.#lastKey);
      this.#seen.add(
        row["checksum"] as number,
        row["revision"] as number,
        row["create_revision"] as number,
      );
    }
    return { bytes, end: null };
  }

  /** A row was written, replaced or deleted: null where it was or is not there. */
  changed(key: string, before: RowVersion | null, after: RowVersion | null): void {
    if (this.#last.byteLength === 0 || Buffer.compare(Buffer.from(key), this.#last) > 0) return;
    if (before) this.#seen.remove(before.checksum, before.revision, before.createRevision);
    if (after) this.#seen.add(after.checksum, after.revision, after.createRevision);
  }

  /** Other rows than those that were counted may be here now. */
  restart(): void {
    this.#last = Buffer.alloc(0);
    this.#lastKey = "";
    this.#seen = new StateHash(0, 0);
  }
}
