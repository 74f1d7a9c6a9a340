/** The users' rows: the table in the database, what waits to be written to it, and the hash over all. */

import { Buffer } from "node:buffer";
import { assert, must } from "../server/raft/assert.ts";
import type { Index } from "../server/raft/entry.ts";
import type { Row } from "../server/state-machine/command.ts";
import { Deadlines } from "../server/state-machine/deadlines.ts";
import type { KeyRange } from "../server/state-machine/key-range.ts";
import { LeasedKeys } from "../server/state-machine/leased-keys.ts";
import {
  mergeRows,
  rowOf,
  withTtl,
  type NewRow,
  type RowChange,
  type Rows,
  type ScanOptions,
} from "../server/state-machine/rows.ts";
import { RowBuffer, type WaitingRow } from "./row-buffer.ts";
import { RowCache } from "./row-cache.ts";
import { RowVersions, usableRowid, type StoredVersion } from "./row-versions.ts";
import { SqliteError, type SqliteDatabase, type SqliteRow } from "./sqlite/port.ts";
import { rowChecksum, type StateHash } from "./state-hash.ts";
import { contradictionIn, readRow } from "./state-row.ts";
import { StateDamaged } from "./state-schema.ts";
import type { Statements } from "./state-statements.ts";
import { StateVerification, type RowVersion } from "./state-verification.ts";
import { writeOrder } from "./write-order.ts";

/** Rows fetched at once while scanning: a value may have a megabyte, a key two kilobytes. */
const valuesPerScan = 16;
const keysPerScan = 256;

/**
 * Three layers, each over the next: rows changed since the last `freeze`, rows that are being written,
 * and the table. Invariant: when a row that waits is written, the table holds what it says is `stored`.
 */
