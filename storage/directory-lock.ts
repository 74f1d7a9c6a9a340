/**
 * Keeps a second process out of a node's directory. The lock is SQLite's own on an empty database
 * file: the system gives it back when the process ends, however it ends.
 */

import { join } from "node:path";
import { SqliteError, type SqliteDatabase, type SqliteDriver } from "./sqlite/port.ts";

export class DirectoryLock {
  readonly #database: SqliteDatabase;

  private constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  /** Null where another process holds it. Throws `SqliteError` where the file cannot be opened. */
  static acquire(driver: SqliteDriver, directory: string): DirectoryLock | null {
    const database = driver.open(join(directory, "lock"));
    try {
      database.exec("PRAGMA busy_timeout = 0");
      database.exec("PRAGMA locking_mode = EXCLUSIVE");
      database.exec("BEGIN EXCLUSIVE");
      return new DirectoryLock(database);
    } catch (error) {
      database.close();
      if (error instanceof SqliteError && /BUSY|locked/i.test(`${error.code} ${error.message}`)) {
        return null;
      }
      throw error;
    }
  }

  release(): void {
    this.#database.close();
  }
}
