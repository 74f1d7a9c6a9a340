/**
 * Gives the room of deleted rows back to the disk, a few pages at a time: SQLite keeps a file as large as
 * it once was. Only files that were made with `auto_vacuum = INCREMENTAL` can do that; one of an older
 * version keeps its size until the node is sent its state anew.
 */

import { must } from "../server/raft/assert.ts";
import { pageBytes } from "./state-schema.ts";
import { SqliteError, type SqliteDatabase, type SqliteStatement } from "./sqlite/port.ts";

/** Free, of all pages, before it begins, and when it is enough. In between is what comes and goes. */
const beginPart = 1 / 4;
const enoughPart = 1 / 8;
/** Below this many free pages nothing is done for so little. */
const freePagesMin = 1_024;

export class StateShrinking {
  readonly #database: SqliteDatabase;
  readonly #pageCount: SqliteStatement;
  readonly #freeCount: SqliteStatement;
  readonly #isPossible: boolean;
  #isUnderWay = false;

  constructor(database: SqliteDatabase) {
    this.#database = database;
    this.#pageCount = database.prepare("PRAGMA main.page_count");
    this.#freeCount = database.prepare("PRAGMA main.freelist_count");
    const mode = database.prepare("PRAGMA main.auto_vacuum").get()?.["auto_vacuum"];
    this.#isPossible = mode === 2;
  }

  /** Pages that hold nothing. */
  get freePages(): number {
    return count(this.#freeCount, "freelist_count");
  }

  /** One transaction. Returns how many bytes are free less; 0: it is enough, or there is no room for it. */
  step(bytesMax: number): number {
    if (!this.#isPossible) return 0;
    const before = this.freePages;
    const part = this.#isUnderWay ? enoughPart : beginPart;
    this.#isUnderWay =
      before >= freePagesMin && before > part * count(this.#pageCount, "page_count");
    if (!this.#isUnderWay) return 0;
    const pages = Math.max(1, Math.floor(bytesMax / pageBytes));
    try {
      this.#database.exec(`PRAGMA main.incremental_vacuum(${pages})`);
    } catch (error) {
      if (!(error instanceof SqliteError && error.isFull)) throw error;
      return 0;
    }
    return pageBytes * (before - this.freePages);
  }
}

const count = (statement: SqliteStatement, name: string): number =>
  must(statement.get(), "a pragma has a value")[name] as number;