export class RowTable implements Rows {
  readonly #path: string;
  readonly #statements: Statements;
  #buffer = new RowBuffer();
  /** Null: nothing is being written. */
  #frozen: RowBuffer | null = null;
  /** Those of `#frozen` that are to be written still; null before the first. */
  #unwritten: Iterator<[string, WaitingRow]> | null = null;
  readonly #versions = new RowVersions();
  readonly #cache = new RowCache();
  readonly #verification: StateVerification;
  #hash: StateHash;
  readonly #deadlines = new Deadlines();
  readonly #leased = new LeasedKeys();
  /** Log time, as of the newest entry. */
  timeMs = 0;
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
    this.#readLasting();
  }

  /** Over all rows as they are now. */
  get hash(): StateHash {
    return this.#hash;
  }

  // ------------------------------------------------------------------ changes

  put(row: NewRow, revision: Index): RowVersion | null {
    const waiting = this.#buffer.get(row.key);
    const before = this.#before(row.key, waiting);
    const createRevision = (before === null ? revision : before.createRevision) as Index;
    this.#change(row.key, { waiting, before, after: rowOf(row, { revision, createRevision }) });
    return before;
  }

  remove(key: string): RowVersion | null {
    const waiting = this.#buffer.get(key);
    const before = this.#before(key, waiting);
    if (before !== null) this.#change(key, { waiting, before, after: null });
    return before;
  }

  touch(key: string, expiresMs: number): void {
    const row = this.get(key);
    if (row === null) return;
    const waiting = this.#buffer.get(key);
    const before = this.#before(key, waiting);
    const after = rowOf({ ...row, expiresMs, lease: undefined }, row);
    this.#change(key, { waiting, before, after });
  }

  #change(key: string, { waiting, before, after }: Change): void {
    if (before !== null) this.#hash.remove(before.checksum, before.revision, before.createRevision);
    let checksum = 0;
    if (after !== null) {
      const { value, revision, createRevision } = after;
      checksum = rowChecksum(after, revision, createRevision);
      this.#hash.add(checksum, revision, createRevision);
      this.writtenBytes += value.byteLength;
    }
    if (waiting === undefined) {
      const rowid = before === null ? 0 : before.rowid;
      this.#buffer.add(key, { stored: before, rowid, row: after, checksum });
    } else {
      waiting.row = after;
      waiting.checksum = checksum;
    }
    this.#deadlines.set(key, after?.expiresMs);
    this.#leased.set(key, after?.lease);
  }

  get deadlines(): Deadlines {
    return this.#deadlines;
  }

  get leased(): LeasedKeys {
    return this.#leased;
  }

  /** What is kept in memory of the rows in the table. */
  #readLasting(): void {
    this.#readDeadlines();
    this.#leased.clear();
    let [lease, last] = [-1, ""];
    for (;;) {
      const page = this.#statements.leased.all(lease, last);
      for (const found of page) {
        [lease, last] = [found["lease"] as number, found["key"] as string];
        this.#leased.set(last, lease);
      }
      if (page.length === 0) return;
    }
  }

  #readDeadlines(): void {
    this.#deadlines.clear();
    let [time, last] = [-1, ""];
    for (;;) {
      const page = this.#statements.deadlines.all(time, last);
      for (const { key, expires_ms: expires } of page) {
        [time, last] = [expires as number, key as string];
        this.#deadlines.set(last, time);
      }
      if (page.length === 0) return;
    }
  }

  // ------------------------------------------------------------------ reading

  revisions(key: string): RowVersion | null {
    return this.#before(key, this.#buffer.get(key));
  }

  /** `waiting`: what the key was changed to since the last `freeze`. */
  #before(key: string, waiting: WaitingRow | undefined): StoredVersion | null {
    return waiting === undefined ? this.#below(key) : waitingVersion(waiting);
  }

  /** What is under the rows changed since the last `freeze`. */
  #below(key: string): StoredVersion | null {
    const frozen = this.#frozen?.get(key);
    if (frozen !== undefined) return waitingVersion(frozen);
    const version = this.#versions.get(key);
    return version === undefined ? this.#storedVersion(key) : version;
  }

  #storedVersion(key: string): StoredVersion | null {
    const stored = this.#statements.getVersion.get(key);
    if (stored === null) return null;
    const { checksum, revision, create_revision: createRevision } = stored;
    if (![checksum, revision, createRevision].every(Number.isSafeInteger)) {
      throw this.#damaged(key, "has a column of another type");
    }
    const rowid = usableRowid(stored["rowid"] as number);
    return { checksum, revision, createRevision, rowid } as StoredVersion;
  }

  #damaged(key: string, how: string): StateDamaged {
    return new StateDamaged(this.#path, `the row of key ${JSON.stringify(key)} ${how}`);
  }

  get(key: string): Row | null {
    const waiting = this.#buffer.get(key) ?? this.#frozen?.get(key);
    if (waiting !== undefined) return waiting.row && withTtl(waiting.row, this.timeMs);
    const row = this.#cache.get(key) ?? this.#storedRow(key);
    return row && withTtl(row, this.timeMs);
  }

  #storedRow(key: string): Row | null {
    const found = this.#statements.get.get(key);
    if (found === null) return null;
    const row = this.#checkedRow(found);
    this.#cache.add(row);
    return row;
  }

  /** Without their values, rows cannot be checked: a scan of keys alone takes them as they are. */
  scan(range: KeyRange, options: ScanOptions): Iterable<Row> {
    return this.#deadlines.count === 0
      ? this.#scanAll(range, options)
      : this.#scanWithTtl(range, options);
  }

  *#scanWithTtl(range: KeyRange, options: ScanOptions): Generator<Row> {
    for (const row of this.#scanAll(range, options)) yield withTtl(row, this.timeMs);
  }

  #scanAll(range: KeyRange, options: ScanOptions): Iterable<Row> {
    let rows: Iterable<Row> = this.#scanStored(range, options);
    for (const buffer of [this.#frozen, this.#buffer]) {
      if (buffer === null || buffer.size === 0) continue;
      rows = mergeRows(rows, changesOf(buffer, range, options), options);
    }
    return rows;
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
    const columns = [
      key,
      value,
      contentType,
      createRevision,
      revision,
      found["checksum"] ?? null,
      found["expires_ms"] ?? null,
      found["lease"] ?? null,
    ];
    const detail = contradictionIn(columns);
    if (detail !== null) throw new StateDamaged(this.#path, detail);
    return row;
  }

  // ------------------------------------------------------------------ the database

  /** Rows that wait to be written. */
  get waitingCount(): number {
    return this.#buffer.size + (this.#frozen?.size ?? 0);
  }

  /** Of those that are not frozen, the ones in the place of a row that is there. */
  get replacingCount(): number {
    return this.#buffer.replacing;
  }

  /** What waits is what `writeSome` writes; changes from now on wait for the next time. */
  freeze(): void {
    assert(this.#frozen === null, "rows are written one time after the other");
    this.#frozen = this.#buffer;
    this.#buffer = new RowBuffer();
  }

  /** Goes on with writing what is frozen, inside of a transaction that the caller has begun. */
  writeSome(rowsMax: number, bytesMax: number): "more" | "done" {
    const frozen = must(this.#frozen, "rows are frozen before they are written");
    this.#unwritten ??= writeOrder(frozen, (key) => this.#versions.get(key)?.rowid ?? 0);
    let bytes = 0;
    for (let count = 0; count < rowsMax && bytes < bytesMax; count++) {
      const next = this.#unwritten.next();
      if (next.done === true) return "done";
      const [key, waiting] = next.value;
      bytes += waiting.row === null ? 0 : waiting.row.value.byteLength;
      this.#write(key, waiting);
    }
    return "more";
  }

  #write(key: string, waiting: WaitingRow): void {
    const { stored, row } = waiting;
    let rowid = 0;
    if (row !== null) rowid = this.#writeRow(row, waiting);
    else if (stored !== null) this.#statements.delete.run(key);
    const version = waitingVersion(waiting);
    this.#versions.set(key, version, rowid);
    this.#cache.written(key, row);
    this.#verification.changed(key, stored, version);
  }

  /** Returns where it stands from now on; 0: not known. */
  #writeRow(row: Row, { stored, rowid, checksum }: WaitingRow): number {
    const { key, value, contentType, createRevision, revision } = row;
    const { expiresMs = null, lease = null } = row;
    const { insert, update, updateByRowid } = this.#statements;
    const columns = [contentType, createRevision, revision, checksum, expiresMs, lease] as const;
    if (stored === null) {
      try {
        const { lastInsertRowid } = insert.run(value, ...columns, key);
        return updateByRowid === null ? 0 : lastInsertRowid;
      } catch (error) {
        if (!(error instanceof SqliteError && error.isConstraint)) throw error;
        throw this.#damaged(key, "is there, and was not found");
      }
    }
    const { changes } =
      updateByRowid === null || rowid === 0
        ? update.run(value, ...columns, key)
        : updateByRowid.run(value, ...columns, rowid, key);
    if (changes === 0) throw this.#damaged(key, "is not where it was");
    return rowid;
  }

  /** The transaction is committed: nothing that was frozen waits any more. */
  written(): void {
    this.#frozen = null;
    this.#unwritten = null;
  }

  /** The transaction was taken back: what is frozen waits for the next one. */
  unwritten(): void {
    this.#unwritten = null;
    this.#versions.clear();
    this.#cache.clear();
    this.#verification.restart();
  }

  /** Drops what waits; `hash` was that of the rows in the database. */
  rollBack(hash: StateHash): void {
    this.unwritten();
    this.written();
    this.#hash = hash;
    this.#buffer = new RowBuffer();
    this.#readLasting();
  }

  /**
   * Goes on with the background verification, of the rows in the table: `hash` is that of all of them,
   * and no transaction is open. At the end, throws `StateDamaged` where the rows are not those that the
   * hash was kept of.
   */
  verify(bytesMax: number, hash: StateHash): { bytes: number; isEnd: boolean } {
    const { bytes, end } = this.#verification.step(bytesMax);
    if (end !== null && end.toString() !== hash.toString()) {
      const detail = "its rows are not those that were written: some are missing, or too many";
      throw new StateDamaged(this.#path, detail);
    }
    return { bytes, isEnd: end !== null };
  }
}

const noBytes = new Uint8Array();

/** Of one key's row; null: there is none. */
interface Change {
  readonly waiting: WaitingRow | undefined;
  readonly before: StoredVersion | null;
  readonly after: Row | null;
}

/** Without the value, which is not to be kept for its sake. */
function waitingVersion({ row, checksum }: WaitingRow): StoredVersion | null {
  if (row === null) return null;
  return { checksum, revision: row.revision, createRevision: row.createRevision, rowid: 0 };
}

function* changesOf(
  buffer: RowBuffer,
  range: KeyRange,
  { reverse, keysOnly }: ScanOptions,
): Generator<RowChange> {
  for (const [key, { row }] of buffer.within(range, reverse)) {
    yield [key, row !== null && keysOnly ? { ...row, value: noBytes } : row];
  }
}
