/**
 * A backup: the state at one instant as an ordinary SQLite database that anyone can open. The rows are
 * in `kv` and the remembered requests in `request`, as in the state's own file and with their
 * checksums; `backup` says in words what they are.
 */

import { openSync } from "node:fs";
import { crc32 } from "node:zlib";
import { configuration, decodeMembers } from "../server/raft/configuration.ts";
import { index, term } from "../server/raft/entry.ts";
import type {
  AppliedState,
  RowBatch,
  StateDigest,
  StateView,
} from "../server/state-machine/port.ts";
import { removeLarge } from "./large-file.ts";
import { isCutShort, StateDamaged, stateTables, stateTablesSql } from "./state-schema.ts";
import { rowBatches, verifyRows } from "./row-scan.ts";
import {
  SqliteError,
  type SqliteDatabase,
  type SqliteDriver,
  type SqliteStatement,
} from "./sqlite/port.ts";
import { sizeOf } from "./state-recovery.ts";
import { WriteBack } from "./write-back.ts";

/** Grows with every change of what the tables mean. */
const format = 3;

/** "kvbk": tells a backup from a node's own state. */
const applicationId = 0x6b76626b;

const cacheKib = 8 << 10;
const headTable = `CREATE TABLE backup (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID`;

/** What a backup says of itself. */
export interface BackupHead {
  /** Of the cluster it was taken from. */
  readonly clusterId: string;
  /** `configuration` is not null. */
  readonly applied: AppliedState;
  readonly digest: StateDigest;
}

function removeFiles(path: string): void {
  for (const end of ["", "-journal", "-wal", "-shm"]) removeLarge(path + end);
}

const isFull = (error: unknown): boolean => error instanceof SqliteError && error.isFull;

/** Writes a backup from a view, bit by bit. What a crash leaves of it is nobody's. */
export class BackupWriter {
  readonly #path: string;
  readonly #view: StateView;
  readonly #database: SqliteDatabase;
  readonly #inserts: ReadonlyMap<string, SqliteStatement>;
  readonly #writeBack: WriteBack;
  #isOpen = true;

  /** The view is the writer's from now on, even where this throws. */
  constructor(options: { driver: SqliteDriver; path: string; view: StateView; head: BackupHead }) {
    const { driver, path, view, head } = options;
    this.#path = path;
    this.#view = view;
    removeFiles(path);
    this.#database = driver.open(path);
    const database = this.#database;
    database.exec("PRAGMA locking_mode = EXCLUSIVE");
    database.prepare("PRAGMA journal_mode = MEMORY").get();
    database.exec("PRAGMA synchronous = OFF");
    database.exec(`PRAGMA cache_size = -${cacheKib}; PRAGMA application_id = ${applicationId}`);
    database.exec(`${headTable}; ${stateTablesSql}`);
    writeHead(database, head);
    this.#writeBack = new WriteBack(openSync(path, "r+"));
    this.#inserts = new Map(
      stateTables.map(({ name, columns }) => {
        const marks = columns.map(() => "?").join(", ");
        return [name, database.prepare(`INSERT INTO ${name} VALUES (${marks})`)];
      }),
    );
  }

  /** "lost": the state was replaced while it was read. After anything but "more" there is no more. */
  step(bytesMax: number): "more" | "done" | "full" | "lost" {
    if (this.#view.isClosed) return this.#end("lost");
    if (this.#writeBack.isBehind) return "more";
    try {
      const batch = this.#view.read(bytesMax);
      if (batch === null) return this.#finish();
      this.#add(batch);
      return "more";
    } catch (error) {
      if (!isFull(error)) throw error;
      return this.#end("full");
    }
  }

  /** Gives it up, where it is not done. */
  close(): void {
    if (this.#isOpen) this.#end("lost");
  }

  #add({ table, rows }: RowBatch): void {
    const insert = this.#inserts.get(table);
    if (!insert) throw new Error(`a backup has no table ${table}`);
    this.#database.exec("BEGIN");
    let bytes = 0;
    for (const row of rows) {
      insert.run(...row);
      for (const value of row) bytes += sizeOf(value);
    }
    this.#database.exec("COMMIT");
    this.#writeBack.wrote(bytes);
  }

  #finish(): "done" {
    this.#isOpen = false;
    this.#view.close();
    this.#database.close();
    this.#writeBack.close();
    return "done";
  }

  #end<Why extends "full" | "lost">(why: Why): Why {
    this.#finish();
    removeFiles(this.#path);
    return why;
  }
}

