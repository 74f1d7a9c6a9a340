/** The users' rows: the table in the database, what waits to be written to it, and the hash over all. */

import { Buffer } from "node:buffer";
import { index, type Index } from "../server/raft/entry.ts";
import type { Row } from "../server/state-machine/command.ts";
import type { KeyRange } from "../server/state-machine/key-range.ts";
import {
  changesIn,
  mergeRows,
  type NewRow,
  type RowChange,
  type Rows,
  type ScanOptions,
} from "../server/state-machine/rows.ts";
import { RowBuffer, type BufferedRow } from "./row-buffer.ts";
import type { SqliteDatabase, SqliteRow } from "./sqlite/port.ts";
import { rowChecksum, type StateHash } from "./state-hash.ts";
import { contradictionIn, readRow } from "./state-row.ts";
import { StateDamaged } from "./state-schema.ts";
import type { Statements } from "./state-statements.ts";
import { StateVerification, type RowVersion } from "./state-verification.ts";

/** Rows fetched at once while scanning: a value may have a megabyte, a key two kilobytes. */
const valuesPerScan = 16;
const keysPerScan = 256;

export class RowTable implements Rows {
  readonly #path: string;
  readonly #statements: Statements;
  /** Changed since the last `written`. */
  readonly #buffer = new RowBuffer();
  readonly #verification: StateVerification;
  #hash: StateHash;
  /** Bytes of all values ever put. */
  writtenBytes = 0;

  constructor(database: SqliteDatabase, statements: Statements, hash: StateHash) {
    this.#path = database.path;
    this.#statements = statements;
    this.#hash = hash;
    const check = (found: SqliteRow): number => {
      const { key, value } = this.#checkedRow(found);
      return Buffer.byteLength(key) + value.byteLength;
    };
    this.#verification = new StateVerification({ database, check });
  }

  /** Over all rows as they are now. */
  get hash(): StateHash {
    return this.#hash;
  }

  // ------------------------------------------------------------------ changes

  put(row: NewRow, revision: Index): RowVersion | null {
    const { key, contentType } = row;
    const before = this.#forget(key);
    const createRevision = before === null ? revision : before.createRevision;
    const checksum = rowChecksum(row, revision, createRevision);
    // A copy: an entry's bytes are a view into a packet, or the log's.
    const value = row.value.slice();
    this.writtenBytes += value.byteLength;
    this.#buffer.set(key, { value, contentType, createRevision, revision, checksum });
    this.#hash.add(checksum, revision, createRevision);
    this.#verification.changed(key, before, { checksum, revision, createRevision });
    return before;
  }

  remove(key: string): RowVersion | null {
    const before = this.#forget(key);
    if (before === null) return null;
    this.#buffer.set(key, null);
    this.#verification.changed(key, before, null);
    return before;
  }

  /** Takes the row that is about to go out of the hash. */
  #forget(key: string): RowVersion | null {
    const before = this.revisions(key);
    if (before !== null) this.#hash.remove(before.checksum, before.revision, before.createRevision);
    return before;
  }

  // ------------------------------------------------------------------ reading

  revisions(key: string): RowVersion | null {
    const buffered = this.#buffer.get(key);
    if (buffered !== undefined) return buffered;
    const stored = this.#statements.getVersion.get(key);
    if (stored === null) return null;
    const { checksum, revision, create_revision: createRevision } = stored;
    if (![checksum, revision, createRevision].every(Number.isSafeInteger)) {
      const detail = `the row of key ${JSON.stringify(key)} has a column of another type`;
      throw new StateDamaged(this.#path, detail);
    }
    return { checksum, revision, createRevision } as RowVersion;
  }

  get(key: string): Row | null {
    const buffered = this.#buffer.get(key);
    if (buffered === null) return null;
    if (buffered !== undefined) return rowOf(key, buffered);
    const found = this.#statements.get.get(key);
    return found && this.#checkedRow(found);
  }

  /** Without their values, rows cannot be checked: a scan of keys alone takes them as they are. */
  scan(range: KeyRange, options: ScanOptions): Iterable<Row> {
    const stored = this.#scanStored(range, options);
    if (this.#buffer.isEmpty) return stored;
    const changes = changesIn(this.#bufferedRows(options.keysOnly), range, options.reverse);
    return changes.length === 0 ? stored : mergeRows(stored, changes, options.reverse);
  }

  *#bufferedRows(keysOnly: boolean): Generator<RowChange> {
    for (const [key, row] of this.#buffer.entries()) {
      yield [key, row && rowOf(key, keysOnly ? { ...row, value: noBytes } : row)];
    }
  }

  *#scanStored({ start, end }: KeyRange, { reverse, keysOnly }: ScanOptions): Generator<Row> {
    const scans = keysOnly ? this.#statements.scanKeys : this.#statements.scanRows;
    const scanMax = keysOnly ? keysPerScan : valuesPerScan;
    let [from, to] = [start, end];
    let last: string | null = null;
    for (;;) {
      const page: SqliteRow[] = reverse
        ? scans.backward.all(from, to, scanMax)
        : scans.forward.all(from, last ?? "", to, scanMax);
      for (const found of page) {
        const row = keysOnly ? readRow(found) : this.#checkedRow(found);
        last = row.key;
        yield row;
      }
      if (page.length < scanMax || last === null) return;
      if (reverse) to = last;
      else from = last;
    }
  }

  #checkedRow(found: SqliteRow): Row {
    const row = readRow(found);
    const { key, value, contentType, createRevision, revision } = row;
    const columns = [key, value, contentType, createRevision, revision, found["checksum"] ?? null];
    const detail = contradictionIn(columns);
    if (detail !== null) throw new StateDamaged(this.#path, detail);
    return row;
  }

  // ------------------------------------------------------------------ the database

  /** Writes what waits, inside of a transaction that the caller has begun. */
  write(): void {
    const { put, delete: remove } = this.#statements;
    for (const [key, row] of this.#buffer.inOrder()) {
      if (row === null) {
        remove.run(key);
        continue;
      }
      const { value, contentType, createRevision, revision, checksum } = row;
      put.run(key, value, contentType, createRevision, revision, checksum);
    }
  }

  /** The transaction is committed: nothing waits any more. */
  written(): void {
    this.#buffer.clear();
  }

  /** Drops what waits; `hash` was that of the rows in the database. */
  rollBack(hash: StateHash): void {
    this.#hash = hash;
    this.#verification.restart();
    this.#buffer.clear();
  }

  /**
   * Goes on with the background verification, where nothing waits to be written. At the end, throws
   * `StateDamaged` where the rows are not those that the hash was kept of.
   */
  verify(bytesMax: number): { bytes: number; isEnd: boolean } {
    const { bytes, end } = this.#verification.step(bytesMax);
    if (end !== null && end.toString() !== this.#hash.toString()) {
      const detail = "its rows are not those that were written: some are missing, or too many";
      throw new StateDamaged(this.#path, detail);
    }
    return { bytes, isEnd: end !== null };
  }
}

const noBytes = new Uint8Array();

const rowOf = (key: string, row: BufferedRow): Row => ({
  key,
  value: row.value,
  contentType: row.contentType,
  revision: index(row.revision),
  createRevision: index(row.createRevision),
});
