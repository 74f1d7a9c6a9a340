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
} from "./sqlite/port.ts";

/** Grows with every change of what the tables mean. */
const formatVersion = 2;

/** "kvst": tells our file from any other SQLite database. */
const applicationId = 0x6b767374;

/**
 * `kv` holds the users' rows and nothing else. `checksum` is `rowChecksum`'s. Not WITHOUT ROWID: such a
 * table is an index, whose inner pages hold whole rows and whose rows of more than a quarter of a page
 * take a page of their own; with values of a kilobyte it is four times as large, and six levels deep.
 */
const kvTable = `CREATE TABLE kv (
  key TEXT NOT NULL PRIMARY KEY,
  value BLOB NOT NULL,
  content_type TEXT,
  create_revision INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  checksum INTEGER NOT NULL
)`;

/** Of states that were made before: they go on as they are. */
const kvTableBefore = `${kvTable.replace("TEXT NOT NULL PRIMARY", "TEXT PRIMARY")} WITHOUT ROWID`;

const metaTable = `CREATE TABLE meta (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  format INTEGER NOT NULL,
  applied_index INTEGER NOT NULL,
  applied_term INTEGER NOT NULL,
  applied_time_ms INTEGER NOT NULL,
  history INTEGER NOT NULL,
  hash_high INTEGER NOT NULL,
  hash_low INTEGER NOT NULL,
  configuration BLOB,
  checksum INTEGER NOT NULL
)`;

/** A table as a snapshot carries it: every column, those of the primary key first. */
export interface StateTable {
  readonly name: string;
  readonly columns: readonly string[];
  /** How many of them make up the key; none of these is ever null. */
  readonly keyCount: number;
}

export const userTable: StateTable = {
  name: "kv",
  columns: ["key", "value", "content_type", "create_revision", "revision", "checksum"],
  keyCount: 1,
};

/** All but `meta`, which a snapshot's head stands for. */
export const stateTables: readonly StateTable[] = [userTable];

/** Makes them all. */
export const stateTablesSql = [kvTable].join("; ");

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
    const isOurs = [kvTable, kvTableBefore].some((kv) => found === `${kv};${metaTable}`);
    if (id !== applicationId || !isOurs) {
      throw new StateDamaged(database.path, "its tables are not those of a key-value state");
    }
  }
  const rows = database.prepare("SELECT * FROM meta").all();
  const [row] = rows;
  if (row === undefined) throw new StateDamaged(database.path, "its bookkeeping is missing");
  return readMeta(database.path, row);
}

/** Whether rows are found by an index beside the table, and not in the table itself. */
export const isIndexed = (database: SqliteDatabase): boolean =>
  database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'kv'").get() !==
  null;

/** In one transaction, so that a crash leaves an empty file or a whole one. */
export function createSchema(database: SqliteDatabase, meta: StateMeta): void {
  database.exec("BEGIN IMMEDIATE");
  database.exec(`PRAGMA application_id = ${applicationId}`);
  database.exec(`${kvTable}; ${metaTable}`);
  database.exec(`INSERT INTO meta VALUES (1, 0, 0, 0, 0, 0, 0, 0, NULL, 0)`);
  saveMeta(prepareSaveMeta(database), meta);
  database.exec("COMMIT");
  syncDirectory(dirname(database.path));
}

export const prepareSaveMeta = (database: SqliteDatabase): SqliteStatement =>
  database.prepare(
    `UPDATE meta SET format = ?, applied_index = ?, applied_term = ?, applied_time_ms = ?,
       history = ?, hash_high = ?, hash_low = ?, configuration = ?, checksum = ?`,
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
    meta.configuration,
    metaChecksum(meta),
  );
}

function metaChecksum(meta: StateMeta): number {
  const { appliedIndex, appliedTerm, appliedTimeMs, configuration } = meta;
  const hashes = `${meta.history} ${meta.hashHigh} ${meta.hashLow}`;
  const head = `${appliedIndex} ${appliedTerm} ${appliedTimeMs} ${hashes}`;
  const checksum = crc32(`${formatVersion} ${head} ${configuration === null ? "-" : "+"}`);
  return configuration === null ? checksum : crc32(configuration, checksum);
}

function readMeta(path: string, row: SqliteRow): StateMeta {
  const { format, checksum } = row;
  if (typeof format === "number" && format > formatVersion) {
    const detail = `its format ${format} is of a newer version of this program`;
    throw new StateDamaged(path, detail, false);
  }
  const meta = {
    appliedIndex: row["applied_index"],
    appliedTerm: row["applied_term"],
    appliedTimeMs: row["applied_time_ms"],
    history: row["history"],
    hashHigh: row["hash_high"],
    hashLow: row["hash_low"],
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
  const pageBytes = view.getUint16(16) === 1 ? 65_536 : view.getUint16(16);
  return view.getUint32(28) * pageBytes > bytes;
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
