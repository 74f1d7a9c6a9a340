/** The requests that are remembered: their table, what waits to be written to it, and their hash. */

import { crc32 } from "node:zlib";
import type { RequestMark, RequestRecord, RequestStore } from "../server/state-machine/once.ts";
import { must } from "../server/raft/assert.ts";
import { requestBytes } from "../server/state-machine/once.ts";
import type { SqliteDatabase, SqliteRow, SqliteStatement, SqliteValue } from "./sqlite/port.ts";
import type { StateHash } from "./state-hash.ts";
import { requestTable, StateDamaged } from "./state-schema.ts";

/** A mark with the checksum that its record has in the table. */
interface Kept extends RequestMark {
  readonly checksum: number;
}

/**
 * As the rows do, requests wait in memory for the transaction that writes them. Invariant: the table,
 * once what is frozen is written, holds those that were remembered at the time of the `freeze`.
 */
export class RequestTable implements RequestStore {
  readonly #path: string;
  readonly #statements: ReturnType<typeof prepare>;
  /** Not in the table yet: without a gap in their numbers, up to the newest. */
  readonly #added = new Map<number, RequestRecord & Kept>();
  /** The newest of each key among them. */
  readonly #addedByKey = new Map<string, RequestRecord & Kept>();
  /** Those below are forgotten, wherever they still are. */
  #first = 0;
  /** The first and the last that the table is to have; null: nothing is being written. */
  #frozen: { readonly first: number; readonly last: number } | null = null;
  /** The next of the frozen ones to be written. */
  #toWrite = 0;
  #oldest: Kept | null = null;
  #newest: Kept | null = null;
  #hash: StateHash;
  /** Of all answers ever remembered. */
  writtenBytes = 0;

  constructor(database: SqliteDatabase, hash: StateHash) {
    this.#path = database.path;
    this.#statements = prepare(database);
    this.#hash = hash;
    this.#readEnds();
  }

  /** Over all that are remembered, in no order. */
  get hash(): StateHash {
    return this.#hash;
  }

  get oldest(): RequestMark | null {
    return this.#oldest;
  }

  get newest(): RequestMark | null {
    return this.#newest;
  }

  find(key: string): RequestRecord | null {
    const added = this.#addedByKey.get(key);
    if (added !== undefined) return added.number < this.#first ? null : added;
    const found = this.#statements.find.get(key);
    if (found === null) return null;
    const record = this.#checked(found);
    return record.number < this.#first ? null : record;
  }

  add(record: RequestRecord): void {
    const checksum = requestChecksum(columnsOf(record));
    const kept = { ...record, checksum };
    this.#added.set(kept.number, kept);
    this.#addedByKey.set(kept.key, kept);
    this.#hash.add(checksum, kept.number, kept.number);
    this.#newest = kept;
    this.#oldest ??= kept;
    this.writtenBytes += requestBytes(record);
  }

  dropOldest(): void {
    const dropped = this.#oldest;
    if (dropped === null) return;
    const { number, checksum } = dropped;
    this.#hash.remove(checksum, number, number);
    this.#first = number + 1;
    // The newest stays known all the same: the numbers go on behind it.
    this.#oldest = this.#newest?.number === number ? null : this.#at(this.#first);
  }

  /** What waits is what `writeSome` writes; changes from now on wait for the next time. */
  freeze(): void {
    this.#frozen = { first: this.#first, last: this.#newest?.number ?? 0 };
    this.unwritten();
  }

