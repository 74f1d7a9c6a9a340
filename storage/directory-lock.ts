/**
 * Keeps a second process out of a node's directory. The lock is SQLite's own on an empty database
 * file: the system gives it back when the process ends, however it ends, so none is ever stale.
 */

import { join } from "node:path";
import { SqliteError, type SqliteDatabase, type SqliteDriver } from "./sqlite/port.ts";

/**
 * Whoever else opens the file `lock` in this process and closes it again gives the lock away: POSIX
 * locks belong to the process and not to the descriptor. Only SQLite may touch it.
 */
export class DirectoryLock {
  readonly #database: SqliteDatabase;

  private constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  /**
   * Null where it is held, by another process or by this one. Returns at once. Throws `SqliteError`
   * where `directory` or the file in it cannot be used.
   */
  static acquire(driver: SqliteDriver, directory: string): DirectoryLock | null {
    const database = driver.open(join(directory, "lock"));
    try {
      database.exec("PRAGMA busy_timeout = 0");
      database.exec("PRAGMA locking_mode = EXCLUSIVE");
      // Nothing is ever written, so no journal need lie beside the file.
      database.exec("PRAGMA journal_mode = MEMORY");
      // Never committed: the transaction is the lock.
      database.exec("BEGIN EXCLUSIVE");
      // What may be read only is opened all the same, and its locks shut nobody out: a change that is
      // never committed is refused there, and changes nothing elsewhere.
      database.exec("PRAGMA user_version = 1");
      return new DirectoryLock(database);
    } catch (error) {
      database.close();
      if (error instanceof SqliteError && error.isBusy) return null;
      throw error;
    }
  }

  /** Whether another process holds it; for who may read here and not write. Throws as `acquire` does. */
  static isHeld(driver: SqliteDriver, directory: string): boolean {
    const database = driver.open(join(directory, "lock"));
    try {
      database.exec("PRAGMA busy_timeout = 0");
      database.prepare("SELECT 1 FROM sqlite_schema").get();
      return false;
    } catch (error) {
      if (error instanceof SqliteError && error.isBusy) return true;
      throw error;
    } finally {
      database.close();
    }
  }

  release(): void {
    this.#database.close();
  }
}
