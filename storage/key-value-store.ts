/**
 * The key-value state machine on SQLite: rows, applied index, history and hash in one transaction. What
 * is applied waits in memory for it, so that rows are written seldom and in the order of their keys; the
 * transaction itself is made in parts, between which applying and reading go on.
 */

import { existsSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import { assert, must, unreachable } from "../server/raft/assert.ts";
import { decodeConfiguration, encodeConfiguration } from "../server/raft/configuration.ts";
import { index, term, type Entry, type Index } from "../server/raft/entry.ts";
import { WatchedRows, type ChangeSink } from "../server/state-machine/changes.ts";
import { decodeCommand } from "../server/state-machine/codec.ts";
import { commandHeaderBytes, readCommandHeader } from "../server/state-machine/command-header.ts";
import type { Answer, CommandResult, Query } from "../server/state-machine/command.ts";
import { count, list } from "../server/state-machine/listing.ts";
import type { Rows } from "../server/state-machine/rows.ts";
import type {
  AppliedState,
  StateDigest,
  StateMachine,
  StateRecovery,
  StateView,
} from "../server/state-machine/port.ts";
import type { FileDamage } from "./group-files.ts";
import { execute } from "../server/state-machine/execute.ts";
import { replaceLarge } from "./large-file.ts";
import { RequestTable } from "./request-table.ts";
import { RowTable } from "./row-table.ts";
import { SqliteError, type SqliteDatabase, type SqliteDriver } from "./sqlite/port.ts";
import { hex32, StateHash } from "./state-hash.ts";
import { StateShrinking } from "./state-shrinking.ts";
import { StateSync, systemSyncs, type FileSyncs } from "./state-sync.ts";
import { incomingPath, removeIncoming, SqliteStateRecovery } from "./state-recovery.ts";
import {
  asDamage,
  isCutShort,
  openSchema,
  pageBytes,
  saveMeta,
  StateDamaged,
  fileBytes,
  stateTables,
  syncDirectory,
  walBytes,
  type StateMeta,
} from "./state-schema.ts";
import { contradictionOf, StateTally } from "./state-tally.ts";
import { configure, prepareStatements, type Statements } from "./state-statements.ts";
import { scratchPath, SqliteStateView } from "./state-view.ts";

export { StateDamaged } from "./state-schema.ts";

interface Engine {
  readonly driver: SqliteDriver;
  readonly syncs: FileSyncs;
}

export interface OpenOptions extends Partial<Engine> {
  readonly driver: SqliteDriver;
  readonly path: string;
}

export type OpenResult =
  | { readonly ok: true; readonly store: KeyValueStore; readonly isNew: boolean }
  | { readonly ok: false; readonly damage: FileDamage };

/** With its head in the write-ahead log. */
const walPageBytes = pageBytes + 24;

/** What may come to what is being committed before all of it is committed at once. */
const appliedBytesMax = 8 << 20;
/** The same while a view is read, which ends every transaction. */
const viewedBytesMax = 256 << 10;

/** Bytes of values in a part of a transaction, besides the last. */
const partBytesMax = 256 << 10;

/** All of `meta` at one instant. */
interface Bookkeeping {
  readonly applied: AppliedState;
  readonly configuration: Uint8Array | null;
  readonly history: number;
  readonly hash: StateHash;
  /** Of what is kept besides the rows. */
  readonly book: StateHash;
}

export class KeyValueStore implements StateMachine {
  readonly #driver: SqliteDriver;
  readonly #syncs: FileSyncs;
  #database: SqliteDatabase;
  #statements: Statements;
  #applied: AppliedState;
  /** The bytes of `#applied.configuration`. */
  #configuration: Uint8Array | null;
  #history: number;
  /** Both are made anew with the database. */
  #rows: RowTable;
  /** The same. */
  #requests: RequestTable;
  #sync: StateSync;
  /** The same. */
  #shrinking: StateShrinking;
  /** What entries work on: the rows, and who is told of their changes. */
  #watched: Rows;
  #sink: ChangeSink | null = null;
  #syncedIndex: Index | null = null;
  /** What is in the database. */
  #committed: Bookkeeping;
  /** What will be when the rows that are frozen are written; null where none are. */
  #committing: Bookkeeping | null = null;
  #isInTransaction = false;
  /** Entry bytes of the rows that are frozen, and of those applied since. */
  #frozenBytes = 0;
  #appliedBytes = 0;
  /** As many as there were when no room was found for them. */
  #triedBytes = 0;
  /** The write-ahead log's size after the last transaction. */
  #walBytes: number;
  /** The database file's size at the last checkpoint; only then does it change. */
  #stateBytes: number;
  #view: StateView | null = null;
  #recovery: StateRecovery | null = null;

  private constructor(engine: Engine, database: SqliteDatabase, meta: StateMeta) {
    this.#driver = engine.driver;
    this.#syncs = engine.syncs;
    this.#database = database;
    this.#statements = prepareStatements(database);
    this.#rows = new RowTable(database, this.#statements, rowsHash(meta));
    this.#requests = new RequestTable(database, bookHash(meta));
    this.#sync = new StateSync(database, this.#statements, engine.syncs);
    this.#shrinking = new StateShrinking(database);
    this.#watched = this.#rows;
    this.#configuration = meta.configuration;
    this.#applied = appliedState(meta);
    this.#rows.timeMs = meta.appliedTimeMs;
    this.#history = meta.history;
    this.#committed = this.#bookkeeping();
    this.#stateBytes = fileBytes(database.path);
    this.#walBytes = walBytes(database.path);
  }

  /**
   * Opens the database, or creates it in a directory that is there. What is looked at does not grow
   * with the data. Throws `SqliteError` where the file cannot be reached.
   */
  static open({ driver, path, syncs = systemSyncs }: OpenOptions): OpenResult {
    let database: SqliteDatabase | null = null;
    try {
      // Of no meaning after a crash.
      removeIncoming(path);
      rmSync(scratchPath(path), { force: true });
      const isNew = !existsSync(path);
      if (isCutShort(path)) throw new StateDamaged(path, "its end is missing");
      database = driver.open(path);
      configure(database);
      const meta = openSchema(database);
      return { ok: true, store: new KeyValueStore({ driver, syncs }, database, meta), isNew };
    } catch (error) {
      database?.close();
      const cause = asDamage(path, error);
      if (!(cause instanceof StateDamaged)) throw cause;
      return { ok: false, damage: { path, detail: cause.detail, isMendable: cause.isMendable } };
    }
  }

  get applied(): AppliedState {
    return this.#applied;
  }

  /**
   * Of what waits, as many pages are counted as rows in random places change, and new rows twice: they
   * make both the write-ahead log and the database larger.
   */
  get unsyncedBytes(): number {
    const { uncommittedBytes } = this;
    if (uncommittedBytes === 0) return this.#walBytes;
    const pages = Math.max(1, (this.#stateBytes + 2 * uncommittedBytes) / pageBytes);
    const changed = pages * (1 - Math.exp(-(this.#rows.waitingCount + 1) / pages));
    return this.#walBytes + Math.ceil(changed) * walPageBytes + 2 * uncommittedBytes;
  }

  scatteredPages(bytes: number): number {
    const rows = this.#rows.replacingCount;
    // New rows come one behind the other.
    if (rows === 0) return 0;
    const pages = this.#stateBytes / pageBytes;
    const rowsThen = (rows * bytes) / this.#appliedBytes;
    return 2 * rowsThen > pages ? 0 : rows + Math.floor(this.#appliedBytes / pageBytes);
  }

  get stateBytes(): number {
    return this.#stateBytes;
  }

  get uncommittedBytes(): number {
    return this.#frozenBytes + this.#appliedBytes;
  }

  get isCommitting(): boolean {
    return this.#committing !== null;
  }

  /** Where it throws (`SqliteError`, `StateDamaged`), everything since the last `commit` is taken back. */
  apply(entry: Entry): CommandResult | null {
    try {
      return this.#applyNext(entry);
    } catch (error) {
      this.#rollBack();
      throw asDamage(this.#database.path, error);
    }
  }

  watch(sink: ChangeSink): void {
    this.#sink = sink;
    this.#watched = new WatchedRows(this.#rows, sink);
  }

  commit(): "done" | "full" {
    while (this.#committing !== null || this.#isAhead) {
      if (this.commitSome(Infinity, Infinity) === "full") return "full";
    }
    return "done";
  }

  commitSome(rowsMax: number, bytesMax = partBytesMax): "more" | "done" | "full" {
    if (this.#committing === null) {
      if (!this.#isAhead) return "done";
      this.#freeze();
    }
    const committing = must(this.#committing, "rows are frozen");
    try {
      if (!this.#isInTransaction) this.#begin();
      if (this.#rows.writeSome(rowsMax, bytesMax) === "more") return "more";
      if (this.#requests.writeSome(rowsMax) === "more") return "more";
      this.#save(committing);
      this.#statements.commit.run();
    } catch (error) {
      this.#endTransaction();
      if (isFull(error)) return "full";
      this.#rollBack();
      throw asDamage(this.#database.path, error);
    }
    this.#isInTransaction = false;
    this.#committed = committing;
    this.#committing = null;
    this.#frozenBytes = 0;
    this.#rows.written();
    this.#requests.written();
    this.#walBytes = walBytes(this.#database.path);
    return "done";
  }

  lookup(query: Query): Answer {
    try {
      switch (query.type) {
        case "get":
          return { type: "get", row: this.#rows.get(query.key) };
        case "list":
          return list(this.#rows, query);
        case "count":
          return count(this.#rows, query);
        default:
          return unreachable(query);
      }
    } catch (error) {
      throw asDamage(this.#database.path, error);
    }
  }

  get nextDeadlineMs(): number | null {
    return this.#rows.deadlines.next?.timeMs ?? null;
  }

  digest(): StateDigest {
    return {
      appliedIndex: this.#applied.appliedIndex,
      stateHash: this.#rows.hash.toString(),
      historyHash: hex32(this.#history),
      bookHash: this.#requests.hash.toString(),
    };
  }

  sync(): Index {
    const { appliedIndex } = this.#applied;
    if (this.commit() === "full") return this.#syncedIndex ?? index(0);
    if (this.#syncedIndex === appliedIndex && this.#walBytes === 0) return appliedIndex;
    try {
      this.#sync.run();
    } catch (error) {
      // What could not be moved is in the write-ahead log still.
      if (isFull(error)) return this.#syncedIndex ?? index(0);
      throw asDamage(this.#database.path, error);
    }
    this.#synced();
    return appliedIndex;
  }

  syncSome(hasRoom = true): Index | "more" | "full" {
    assert(!this.#isInTransaction, "a transaction is ended before it is synced");
    try {
      const isMoreToCome = this.uncommittedBytes > 0;
      if (this.#sync.goOn(hasRoom && isMoreToCome) === "more") return "more";
    } catch (error) {
      if (isFull(error)) return "full";
      throw asDamage(this.#database.path, error);
    }
    this.#synced();
    return this.#committed.applied.appliedIndex;
  }

  /** All that is committed is durable. */
  #synced(): void {
    this.#syncedIndex = this.#committed.applied.appliedIndex;
    this.#stateBytes = fileBytes(this.#database.path);
    this.#walBytes = 0;
  }

  get reusableBytes(): number {
    return pageBytes * this.#shrinking.freePages;
  }

  shrinkSome(bytesMax: number): number {
    // Neither between two parts of a transaction nor beside a sync.
    if (this.#isInTransaction || this.#sync.isUnderWay) return 0;
    try {
      const bytes = this.#shrinking.step(bytesMax);
      if (bytes > 0) this.#walBytes = walBytes(this.#database.path);
      return bytes;
    } catch (error) {
      throw asDamage(this.#database.path, error);
    }
  }

  /**
   * Goes on with the background verification of all rows, by about `bytesMax` bytes. Throws
   * `StateDamaged` where a row is wrong, or where at the end they are not those that were written.
   */
  verify(bytesMax: number): { bytes: number; isEnd: boolean } {
    // The rows in the database are of no one instant.
    if (this.#isInTransaction) return { bytes: 0, isEnd: false };
    try {
      return this.#rows.verify(bytesMax, this.#committed.hash);
    } catch (error) {
      throw asDamage(this.#database.path, error);
    }
  }

  prepareSnapshot(): StateView | "full" | "busy" {
    if (this.#view !== null) return "busy";
    if (this.commit() === "full") return "full";
    this.#view = new SqliteStateView({
      database: this.#database,
      tables: stateTables,
      applied: this.#applied,
      digest: this.digest(),
      endTransaction: () => {
        if (this.#isInTransaction) this.commitSome(Infinity, Infinity);
      },
      check: (table, row) => {
        const detail = contradictionOf(table, row);
        if (detail !== null) throw new StateDamaged(this.#database.path, detail);
      },
      onClose: () => {
        this.#view = null;
      },
    });
    return this.#view;
  }

  beginRecovery(applied: AppliedState, digest: StateDigest): StateRecovery {
    assert(this.#recovery === null, "one recovery at a time");
    const tally = new StateTally();
    const target = StateHash.parse(digest.stateHash);
    const bookTarget = StateHash.parse(digest.bookHash);
    const meta = {
      ...applied,
      history: Number.parseInt(digest.historyHash, 16),
      hashHigh: target.high,
      hashLow: target.low,
      bookHigh: bookTarget.high,
      bookLow: bookTarget.low,
      configuration: encodeConfiguration(must(applied.configuration, "a snapshot has members")),
    };
    const { path } = this.#database;
    this.#recovery = new SqliteStateRecovery({
      driver: this.#driver,
      path,
      tables: stateTables,
      meta,
      check: (table, row) => tally.add(table, row),
      contradiction: () => tally.contradiction(digest),
      install: () => this.#switch(meta),
      onEnd: () => {
        this.#recovery = null;
      },
    });
    return this.#recovery;
  }

  close(): void {
    this.#view?.close();
    this.#recovery?.abandon();
    try {
      this.commit();
      // SQLite removes the log as it closes, and relies on what was copied from it.
      this.#sync.settle();
    } finally {
      this.#database.close();
      this.#sync.close();
    }
  }

  // ------------------------------------------------------------------ another state

  /**
   * A write-ahead log belongs to the file of its name, and SQLite cannot tell that the file is another
   * one now: so the old log is moved into the old file and surely gone before the new file comes.
   */
  #switch(meta: StateMeta): void {
    const { path } = this.#database;
    this.#view?.close();
    if (this.sync() < this.#applied.appliedIndex) {
      throw new SqliteError(path, "SQLITE_FULL", "no room to put the old state away");
    }
    this.#database.close();
    this.#sync.close();
    for (const end of ["-wal", "-shm"]) rmSync(path + end, { force: true });
    syncDirectory(dirname(path));
    replaceLarge(path, () => renameSync(incomingPath(path), path));
    syncDirectory(dirname(path));
    this.#database = this.#driver.open(path);
    configure(this.#database);
    this.#statements = prepareStatements(this.#database);
    this.#rows = new RowTable(this.#database, this.#statements, rowsHash(meta));
    this.#requests = new RequestTable(this.#database, bookHash(meta));
    this.#sync = new StateSync(this.#database, this.#statements, this.#syncs);
    this.#shrinking = new StateShrinking(this.#database);
    this.#configuration = meta.configuration;
    this.#applied = appliedState(meta);
    this.#rows.timeMs = meta.appliedTimeMs;
    this.#history = meta.history;
    this.#committed = this.#bookkeeping();
    this.#syncedIndex = null;
    this.#walBytes = walBytes(path);
    this.#stateBytes = fileBytes(path);
    if (this.#sink === null) this.#watched = this.#rows;
    else this.watch(this.#sink);
    this.#sink?.replaced(this.#applied.appliedIndex);
  }

  // ------------------------------------------------------------------ apply

  /** Something was applied that neither is in the database nor on its way there. */
  get #isAhead(): boolean {
    const { applied } = this.#committing ?? this.#committed;
    return this.#applied.appliedIndex > applied.appliedIndex;
  }

  #bookkeeping(): Bookkeeping {
    return {
      applied: this.#applied,
      configuration: this.#configuration,
      history: this.#history,
      hash: this.#rows.hash.copy(),
      book: this.#requests.hash.copy(),
    };
  }

  #begin(): void {
    if (this.#sync.isUnderWay) {
      this.#sync.settle();
      // To the end or not at all: in doubt the next checkpoint counts.
      this.#walBytes = walBytes(this.#database.path);
    }
    this.#statements.begin.run();
    this.#isInTransaction = true;
  }

  #freeze(): void {
    this.#committing = this.#bookkeeping();
    this.#frozenBytes = this.#appliedBytes;
    this.#appliedBytes = 0;
    this.#triedBytes = 0;
    this.#rows.freeze();
    this.#requests.freeze();
  }

  #save({ applied, configuration, history, hash, book }: Bookkeeping): void {
    const { appliedIndex, appliedTerm, appliedTimeMs } = applied;
    saveMeta(this.#statements.saveMeta, {
      appliedIndex,
      appliedTerm,
      appliedTimeMs,
      history,
      hashHigh: hash.high,
      hashLow: hash.low,
      bookHigh: book.high,
      bookLow: book.low,
      configuration,
    });
  }

  #rollBack(): void {
    if (this.#isInTransaction) this.#endTransaction();
    const { applied, configuration, history, hash, book } = this.#committed;
    this.#applied = applied;
    this.#configuration = configuration;
    this.#history = history;
    this.#committing = null;
    this.#frozenBytes = 0;
    this.#appliedBytes = 0;
    this.#triedBytes = 0;
    this.#rows.rollBack(hash.copy());
    this.#requests.rollBack(book.copy());
  }

  /** What is frozen waits for the next one. */
  #endTransaction(): void {
    try {
      this.#statements.rollBack.run();
    } catch {
      // SQLite has rolled back by itself, as it does where the disk fails or is full.
    }
    this.#isInTransaction = false;
    this.#rows.unwritten();
    this.#requests.unwritten();
  }

  #applyNext(entry: Entry): CommandResult | null {
    assert(entry.index === this.#applied.appliedIndex + 1, "entries are applied without a gap");
    const writtenBefore = this.#rows.writtenBytes + this.#requests.writtenBytes;
    const result = this.#applyEntry(entry);
    const { configuration } = this.#applied;
    this.#applied = {
      appliedIndex: entry.index,
      appliedTerm: entry.term,
      appliedTimeMs: entry.timeMs,
      configuration,
    };
    this.#sink?.applied(entry.index);
    // A short entry may append to a long value.
    const writtenBytes = this.#rows.writtenBytes + this.#requests.writtenBytes - writtenBefore;
    this.#appliedBytes += Math.max(entry.data.byteLength, writtenBytes);
    const bytesMax = this.#view === null ? appliedBytesMax : viewedBytesMax;
    const isDue = this.#appliedBytes - this.#triedBytes > bytesMax;
    if (isDue && this.commit() === "full") this.#triedBytes = this.#appliedBytes;
    return result;
  }

  #applyEntry(entry: Entry): CommandResult | null {
    const { data, kind, timeMs } = entry;
    const head = `${entry.index} ${entry.term} ${kind} ${timeMs} ${data.byteLength}`;
    this.#history = crc32(data, crc32(head, this.#history));
    switch (kind) {
      case "command":
        return this.#applyCommand(entry);
      case "configuration":
        this.#applied = { ...this.#applied, configuration: decodeConfiguration(data) };
        this.#configuration = data.slice();
        return null;
      case "noop":
        return null;
      default:
        return unreachable(kind);
    }
  }

  #applyCommand(entry: Entry): CommandResult {
    const { data } = entry;
    if (readCommandHeader(data) === null) {
      return { op: "refused", detail: "the entry is for no state machine this version knows" };
    }
    const command = decodeCommand(data, commandHeaderBytes);
    if (command.op === "refused") return command;
    const result = execute(this.#watched, this.#requests, { command, entry });
    // What it came to is part of the history: the next one of this key is told the same.
    if (command.op === "once") this.#history = crc32(this.#requests.hash.toString(), this.#history);
    return result;
  }
}

export const appliedState = (meta: StateMeta): AppliedState => ({
  appliedIndex: index(meta.appliedIndex),
  appliedTerm: term(meta.appliedTerm),
  appliedTimeMs: meta.appliedTimeMs,
  configuration: meta.configuration && decodeConfiguration(meta.configuration),
});

const rowsHash = ({ hashHigh, hashLow }: StateMeta): StateHash => new StateHash(hashHigh, hashLow);

const bookHash = ({ bookHigh, bookLow }: StateMeta): StateHash => new StateHash(bookHigh, bookLow);

const isFull = (error: unknown): boolean => error instanceof SqliteError && error.isFull;
