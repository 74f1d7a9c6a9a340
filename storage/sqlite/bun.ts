/** SQLite through `bun:sqlite`: on Bun, and in the executable made with it. */

import { resolve } from "node:path";
import { Database, type Statement } from "bun:sqlite";
import {
  asSqliteError,
  checkRow,
  type SqliteChanges,
  type SqliteDatabase,
  type SqliteDriver,
  type SqliteRow,
  type SqliteStatement,
  type SqliteValue,
} from "./port.ts";

type NativeStatement = Statement<SqliteRow, SqliteValue[]>;

export const bunDriver: SqliteDriver = {
  name: "bun:sqlite",
  open: (path) => new BunDatabase(resolve(path)),
};

class BunDatabase implements SqliteDatabase {
  readonly path: string;
  readonly #database: Database;
  readonly #statements = new Set<NativeStatement>();

  constructor(path: string) {
    this.path = path;
    try {
      this.#database = new Database(path, { create: true, readwrite: true });
    } catch (error) {
      throw asSqliteError(path, error);
    }
  }

  exec(sql: string): void {
    try {
      this.#database.run(sql);
    } catch (error) {
      throw asSqliteError(this.path, error);
    }
  }

  prepare(sql: string): SqliteStatement {
    try {
      const statement = this.#database.prepare<SqliteRow, SqliteValue[]>(sql);
      this.#statements.add(statement);
      return new BunStatement(this.path, statement, this.#statements);
    } catch (error) {
      throw asSqliteError(this.path, error);
    }
  }

  close(): void {
    // A statement that is left keeps the connection and its locks until the garbage collector comes by.
    for (const statement of this.#statements) statement.finalize();
    this.#statements.clear();
    this.#database.close(true);
  }
}

class BunStatement implements SqliteStatement {
  readonly #path: string;
  readonly #statement: NativeStatement;
  readonly #siblings: Set<NativeStatement>;

  constructor(path: string, statement: NativeStatement, siblings: Set<NativeStatement>) {
    this.#path = path;
    this.#statement = statement;
    this.#siblings = siblings;
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
      return row && checkRow(this.#path, row);
    } catch (error) {
      throw asSqliteError(this.#path, error);
    }
  }

  all(...values: SqliteValue[]): SqliteRow[] {
    try {
      const rows = this.#statement.all(...values);
      for (const row of rows) checkRow(this.#path, row);
      return rows;
    } catch (error) {
      throw asSqliteError(this.#path, error);
    }
  }

  release(): void {
    this.#siblings.delete(this.#statement);
    this.#statement.finalize();
  }
}