  /** Goes on with writing what is frozen, inside of a transaction that the caller has begun. */
  writeSome(rowsMax: number): "more" | "done" {
    const { first, last } = must(this.#frozen, "requests are frozen before they are written");
    for (let count = 0; this.#toWrite <= last; this.#toWrite++, count++) {
      if (count >= rowsMax) return "more";
      const record = this.#added.get(this.#toWrite);
      if (record === undefined || record.number < first) continue;
      this.#statements.add.run(...columnsOf(record), record.checksum);
    }
    this.#statements.drop.run(first);
    return "done";
  }

  /** The transaction is committed: nothing that was frozen waits any more. */
  written(): void {
    const last = this.#frozen?.last ?? 0;
    for (const [number, record] of this.#added) {
      if (number > last) break;
      this.#added.delete(number);
      if (this.#addedByKey.get(record.key) === record) this.#addedByKey.delete(record.key);
    }
    this.#frozen = null;
  }

  /** The transaction was taken back: what is frozen waits for the next one. */
  unwritten(): void {
    const [first = Infinity] = this.#added.keys();
    this.#toWrite = first;
  }

  /** Drops what waits; `hash` was that of the table. */
  rollBack(hash: StateHash): void {
    this.#added.clear();
    this.#addedByKey.clear();
    this.#frozen = null;
    this.#hash = hash;
    this.#readEnds();
  }

  #readEnds(): void {
    const [oldest, newest] = [this.#statements.first.get(), this.#statements.last.get()];
    this.#oldest = oldest && this.#kept(oldest);
    this.#newest = newest && this.#kept(newest);
    this.#first = this.#oldest?.number ?? 0;
  }

  #at(number: number): Kept {
    const added = this.#added.get(number);
    if (added !== undefined) return added;
    const found = this.#statements.at.get(number);
    if (found !== null) return this.#kept(found);
    throw new StateDamaged(this.#path, `of the remembered requests number ${number} is missing`);
  }

  /** Without its answer, which may be long and is not kept in memory. */
  #kept(found: SqliteRow): Kept {
    const { number, timeMs, bytesEver } = this.#checked(found);
    return { number, timeMs, bytesEver, checksum: found["checksum"] as number };
  }

  #checked(found: SqliteRow): RequestRecord {
    const columns = requestTable.columns.map((column) => found[column] ?? null);
    const detail = requestContradictionIn(columns);
    if (detail !== null) throw new StateDamaged(this.#path, detail);
    const [number, key, fingerprint, answer, timeMs, bytesEver] = columns;
    return { number, key, fingerprint, answer, timeMs, bytesEver } as RequestRecord;
  }
}

function columnsOf(record: RequestRecord): SqliteValue[] {
  const { number, key, fingerprint, answer, timeMs, bytesEver } = record;
  return [number, key, fingerprint, answer, timeMs, bytesEver];
}

/** Of a row of the table with its columns in their order. */
export function requestContradictionIn(columns: readonly SqliteValue[]): string | null {
  const [number, key, fingerprint, answer, timeMs, bytesEver, checksum] = columns;
  const isRecord =
    [number, timeMs, bytesEver].every(Number.isSafeInteger) &&
    typeof key === "string" &&
    fingerprint instanceof Uint8Array &&
    answer instanceof Uint8Array;
  if (!isRecord) return "a remembered request has a column of another type";
  if (requestChecksum(columns) === checksum) return null;
  return `the remembered request number ${String(number)} contradicts its checksum`;
}

/** Adds a row of the table, which contradicts nothing, to the hash of all of them. */
export function addRequest(hash: StateHash, columns: readonly SqliteValue[]): void {
  const number = columns[0] as number;
  hash.add(columns[requestTable.columns.length - 1] as number, number, number);
}

/** Over everything in the row but the checksum itself. */
function requestChecksum(columns: readonly SqliteValue[]): number {
  const [number, key, fingerprint, answer, timeMs, bytesEver] = columns;
  const bytes = answer as Uint8Array;
  const head = `${String(number)} ${String(timeMs)} ${String(bytesEver)} ${bytes.byteLength} `;
  return crc32(bytes, crc32(fingerprint as Uint8Array, crc32(head + String(key))));
}

function prepare(database: SqliteDatabase) {
  const { name, columns } = requestTable;
  const marks = columns.map(() => "?").join(", ");
  const select = (where: string): SqliteStatement =>
    database.prepare(`SELECT ${columns.join(", ")} FROM ${name} ${where} LIMIT 1`);
  return {
    find: select("WHERE key = ? ORDER BY number DESC"),
    at: select("WHERE number = ?"),
    first: select("ORDER BY number"),
    last: select("ORDER BY number DESC"),
    add: database.prepare(`INSERT INTO ${name} VALUES (${marks})`),
    drop: database.prepare(`DELETE FROM ${name} WHERE number < ?`),
  };
}
