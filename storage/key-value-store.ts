/** The key-value state machine on SQLite: rows, applied index, history and hash in one transaction. */

import { existsSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import { assert, must, unreachable } from "../server/raft/assert.ts";
import { decodeConfiguration, encodeConfiguration } from "../server/raft/configuration.ts";
import { index, term, type Entry, type Index } from "../server/raft/entry.ts";
import { WatchedRows, type ChangeSink } from "../server/state-machine/changes.ts";
import { decodeCommand } from "../server/state-machine/codec.ts";
import { commandBytes, readCommandHeader } from "../server/state-machine/command-header.ts";
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
import { transact } from "../server/state-machine/transact.ts";
import { RowTable } from "./row-table.ts";
import { SqliteError, type SqliteDatabase, type SqliteDriver } from "./sqlite/port.ts";
import { hex32, StateHash } from "./state-hash.ts";
import { contradictionIn } from "./state-row.ts";
import { incomingPath, removeIncoming, SqliteStateRecovery } from "./state-recovery.ts";
import {
  asDamage,
  isCutShort,
  openSchema,
  saveMeta,
  StateDamaged,
  fileBytes,
  stateTables,
  syncDirectory,
  userTable,
  walBytes,
  type StateMeta,
} from "./state-schema.ts";
import { configure, prepareStatements, type Statements } from "./state-statements.ts";
import { scratchPath, SqliteStateView } from "./state-view.ts";

export { StateDamaged } from "./state-schema.ts";

export type OpenResult =
  | { readonly ok: true; readonly store: KeyValueStore; readonly isNew: boolean }
  | { readonly ok: false; readonly damage: FileDamage };

/** SQLite's own default, which no file of ours departs from. */
const pageBytes = 4096;

/** How much the write-ahead log may have grown before its size is looked at again. */
const walLookBytes = 1 << 20;
/** Pages that one entry may change, bookkeeping included, besides those of its value. */
const entryWalBytes = 4 * 4120;

/** What a batch of entries may leave in memory before some of it is committed. */
const uncommittedBytesMax = 16 << 20;

/** What a roll-back goes back to. */
interface Committed {
  readonly applied: AppliedState;
  readonly configuration: Uint8Array | null;
  readonly history: number;
  readonly hash: StateHash;
}

export class KeyValueStore implements StateMachine {
  readonly #driver: SqliteDriver;
  #database: SqliteDatabase;
  #statements: Statements;
  #applied: AppliedState;
  /** The bytes of `#applied.configuration`. */
  #configuration: Uint8Array | null;
  #history: number;
  /** Made anew with the database. */
  #rows: RowTable;
  /** What entries work on: the rows, and who is told of their changes. */
  #watched: Rows;
  #sink: ChangeSink | null = null;
  #syncedIndex: Index | null = null;
  /** What was committed last; null where nothing was applied since. */
  #committed: Committed | null = null;
  /** Entry bytes applied since. */
  #uncommittedBytes = 0;
  /** The write-ahead log's size when it was last looked at; null before. */
  #unsyncedBytes: number | null = null;
  /** What may have come to it since, at the most. */
  #grownBytes = 0;
  /** The database file's size at the last checkpoint; only then does it change. */
  #stateBytes: number;
  #view: StateView | null = null;
  #recovery: StateRecovery | null = null;

  private constructor(driver: SqliteDriver, database: SqliteDatabase, meta: StateMeta) {
    this.#driver = driver;
    this.#database = database;
    this.#statements = prepareStatements(database);
    this.#rows = new RowTable(database, this.#statements, rowsHash(meta));
    this.#watched = this.#rows;
    this.#configuration = meta.configuration;
    this.#applied = appliedState(meta);
    this.#history = meta.history;
    this.#stateBytes = fileBytes(database.path);
  }

  /**
   * Opens the database, or creates it in a directory that is there. What is looked at does not grow
   * with the data. Throws `SqliteError` where the file cannot be reached.
   */
  static open({ driver, path }: { driver: SqliteDriver; path: string }): OpenResult {
    let database: SqliteDatabase | null = null;
    try {
      // Of no meaning after a crash.
      removeIncoming(path);
      rmSync(scratchPath(path), { force: true });
      const isNew = !existsSync(path);
      if (isCutShort(path)) throw new StateDamaged(path, "its end is missing");
      database = driver.open(path);
      configure(database);
      return { ok: true, store: new KeyValueStore(driver, database, openSchema(database)), isNew };
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

  get unsyncedBytes(): number {
    if (this.#unsyncedBytes === null || this.#grownBytes >= walLookBytes) {
      this.#unsyncedBytes = walBytes(this.#database.path);
      this.#grownBytes = 0;
    }
    return this.#unsyncedBytes + this.#grownBytes;
  }

  get stateBytes(): number {
    return this.#stateBytes;
  }

  get uncommittedBytes(): number {
    return this.#uncommittedBytes;
  }

  /** Where it throws (`SqliteError`, `StateDamaged`), everything since the last `commit` is taken back. */
  apply(entries: readonly Entry[]): (CommandResult | null)[] {
    try {
      return entries.map((entry) => {
        if (this.#committed === null) this.#begin();
        return this.#applyNext(entry);
      });
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
    if (this.#committed === null) return "done";
    const { appliedIndex, appliedTerm, appliedTimeMs } = this.#applied;
    try {
      this.#statements.begin.run();
      this.#rows.write();
      saveMeta(this.#statements.saveMeta, {
        appliedIndex,
        appliedTerm,
        appliedTimeMs,
        history: this.#history,
        hashHigh: this.#rows.hash.high,
        hashLow: this.#rows.hash.low,
        configuration: this.#configuration,
      });
      this.#statements.commit.run();
    } catch (error) {
      this.#endTransaction();
      if (isFull(error)) return "full";
      this.#rollBack();
      throw asDamage(this.#database.path, error);
    }
    this.#committed = null;
    this.#uncommittedBytes = 0;
    this.#rows.written();
    return "done";
  }

  lookup(query: Query): Answer {
    try {
      switch (query.type) {
        case "get":
          return { type: "get", row: this.#rows.get(query.key) };
        case "list":
          // What waits would have to be looked through for every page; where the disk is full it is.
          this.commit();
          return list(this.#rows, query);
        case "count":
          this.commit();
          return count(this.#rows, query);
        default:
          return unreachable(query);
      }
    } catch (error) {
      throw asDamage(this.#database.path, error);
    }
  }

  digest(): StateDigest {
    return {
      appliedIndex: this.#applied.appliedIndex,
      stateHash: this.#rows.hash.toString(),
      historyHash: hex32(this.#history),
    };
  }

  /**
   * A checkpoint: SQLite syncs the write-ahead log, moves it into the database, syncs that, and cuts
   * the log to nothing.
   */
  sync(): Index {
    const { appliedIndex } = this.#applied;
    if (this.commit() === "full") return this.#syncedIndex ?? index(0);
    if (this.#syncedIndex === appliedIndex) return appliedIndex;
    try {
      this.#checkpoint();
    } catch (error) {
      // What could not be moved is in the write-ahead log still.
      if (isFull(error)) return this.#syncedIndex ?? index(0);
      throw asDamage(this.#database.path, error);
    }
    this.#syncedIndex = appliedIndex;
    this.#stateBytes = fileBytes(this.#database.path);
    this.#unsyncedBytes = 0;
    this.#grownBytes = 0;
    return appliedIndex;
  }

  get reusableBytes(): number {
    const found = this.#statements.freePages.get();
    return pageBytes * (must(found, "a pragma has a value")["freelist_count"] as number);
  }

  #checkpoint(): void {
    const { path } = this.#database;
    const result = must(this.#statements.checkpoint.get(), "a checkpoint has a result");
    // SQLite reports an incomplete checkpoint as a row and not as an error.
    if (result["busy"] !== 0 || result["log"] !== result["checkpointed"] || walBytes(path) !== 0) {
      throw new SqliteError(path, "SQLITE_BUSY", "the checkpoint is not complete");
    }
  }

  /**
   * Goes on with the background verification of all rows, by about `bytesMax` bytes. Throws
   * `StateDamaged` where a row is wrong, or where at the end they are not those that were written.
   */
  verify(bytesMax: number): { bytes: number; isEnd: boolean } {
    // What waits in memory counts in the hash already, and would not be found.
    if (this.commit() === "full") return { bytes: 0, isEnd: false };
    try {
      return this.#rows.verify(bytesMax);
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
      commit: () => void this.commit(),
      check: (table, row) => {
        const detail = table === userTable.name ? contradictionIn(row) : null;
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
    const hash = new StateHash(0, 0);
    const target = StateHash.parse(digest.stateHash);
    const meta = {
      ...applied,
      history: Number.parseInt(digest.historyHash, 16),
      hashHigh: target.high,
      hashLow: target.low,
      configuration: encodeConfiguration(must(applied.configuration, "a snapshot has members")),
    };
    const { path } = this.#database;
    this.#recovery = new SqliteStateRecovery({
      driver: this.#driver,
      path,
      tables: stateTables,
      meta,
      check: (table, row) => {
        if (table !== userTable.name) return null;
        const [, , , createRevision, revision, checksum] = row;
        const detail = contradictionIn(row);
        if (detail === null) {
          hash.add(checksum as number, revision as number, createRevision as number);
        }
        return detail;
      },
      contradiction: () =>
        hash.toString() === digest.stateHash ? null : "its rows are not those it was made of",
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
    } finally {
      this.#database.close();
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
    for (const end of ["-wal", "-shm"]) rmSync(path + end, { force: true });
    syncDirectory(dirname(path));
    renameSync(incomingPath(path), path);
    syncDirectory(dirname(path));
    this.#database = this.#driver.open(path);
    configure(this.#database);
    this.#statements = prepareStatements(this.#database);
    this.#rows = new RowTable(this.#database, this.#statements, rowsHash(meta));
    this.#configuration = meta.configuration;
    this.#applied = appliedState(meta);
    this.#history = meta.history;
    this.#syncedIndex = null;
    this.#unsyncedBytes = null;
    this.#stateBytes = fileBytes(path);
    if (this.#sink === null) this.#watched = this.#rows;
    else this.watch(this.#sink);
    this.#sink?.replaced(this.#applied.appliedIndex);
  }

  // ------------------------------------------------------------------ apply

  #begin(): void {
    this.#committed = {
      applied: this.#applied,
      configuration: this.#configuration,
      history: this.#history,
      hash: new StateHash(this.#rows.hash.high, this.#rows.hash.low),
    };
  }

  #rollBack(): void {
    if (this.#committed === null) return;
    const { applied, configuration, history, hash } = this.#committed;
    this.#applied = applied;
    this.#configuration = configuration;
    this.#history = history;
    this.#committed = null;
    this.#uncommittedBytes = 0;
    this.#rows.rollBack(hash);
  }

  #endTransaction(): void {
    try {
      this.#statements.rollBack.run();
    } catch {
      // SQLite has rolled back by itself, as it does where the disk fails or is full.
    }
  }

  #applyNext(entry: Entry): CommandResult | null {
    assert(entry.index === this.#applied.appliedIndex + 1, "entries are applied without a gap");
    const writtenBefore = this.#rows.writtenBytes;
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
    const writtenBytes = this.#rows.writtenBytes - writtenBefore;
    const bytes = Math.max(entry.data.byteLength, writtenBytes);
    this.#uncommittedBytes += bytes;
    this.#grownBytes += bytes + entryWalBytes;
    if (this.#uncommittedBytes > uncommittedBytesMax) this.commit();
    return result;
  }

  #applyEntry(entry: Entry): CommandResult | null {
    const { data, kind } = entry;
    const head = `${entry.index} ${entry.term} ${kind} ${data.byteLength}`;
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

  #applyCommand({ data, index: revision }: Entry): CommandResult {
    if (readCommandHeader(data) === null) {
      return { op: "refused", detail: "the entry is for no state machine this version knows" };
    }
    const command = decodeCommand(commandBytes(data));
    switch (command.op) {
      case "put":
        return { op: "put", created: this.#watched.put(command, revision) === null, revision };
      case "delete": {
        const deleted = this.#watched.remove(command.key) === null ? 0 : 1;
        return { op: "delete", deleted, revision };
      }
      case "transaction":
        return transact(this.#watched, command, revision);
      case "refused":
        return command;
      default:
        return unreachable(command);
    }
  }
}

const appliedState = (meta: StateMeta): AppliedState => ({
  appliedIndex: index(meta.appliedIndex),
  appliedTerm: term(meta.appliedTerm),
  appliedTimeMs: meta.appliedTimeMs,
  configuration: meta.configuration && decodeConfiguration(meta.configuration),
});

const rowsHash = ({ hashHigh, hashLow }: StateMeta): StateHash => new StateHash(hashHigh, hashLow);

const isFull = (error: unknown): boolean => error instanceof SqliteError && error.isFull;
