/** The key-value state machine on SQLite: rows, applied index, history and hash in one transaction. */

import { Buffer } from "node:buffer";
import { existsSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import { assert, must, unreachable } from "../server/raft/assert.ts";
import { decodeConfiguration, encodeConfiguration } from "../server/raft/configuration.ts";
import { index, term, type Entry, type Index } from "../server/raft/entry.ts";
import { decodeCommand } from "../server/state-machine/codec.ts";
import { commandBytes, readCommandHeader } from "../server/state-machine/command-header.ts";
import type {
  Answer,
  CommandResult,
  DeleteCommand,
  ListAnswer,
  ListQuery,
  PutCommand,
  Query,
  Row,
} from "../server/state-machine/command.ts";
import type {
  AppliedState,
  StateDigest,
  StateMachine,
  StateRecovery,
  StateView,
} from "../server/state-machine/port.ts";
import type { FileDamage } from "./group-files.ts";
import { afterPrefix } from "./key-range.ts";
import { RowBuffer } from "./row-buffer.ts";
import {
  SqliteError,
  type SqliteDatabase,
  type SqliteDriver,
  type SqliteRow,
} from "./sqlite/port.ts";
import { hex32, rowChecksum, StateHash } from "./state-hash.ts";
import { contradictionIn, readRow } from "./state-row.ts";
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
import { StateVerification, type RowVersion } from "./state-verification.ts";
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

/** Rows fetched at once while listing: a value may have a megabyte, a key two kilobytes. */
const valuesPerScan = 16;
const keysPerScan = 256;

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
  #hash: StateHash;
  #syncedIndex: Index | null = null;
  /** Applied since the last commit. */
  readonly #buffer = new RowBuffer();
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
  #verification: StateVerification;

  private constructor(driver: SqliteDriver, database: SqliteDatabase, meta: StateMeta) {
    this.#driver = driver;
    this.#database = database;
    this.#statements = prepareStatements(database);
    this.#verification = this.#newVerification();
    this.#configuration = meta.configuration;
    this.#applied = appliedState(meta);
    this.#history = meta.history;
    this.#hash = new StateHash(meta.hashHigh, meta.hashLow);
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
      if (this.#committed === null) this.#begin();
      return entries.map((entry) => this.#applyNext(entry));
    } catch (error) {
      this.#rollBack();
      throw asDamage(this.#database.path, error);
    }
  }

  commit(): "done" | "full" {
    if (this.#committed === null) return "done";
    const { appliedIndex, appliedTerm, appliedTimeMs } = this.#applied;
    try {
      this.#statements.begin.run();
      this.#writeRows();
      saveMeta(this.#statements.saveMeta, {
        appliedIndex,
        appliedTerm,
        appliedTimeMs,
        history: this.#history,
        hashHigh: this.#hash.high,
        hashLow: this.#hash.low,
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
    this.#buffer.clear();
    return "done";
  }

  lookup(query: Query): Answer {
    try {
      switch (query.type) {
        case "get":
          return { type: "get", row: this.#get(query.key) };
        case "list":
          return this.#listAll(query);
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
      stateHash: this.#hash.toString(),
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
      const { bytes, end } = this.#verification.step(bytesMax);
      if (end !== null && end.toString() !== this.#hash.toString()) {
        const detail = "its rows are not those that were written: some are missing, or too many";
        throw new StateDamaged(this.#database.path, detail);
      }
      return { bytes, isEnd: end !== null };
    } catch (error) {
      throw asDamage(this.#database.path, error);
    }
  }

  #newVerification(): StateVerification {
    const check = (found: SqliteRow): number => {
      const { key, value } = this.#checkedRow(found);
      return Buffer.byteLength(key) + value.byteLength;
    };
    return new StateVerification({ database: this.#database, check });
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
    this.#verification = this.#newVerification();
    this.#configuration = meta.configuration;
    this.#applied = appliedState(meta);
    this.#history = meta.history;
    this.#hash = new StateHash(meta.hashHigh, meta.hashLow);
    this.#syncedIndex = null;
    this.#unsyncedBytes = null;
    this.#stateBytes = fileBytes(path);
  }

  // ------------------------------------------------------------------ apply

  #begin(): void {
    this.#committed = {
      applied: this.#applied,
      configuration: this.#configuration,
      history: this.#history,
      hash: new StateHash(this.#hash.high, this.#hash.low),
    };
  }

  #rollBack(): void {
    if (this.#committed === null) return;
    const { applied, configuration, history, hash } = this.#committed;
    this.#applied = applied;
    this.#configuration = configuration;
    this.#history = history;
    this.#hash = hash;
    this.#committed = null;
    this.#uncommittedBytes = 0;
    this.#verification.restart();
    this.#buffer.clear();
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
    const result = this.#applyEntry(entry);
    const { configuration } = this.#applied;
    this.#applied = {
      appliedIndex: entry.index,
      appliedTerm: entry.term,
      appliedTimeMs: entry.timeMs,
      configuration,
    };
    this.#uncommittedBytes += entry.data.byteLength;
    this.#grownBytes += entry.data.byteLength + entryWalBytes;
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
        return this.#put(command, revision);
      case "delete":
        return this.#delete(command, revision);
      case "refused":
        return command;
      default:
        return unreachable(command);
    }
  }

  #put(command: PutCommand, revision: Index): CommandResult {
    const { key, contentType } = command;
    const before = this.#forget(key);
    const createRevision = before === null ? revision : before.createRevision;
    const checksum = rowChecksum(command, revision, createRevision);
    // A copy: the entry's bytes are a view into a packet, or the log's.
    const value = command.value.slice();
    this.#buffer.set(key, { value, contentType, createRevision, revision, checksum });
    this.#hash.add(checksum, revision, createRevision);
    this.#verification.changed(key, before, { checksum, revision, createRevision });
    return { op: "put", created: before === null, revision };
  }

  #delete({ key }: DeleteCommand, revision: Index): CommandResult {
    const before = this.#forget(key);
    if (before === null) return { op: "delete", deleted: 0, revision };
    this.#buffer.set(key, null);
    this.#verification.changed(key, before, null);
    return { op: "delete", deleted: 1, revision };
  }

  /** Takes the row that is about to go out of the hash. */
  #forget(key: string): RowVersion | null {
    const before = this.#versionOf(key);
    if (before !== null) this.#hash.remove(before.checksum, before.revision, before.createRevision);
    return before;
  }

  #versionOf(key: string): RowVersion | null {
    const buffered = this.#buffer.get(key);
    if (buffered !== undefined) return buffered;
    const stored = this.#statements.getVersion.get(key);
    if (stored === null) return null;
    const { checksum, revision, create_revision: createRevision } = stored;
    if (![checksum, revision, createRevision].every(Number.isSafeInteger)) {
      const detail = `the row of key ${JSON.stringify(key)} has a column of another type`;
      throw new StateDamaged(this.#database.path, detail);
    }
    return { checksum, revision, createRevision } as RowVersion;
  }

  #writeRows(): void {
    const { put, delete: remove } = this.#statements;
    for (const [key, row] of this.#buffer.inOrder()) {
      if (row === null) {
        remove.run(key);
        continue;
      }
      const { value, contentType, createRevision, revision, checksum } = row;
      put.run(key, value, contentType, createRevision, revision, checksum);
    }
  }

  // ------------------------------------------------------------------ lookup

  #get(key: string): Row | null {
    const buffered = this.#buffer.get(key);
    if (buffered === null) return null;
    if (buffered !== undefined) {
      const { value, contentType, revision, createRevision } = buffered;
      return {
        key,
        value,
        contentType,
        revision: index(revision),
        createRevision: index(createRevision),
      };
    }
    const found = this.#statements.get.get(key);
    return found && this.#checkedRow(found);
  }

  #checkedRow(found: SqliteRow): Row {
    const row = readRow(found);
    const { key, value, contentType, createRevision, revision } = row;
    const columns = [key, value, contentType, createRevision, revision, found["checksum"] ?? null];
    const detail = contradictionIn(columns);
    if (detail !== null) throw new StateDamaged(this.#database.path, detail);
    return row;
  }

  /**
   * A scan goes over the table alone. Where the disk has no room for what is not in it yet, a
   * transaction that is taken back afterwards holds it in memory for so long.
   */
  #listAll(query: ListQuery): ListAnswer {
    if (this.commit() === "done") return this.#list(query);
    try {
      this.#statements.begin.run();
      this.#writeRows();
      return this.#list(query);
    } finally {
      this.#endTransaction();
    }
  }

  /** Without their values, rows cannot be checked: a listing of keys alone takes them as they are. */
  #list({ prefix, after, limit, keysOnly, bytesMax }: ListQuery): ListAnswer {
    const scan = keysOnly ? this.#statements.scanKeys : this.#statements.scanRows;
    const scanMax = keysOnly ? keysPerScan : valuesPerScan;
    const end = afterPrefix(prefix);
    const rows: Row[] = [];
    let bytes = 0;
    // No key is empty, so "after the empty text" leaves nothing out.
    let last = after ?? "";
    for (;;) {
      const count = Math.min(scanMax, limit - rows.length + 1);
      const page = scan.all(prefix, last, last, end, count);
      for (const found of page) {
        const row = keysOnly ? readRow(found) : this.#checkedRow(found);
        bytes += Buffer.byteLength(row.key) + row.value.byteLength;
        if (rows.length === limit || (rows.length > 0 && bytes > bytesMax)) {
          return { type: "list", rows, more: true };
        }
        rows.push(row);
        last = row.key;
      }
      if (page.length < count) return { type: "list", rows, more: false };
    }
  }
}

const appliedState = (meta: StateMeta): AppliedState => ({
  appliedIndex: index(meta.appliedIndex),
  appliedTerm: term(meta.appliedTerm),
  appliedTimeMs: meta.appliedTimeMs,
  configuration: meta.configuration && decodeConfiguration(meta.configuration),
});

const isFull = (error: unknown): boolean => error instanceof SqliteError && error.isFull;
