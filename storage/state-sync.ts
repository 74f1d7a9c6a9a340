/**
 * Makes committed transactions durable while the loop goes on: SQLite's checkpoint, with the two syncs
 * it would wait for taken out and left to other threads. First the write-ahead log is synced, then its
 * pages are copied into the database file, then that is synced, and only then the log is cut, or written
 * over from its beginning.
 */

import { closeSync, fdatasync, fdatasyncSync, openSync } from "node:fs";
import { must, unreachable } from "../server/raft/assert.ts";
import { walBytes } from "./state-schema.ts";
import { SqliteError, type SqliteDatabase } from "./sqlite/port.ts";
import type { Statements } from "./state-statements.ts";

/** How a file is brought to the disk. */
export interface FileSyncs {
  /** On another thread. */
  readonly begin: (file: number, done: (error: Error | null) => void) => void;
  /** Throws where it, or an earlier one that this descriptor was not told of, has failed. */
  readonly now: (file: number) => void;
}

export const systemSyncs: FileSyncs = { begin: fdatasync, now: fdatasyncSync };

/** What is being synced, and how the thread says that it is. */
type Step =
  | { readonly name: "log"; readonly flush: Flush }
  | { readonly name: "database"; readonly flush: Flush };

/**
 * Invariant: while a step is under way no transaction is committed. One in the first step would be copied
 * without having been synced, one in the second would write over a log that is still needed.
 */
export class StateSync {
  readonly #database: SqliteDatabase;
  readonly #statements: Statements;
  /**
   * Open as long as the database is: closing any descriptor of a file gives up the locks that SQLite
   * has on it (https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_).
   */
  readonly #file: number;
  /**
   * For syncs that are waited for. The system tells each descriptor once that writing back has failed: one
   * that the other thread's is told of is not told by it again.
   */
  readonly #own: number;
  readonly #syncs: FileSyncs;
  #isClosed = false;
  #step: Step | null = null;
  /** The last one of the database file. */
  #flush: Flush | null = null;

  constructor(database: SqliteDatabase, statements: Statements, syncs: FileSyncs) {
    this.#database = database;
    this.#statements = statements;
    this.#syncs = syncs;
    this.#file = openSync(database.path, "r+");
    this.#own = openSync(database.path, "r+");
  }

  get isUnderWay(): boolean {
    return this.#step !== null;
  }

  /**
   * Goes on where that can be done without waiting. Throws what a sync failed with. `keepsFile`: what
   * comes next writes over the log instead of making it anew. To cut some megabytes off a file and to
   * allocate them again stops the loop for longer than all else that is done here.
   */
  goOn(keepsFile: boolean): "more" | "done" {
    const step = this.#step;
    if (step === null) {
      if (walBytes(this.#database.path) === 0) return "done";
      const file = openSync(`${this.#database.path}-wal`, "r+");
      const flush = new Flush(this.#syncs, file, () => closeSync(file));
      this.#step = { name: "log", flush };
      return "more";
    }
    if (!step.flush.isDone) return "more";
    switch (step.name) {
      case "log":
        // What is copied here is in the log, whatever happens; without room the log just stays.
        this.#step = null;
        this.#copy();
        this.#flush = new Flush(this.#syncs, this.#file);
        this.#step = { name: "database", flush: this.#flush };
        return "more";
      case "database":
        this.#step = null;
        // Nothing is left to copy, and so nothing to sync.
        if (!keepsFile) this.run();
        return "done";
      default:
        return unreachable(step);
    }
  }

  /** A transaction is to be committed, or the database closed: waits where it has to. */
  settle(): void {
    if (this.#step?.name === "database") this.run();
    this.#step = null;
  }

  /** Syncs, copies and cuts at once. Throws where the disk has no room for it. */
  run(): void {
    const step = this.#step;
    this.#step = null;
    // What was copied without a sync SQLite takes for done: it would cut the log and sync nothing.
    if (step?.name === "database") this.#syncs.now(this.#own);
    expectAll(this.#database.path, this.#statements.cutLog.get());
    if (walBytes(this.#database.path) !== 0) throw incomplete(this.#database.path);
  }

  /** After the database is. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const close = (): void => {
      closeSync(this.#file);
      closeSync(this.#own);
    };
    if (this.#flush === null) close();
    else this.#flush.whenDone(close);
    this.#step = null;
  }

  #copy(): void {
    this.#database.exec("PRAGMA main.synchronous = OFF");
    try {
      expectAll(this.#database.path, this.#statements.copyLog.get());
    } finally {
      this.#database.exec("PRAGMA main.synchronous = NORMAL");
    }
  }
}

/** SQLite reports an incomplete checkpoint as a row and not as an error. */
function expectAll(path: string, result: ReturnType<Statements["cutLog"]["get"]>): void {
  const { busy, log, checkpointed } = must(result, "a checkpoint has a result");
  if (busy !== 0 || log !== checkpointed) throw incomplete(path);
}

const incomplete = (path: string): SqliteError =>
  new SqliteError(path, "SQLITE_BUSY", "the checkpoint is not complete");

/** A sync on another thread. */
class Flush {
  #error: Error | null = null;
  #isDone = false;
  #whenDone: () => void;

  constructor(syncs: FileSyncs, file: number, whenDone = (): void => {}) {
    this.#whenDone = whenDone;
    syncs.begin(file, (error) => {
      this.#error = error;
      this.#isDone = true;
      this.#whenDone();
    });
  }

  /** Throws where it failed. */
  get isDone(): boolean {
    if (this.#error !== null) throw this.#error;
    return this.#isDone;
  }

  whenDone(then: () => void): void {
    if (this.#isDone) then();
    else this.#whenDone = then;
  }
}
