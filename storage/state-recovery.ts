/**
 * A new state file from a snapshot's rows, beside the one that serves. It needs no journal: until it
 * is whole and synced nobody looks at it, and what a crash leaves of it is removed at the next start.
 */

import { closeSync, fdatasyncSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { assert } from "../server/raft/assert.ts";
import type { RowBatch, StateRecovery } from "../server/state-machine/port.ts";
import {
  SqliteError,
  type SqliteDatabase,
  type SqliteDriver,
  type SqliteStatement,
  type SqliteValue,
} from "./sqlite/port.ts";
import { removeLarge } from "./large-file.ts";
import {
  createSchema,
  makeShrinkable,
  syncDirectory,
  type StateMeta,
  type StateTable,
} from "./state-schema.ts";
import { WriteBack } from "./write-back.ts";

const cacheKib = 8 << 10;

export interface StateRecoveryOptions {
  readonly driver: SqliteDriver;
  /** Of the state file that serves. */
  readonly path: string;
  readonly tables: readonly StateTable[];
  readonly meta: StateMeta;
  /** Says what is wrong with a row, and counts it where nothing is. */
  readonly check: (table: string, row: readonly SqliteValue[]) => string | null;
  /** Says how the rows counted contradict what they were to be. */
  readonly contradiction: () => string | null;
  /** Puts the file at `incomingPath` in the place of the one that serves. */
  readonly install: () => void;
  readonly onEnd: () => void;
}

export const incomingPath = (path: string): string => `${path}-incoming`;

export function removeIncoming(path: string): void {
  for (const end of ["", "-journal", "-wal", "-shm"]) {
    removeLarge(incomingPath(path) + end);
  }
}

export class SqliteStateRecovery implements StateRecovery {
  readonly #options: StateRecoveryOptions;
  readonly #database: SqliteDatabase;
  readonly #inserts: ReadonlyMap<string, { columns: number; statement: SqliteStatement }>;
  readonly #written: WriteBack;
  /**
   * For the last sync. The system tells each descriptor once that writing back has failed, and the other
   * thread may be told, of what it had under way, when it is too late.
   */
  readonly #file: number;
  #state: "open" | "finished" | "ended" = "open";

  constructor(options: StateRecoveryOptions) {
    const { driver, path, tables, meta } = options;
    this.#options = options;
    removeIncoming(path);
    const database = driver.open(incomingPath(path));
    this.#database = database;
    makeShrinkable(database);
    database.exec("PRAGMA locking_mode = EXCLUSIVE");
    // Of a file that is of no meaning before its end. "OFF" is refused where SQLite is built to be defensive,
    // and then every batch would make a journal file of its own and remove it.
    const journal = database.prepare("PRAGMA journal_mode = MEMORY").get();
    assert(
      journal?.["journal_mode"] === "memory",
      "what is recovered keeps no journal on the disk",
    );
    database.exec("PRAGMA synchronous = OFF");
    database.exec(`PRAGMA cache_size = -${cacheKib}`);
    createSchema(database, meta);
    this.#inserts = new Map(
      tables.map(({ name, columns }) => {
        const marks = columns.map(() => "?").join(", ");
        const sql = `INSERT INTO ${name} (${columns.join(", ")}) VALUES (${marks})`;
        return [name, { columns: columns.length, statement: database.prepare(sql) }];
      }),
    );
    this.#file = openSync(incomingPath(path), "r+");
    this.#written = new WriteBack(openSync(incomingPath(path), "r+"));
  }

  get isBehind(): boolean {
    return this.#written.isBehind;
  }

  add({ table, rows }: RowBatch): string | null {
    assert(this.#state === "open", "rows are added before the end");
    const insert = this.#inserts.get(table);
    if (!insert) return `it has a table ${JSON.stringify(table)} that this version does not know`;
    let bytes = 0;
    this.#database.exec("BEGIN");
    for (const row of rows) {
      if (row.length !== insert.columns) return `a row of ${table} has ${row.length} columns`;
      const wrong = this.#options.check(table, row);
      if (wrong !== null) return wrong;
      try {
        insert.statement.run(...row);
      } catch (error) {
        if (!(error instanceof SqliteError && error.isConstraint)) throw error;
        return `a row of ${table} does not fit: ${error.detail}`;
      }
      for (const value of row) bytes += sizeOf(value);
    }
    this.#database.exec("COMMIT");
    this.#written.wrote(bytes);
    return null;
  }

  finish(): string | null {
    assert(this.#state === "open", "a state is finished once");
    const contradiction = this.#options.contradiction();
    if (contradiction !== null) return contradiction;
    this.#database.close();
    fdatasyncSync(this.#file);
    this.#closeFiles();
    syncDirectory(dirname(this.#options.path));
    this.#state = "finished";
    return null;
  }

  #closeFiles(): void {
    closeSync(this.#file);
    this.#written.close();
  }

  install(): void {
    assert(this.#state === "finished", "only what is whole is installed");
    this.#state = "ended";
    this.#options.install();
    this.#options.onEnd();
  }

  abandon(): void {
    if (this.#state === "ended") return;
    if (this.#state === "open") {
      this.#closeFiles();
      this.#database.close();
    }
    this.#state = "ended";
    removeIncoming(this.#options.path);
    this.#options.onEnd();
  }
}

/** About as many bytes as it takes in a file. */
export function sizeOf(value: SqliteValue): number {
  if (value === null || typeof value === "number") return 8;
  return typeof value === "string" ? value.length : value.byteLength;
}
