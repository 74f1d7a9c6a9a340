/**
 * The tables of the state file, and the one row of `meta` that says how far the state has come. The
 * checks at opening do not grow with the data: rows are checked when they are read.
 */

import { closeSync, fsyncSync, openSync, readSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import {
  SqliteError,
  type SqliteDatabase,
  type SqliteRow,
  type SqliteStatement,
  type SqliteValue,
} from "./sqlite/port.ts";

/** Grows with every change of what the tables mean. */
const formatVersion = 5;

/** "kvst": tells our file from any other SQLite database. */
const applicationId = 0x6b767374;

/**
 * `kv` holds the users' rows, and the hidden ones of leases and queues. `checksum` is `rowChecksum`'s. Not
 * WITHOUT ROWID: such a table is an index, whose inner pages hold whole rows and whose rows of more than a
 * quarter of a page take a page of their own; with values of a kilobyte it is four times as large, and six
 * levels deep.
 */
const kvTable = `CREATE TABLE kv (
  key TEXT NOT NULL PRIMARY KEY,
  value BLOB NOT NULL,
  content_type TEXT,
  create_revision INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  expires_ms INTEGER,
  lease INTEGER
)`;

const expiresIndex = `CREATE INDEX kv_expires ON kv (expires_ms, key) WHERE expires_ms IS NOT NULL`;

const leaseIndex = `CREATE INDEX kv_lease ON kv (lease, key) WHERE lease IS NOT NULL`;

/** Requests that are executed once; `checksum` is over all of the row. */
const requestTableSql = `CREATE TABLE request (
  number INTEGER PRIMARY KEY,
  key TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  answer BLOB NOT NULL,
  time_ms INTEGER NOT NULL,
  bytes_ever INTEGER NOT NULL,
  checksum INTEGER NOT NULL
)`;

/** A key comes again once its time is over. */
const requestIndex = `CREATE INDEX request_key ON request (key)`;

const metaTable = `CREATE TABLE meta (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  format INTEGER NOT NULL,
  applied_index INTEGER NOT NULL,
  applied_term INTEGER NOT NULL,
  applied_time_ms INTEGER NOT NULL,
  history INTEGER NOT NULL,
  hash_high INTEGER NOT NULL,
  hash_low INTEGER NOT NULL,
  book_high INTEGER NOT NULL,
  book_low INTEGER NOT NULL,
  configuration BLOB,
  checksum INTEGER NOT NULL
)`;

/** SQLite's own default, which no file of ours departs from. */
export const pageBytes = 4096;

/** A table as a snapshot carries it: every column, those of the primary key first. */
export interface StateTable {
  readonly name: string;
  readonly columns: readonly string[];
  /** How many of them make up the key; none of these is ever null. */
  readonly keyCount: number;
}

export const userTable: StateTable = {
  name: "kv",
  columns: [
    "key",
    "value",
    "content_type",
    "create_revision",
    "revision",
    "checksum",
    "expires_ms",
    "lease",
  ],
  keyCount: 1,
};

export const requestTable: StateTable = {
  name: "request",
  columns: ["number", "key", "fingerprint", "answer", "time_ms", "bytes_ever", "checksum"],
  keyCount: 1,
};

/** All but `meta`, which a snapshot's head stands for. */
export const stateTables: readonly StateTable[] = [userTable, requestTable];

/** Makes them all. */
export const stateTablesSql: string = [
  kvTable,
  expiresIndex,
  leaseIndex,
  requestTableSql,
  requestIndex,
].join("; ");

const schemaOf = (userSql: readonly string[]): string =>
  [...userSql, metaTable, requestTableSql, requestIndex].join(";");

/** Of a whole file, by their names. */
const schema = schemaOf([kvTable, expiresIndex, leaseIndex]);

/** Of states that were made before, which go on as they are. Their indexes have the key without being told. */
const schemaBefore = schemaOf([
  `${kvTable.replace("TEXT NOT NULL PRIMARY", "TEXT PRIMARY")} WITHOUT ROWID`,
  expiresIndex.replace(", key)", ")"),
  leaseIndex.replace(", key)", ")"),
]);

export interface StateMeta {
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  /** Log time of the newest applied entry. */
  readonly appliedTimeMs: number;
  /** The chained checksum of every entry applied. */
  readonly history: number;
  /** The lanes of the state hash. */
  readonly hashHigh: number;
  readonly hashLow: number;
  /** The same of what is kept besides the rows. */
  readonly bookHigh: number;
  readonly bookLow: number;
  /** As `encodeConfiguration` wrote it; null before the first. */
  readonly configuration: Uint8Array | null;
}

const emptyMeta: StateMeta = {
  appliedIndex: 0,
  appliedTerm: 0,
  appliedTimeMs: 0,
  history: 0,
  hashHigh: 0,
  hashLow: 0,
  bookHigh: 0,
  bookLow: 0,
  configuration: null,
};

/** The file is not what this program wrote; the message says in which way. */
export class StateDamaged extends Error {
  override name = "StateDamaged";
  readonly path: string;
  readonly detail: string;
  /** False where the file may be whole, and it is this program that cannot read it. */
  readonly isMendable: boolean;

  constructor(path: string, detail: string, isMendable = true) {
    super(`${path}: ${detail}`);
    this.path = path;
    this.detail = detail;
    this.isMendable = isMendable;
  }
}

/** Damage that SQLite noticed by itself is the same to our callers as damage that we noticed. */
export function asDamage(path: string, error: unknown): unknown {
  if (!(error instanceof SqliteError) || !error.isDamage) return error;
  return new StateDamaged(path, error.detail);
}

/** Reads how far the state has come; makes the tables in an empty file. Throws `StateDamaged`. */
export function openSchema(database: SqliteDatabase): StateMeta {
  const id = database.prepare("PRAGMA application_id").get()?.["application_id"];
  const tables = database
    .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
    .all();
  if (id === 0 && tables.length === 0) {
    createSchema(database, emptyMeta);
  } else {
    const found = tables.map((table) => table["sql"]).join(";");
    if (id === applicationId) refuseOtherFormat(database);
    if (id !== applicationId || (found !== schema && found !== schemaBefore)) {
      throw new StateDamaged(database.path, "its tables are not those of a key-value state");
    }
  }
  const rows = database.prepare("SELECT * FROM meta").all();
  const [row] = rows;
  if (row === undefined) throw new StateDamaged(database.path, "its bookkeeping is missing");
  return readMeta(database.path, row);
}

/** A file of another version may be whole. A format that cannot be read is damage, found later. */
function refuseOtherFormat(database: SqliteDatabase): void {
  let format: SqliteValue | undefined;
  try {
    format = database.prepare("SELECT format FROM meta").get()?.["format"];
  } catch (error) {
    // There is no such table or column.
    if (error instanceof SqliteError && error.code === "SQLITE_ERROR") return;
    throw error;
  }
  if (typeof format !== "number" || format === formatVersion || format < 1) return;
  const detail =
    format > formatVersion
      ? `its format ${format} is of a newer version of this program`
      : `its format ${format} is of an older version of this program, which this one cannot read; ` +
        "go on with that version, or begin anew in an empty directory";
  throw new StateDamaged(database.path, detail, false);
}

/** Whether rows are found by an index beside the table, and not in the table itself. */
export const isIndexed = (database: SqliteDatabase): boolean =>
  database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_autoindex_kv_1'").get() !==
  null;

/**
 * Before anything is written to a new file. Of an older one the mode cannot be changed any more, but to set
 * it would be a write at every start, for which a full disk has no room.
 */
export function makeShrinkable(database: SqliteDatabase): void {
  const pages = database.prepare("PRAGMA main.page_count").get()?.["page_count"];
  if (pages === 0) database.exec("PRAGMA auto_vacuum = INCREMENTAL");
}

/** In one transaction, so that a crash leaves an empty file or a whole one. */
export function createSchema(database: SqliteDatabase, meta: StateMeta): void {
  database.exec("BEGIN IMMEDIATE");
  database.exec(`PRAGMA application_id = ${applicationId}`);
  database.exec(`${stateTablesSql}; ${metaTable}`);
  database.exec(`INSERT INTO meta VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0)`);
  saveMeta(prepareSaveMeta(database), meta);
  database.exec("COMMIT");
  syncDirectory(dirname(database.path));
}

export const prepareSaveMeta = (database: SqliteDatabase): SqliteStatement =>
  database.prepare(
    `UPDATE meta SET format = ?, applied_index = ?, applied_term = ?, applied_time_ms = ?,
       history = ?, hash_high = ?, hash_low = ?, book_high = ?, book_low = ?, configuration = ?,
       checksum = ?`,
  );

/** `statement` is `prepareSaveMeta`'s. */
export function saveMeta(statement: SqliteStatement, meta: StateMeta): void {
  statement.run(
    formatVersion,
    meta.appliedIndex,
    meta.appliedTerm,
    meta.appliedTimeMs,
    meta.history,
    meta.hashHigh,
    meta.hashLow,
    meta.bookHigh,
    meta.bookLow,
    meta.configuration,
    metaChecksum(meta),
  );
}

function metaChecksum(meta: StateMeta): number {
  const { appliedIndex, appliedTerm, appliedTimeMs, configuration } = meta;
  const { hashHigh, hashLow, bookHigh, bookLow } = meta;
  const hashes = `${meta.history} ${hashHigh} ${hashLow} ${bookHigh} ${bookLow}`;
  const head = `${appliedIndex} ${appliedTerm} ${appliedTimeMs} ${hashes}`;
  const checksum = crc32(`${formatVersion} ${head} ${configuration === null ? "-" : "+"}`);
  return configuration === null ? checksum : crc32(configuration, checksum);
}

function readMeta(path: string, row: SqliteRow): StateMeta {
  const { format, checksum } = row;
  const meta = {
    appliedIndex: row["applied_index"],
    appliedTerm: row["applied_term"],
    appliedTimeMs: row["applied_time_ms"],
    history: row["history"],
    hashHigh: row["hash_high"],
    hashLow: row["hash_low"],
    bookHigh: row["book_high"],
    bookLow: row["book_low"],
    configuration: row["configuration"],
  } as StateMeta;
  if (format !== formatVersion || checksum !== metaChecksum(meta)) {
    throw new StateDamaged(path, "its bookkeeping contradicts its checksum");
  }
  return meta;
}

/**
 * Says whether the file at `path` has lost its end. SQLite itself would notice only when it reaches
 * for a missing page. With a write-ahead log beside it the end may still be in there.
 */
export function isCutShort(path: string): boolean {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) {
    throw new SqliteError(path, "SQLITE_CANTOPEN", "it is a directory");
  }
  const bytes = fileBytes(path);
  if (bytes === 0 || walBytes(path) > 0) return false;
  const header = new Uint8Array(100);
  const file = openSync(path, "r");
  try {
    if (readSync(file, header, 0, header.byteLength, 0) < header.byteLength) return true;
  } finally {
    closeSync(file);
  }
  // https://www.sqlite.org/fileformat2.html#the_database_header
  const view = new DataView(header.buffer);
  const ownPageBytes = view.getUint16(16) === 1 ? 65_536 : view.getUint16(16);
  return view.getUint32(28) * ownPageBytes > bytes;
}

/** 0 where there is no such file. */
export const fileBytes = (path: string): number =>
  statSync(path, { throwIfNoEntry: false })?.size ?? 0;

/** Size of the write-ahead log of the database at `path`. */
export const walBytes = (path: string): number => fileBytes(`${path}-wal`);

export function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
