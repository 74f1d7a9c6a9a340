/** SQLite through `better-sqlite3`: on Node and Deno. */

import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type Database from "better-sqlite3";
import {
  asSqliteError,
  checkRow,
  SqliteError,
  type SqliteChanges,
  type SqliteDatabase,
  type SqliteDriver,
  type SqliteRow,
  type SqliteStatement,
  type SqliteValue,
} from "./port.ts";

type DatabaseClass = typeof Database;
type NativeStatement = Database.Statement<SqliteValue[], Record<string, SqliteValue>>;

/** The class is handed in: named here at run time, it would have to be there on Bun as well. */
export const betterDriver = (Class: DatabaseClass): SqliteDriver => ({
  name: "better-sqlite3",
  open: (path) => new BetterDatabase(resolve(path), Class),
});

class BetterDatabase implements SqliteDatabase {
  readonly path: string;
  readonly #database: Database.Database;

  constructor(path: string, Class: DatabaseClass) {
    this.path = path;
    // The package says so with a TypeError and without a code.
    if (!existsSync(dirname(path))) {
      throw new SqliteError(path, "SQLITE_CANTOPEN", "its directory does not exist");
    }
    try {
      this.#database = new Class(path);
    } catch (error) {
      throw asSqliteError(path, error);
    }
  }

  exec(sql: string): void {
    try {
      this.#database.exec(sql);
    } catch (error) {
      throw asSqliteError(this.path, error);
    }
  }

  prepare(sql: string): SqliteStatement {
    try {
      const statement = this.#database.prepare<SqliteValue[], Record<string, SqliteValue>>(sql);
      return new BetterStatement(this.path, statement);
    } catch (error) {
      throw asSqliteError(this.path, error);
    }
  }

  close(): void {
    this.#database.close();
  }
}

class BetterStatement implements SqliteStatement {
  readonly #path: string;
  readonly #statement: NativeStatement;

  constructor(path: string, statement: NativeStatement) {
    this.#path = path;
    this.#statement = statement;
  }

  run(...values: SqliteValue[]): SqliteChanges {
    try {
      // Numbers, as long as nobody asks for `bigint`.
      return this.#statement.run(...values) as SqliteChanges;
    } catch (error) {
      throw asSqliteError(this.#path, error);
    }
  }

  get(...values: SqliteValue[]): SqliteRow | null {
    try {
      const row = this.#statement.get(...values);
      return row === undefined ? null : plainRow(this.#path, row);
    } catch (error) {
      throw asSqliteError(this.#path, error);
    }
  }

  all(...values: SqliteValue[]): SqliteRow[] {
    try {
      const rows = this.#statement.all(...values);
      for (const row of rows) plainRow(this.#path, row);
      return rows;
    } catch (error) {
      throw asSqliteError(this.#path, error);
    }
  }

  /** The package finalizes what the garbage collector finds. */
  release(): void {}
}

/** The package hands blobs out as `Buffer`, whose `slice` and `toJSON` are not those of the bytes. */
function plainRow(path: string, row: Record<string, SqliteValue>): SqliteRow {
  for (const name in row) {
    const value = row[name];
    if (value instanceof Uint8Array) {
      row[name] = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    }
  }
  return checkRow(path, row);
}