function writeHead(database: SqliteDatabase, { clusterId, applied, digest }: BackupHead): void {
  const values: Record<string, string> = {
    format: String(format),
    clusterId,
    index: String(applied.appliedIndex),
    term: String(applied.appliedTerm),
    logTimeMs: String(applied.appliedTimeMs),
    members: JSON.stringify(applied.configuration?.members ?? []),
    stateHash: digest.stateHash,
    historyHash: digest.historyHash,
    bookHash: digest.bookHash,
  };
  const insert = database.prepare("INSERT INTO backup VALUES (?, ?)");
  for (const [name, value] of Object.entries(values)) insert.run(name, value);
  insert.run("checksum", checksumOf(values));
}

function checksumOf(values: Readonly<Record<string, string>>): string {
  const names = Object.keys(values).sort();
  return String(crc32(names.map((name) => `${name}=${values[name]}\n`).join("")));
}

/** Reads a backup and verifies it. The file is not changed. */
export class BackupReader {
  readonly head: BackupHead;
  readonly #path: string;
  readonly #database: SqliteDatabase;

  private constructor(path: string, database: SqliteDatabase) {
    this.#path = path;
    this.#database = database;
    this.head = readHead(path, database);
  }

  /** Throws `StateDamaged` where the file is no backup, and `SqliteError` where it cannot be read. */
  static open(driver: SqliteDriver, path: string): BackupReader {
    if (isCutShort(path)) throw new StateDamaged(path, "its end is missing");
    const database = driver.open(path);
    try {
      return new BackupReader(path, database);
    } catch (error) {
      database.close();
      throw asDamage(path, error);
    }
  }

  /** Every page, every row and the hash over all of them. Throws `StateDamaged`. Returns the count. */
  verify(): number {
    try {
      return verifyRows(this.#database, this.head.digest);
    } catch (error) {
      throw asDamage(this.#path, error);
    }
  }

  /** All rows of all tables. */
  batches(): Iterable<RowBatch> {
    return rowBatches(this.#database);
  }

  close(): void {
    this.#database.close();
  }
}

function readHead(path: string, database: SqliteDatabase): BackupHead {
  const id = database.prepare("PRAGMA application_id").get()?.["application_id"];
  if (id !== applicationId) throw new StateDamaged(path, "it is not a backup of a kv cluster");
  const values: Record<string, string> = {};
  for (const row of database.prepare("SELECT name, value FROM backup").all()) {
    values[String(row["name"])] = String(row["value"]);
  }
  const { checksum, ...rest } = values;
  if (checksum !== checksumOf(rest)) {
    throw new StateDamaged(path, "what it says of itself contradicts its checksum");
  }
  if (rest["format"] !== String(format)) {
    throw new StateDamaged(path, `its format ${rest["format"]} is not one this version knows`);
  }
  const text = (name: string): string => rest[name] ?? "";
  const appliedIndex = index(Number(text("index")));
  const members = decodeMembers(JSON.parse(text("members")));
  return {
    clusterId: text("clusterId"),
    applied: {
      appliedIndex,
      appliedTerm: term(Number(text("term"))),
      appliedTimeMs: Number(text("logTimeMs")),
      configuration: configuration(members),
    },
    digest: {
      appliedIndex,
      stateHash: text("stateHash"),
      historyHash: text("historyHash"),
      bookHash: text("bookHash"),
    },
  };
}

function asDamage(path: string, error: unknown): unknown {
  if (!(error instanceof SqliteError) || !error.isDamage) return error;
  return new StateDamaged(path, error.detail);
}
