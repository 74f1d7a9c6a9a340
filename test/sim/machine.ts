/**
 * The simulation's state machine: rows in a map, and beside it what its file would hold. It keeps
 * SQLite's contract (`storage/key-value-store.ts`): a kill loses the open transaction, a power loss
 * may lose whole transactions since the last checkpoint, newest first, and never part of one.
 */

import { crc32 } from "node:zlib";
import { assert, must } from "../../server/raft/assert.ts";
import {
  decodeConfiguration,
  encodeConfiguration,
  type Configuration,
} from "../../server/raft/configuration.ts";
import { index, term, type Entry, type Index } from "../../server/raft/entry.ts";
import { WatchedRows, type ChangeSink } from "../../server/state-machine/changes.ts";
import { decodeCommand } from "../../server/state-machine/codec.ts";
import { commandBytes, readCommandHeader } from "../../server/state-machine/command-header.ts";
import type { Answer, CommandResult, Query, Row } from "../../server/state-machine/command.ts";
import { execute } from "../../server/state-machine/execute.ts";
import { count, list } from "../../server/state-machine/listing.ts";
import type { RequestRecord } from "../../server/state-machine/once.ts";
import { rowOf } from "../../server/state-machine/rows.ts";
import type {
  AppliedState,
  RowBatch,
  SnapshotValue,
  StateDigest,
  StateMachine,
  StateRecovery,
  StateView,
} from "../../server/state-machine/port.ts";
import { hex32, rowChecksum, StateHash } from "../../storage/state-hash.ts";
import type { Random } from "../raft/random.ts";
import { MapRequests, requestRows, requestsIn } from "../server/map-requests.ts";
import { lastingOf, MapRows, type Lasting } from "../server/map-rows.ts";
import type { CommittedChanges } from "./changes.ts";

interface Bookkeeping {
  readonly applied: AppliedState;
  readonly history: number;
  readonly high: number;
  readonly low: number;
  readonly requests: readonly RequestRecord[];
}

interface RowChange {
  readonly key: string;
  readonly row: Row | null;
}

interface Transaction {
  readonly changes: readonly RowChange[];
  readonly after: Bookkeeping;
}

const nothing: Bookkeeping = {
  applied: { appliedIndex: index(0), appliedTerm: term(0), appliedTimeMs: 0, configuration: null },
  history: 0,
  high: 0,
  low: 0,
  requests: [],
};

/** The state machine's file: rows as of the last checkpoint, and the transactions since. */
export class MachineFile {
  #rows = new Map<string, Row>();
  #state = nothing;
  #transactions: Transaction[] = [];
  /** Opening it says so. */
  isDamaged = false;
  /** Its disk has no room for anything more. */
  isFull = false;

  get syncedIndex(): Index {
    return this.#state.applied.appliedIndex;
  }

  get isMissing(): boolean {
    return this.#state === nothing && this.#transactions.length === 0;
  }

  commit(transaction: Transaction): void {
    this.#transactions.push(transaction);
  }

  checkpoint(): void {
    for (const { changes, after } of this.#transactions) {
      applyChanges(this.#rows, changes);
      this.#state = after;
    }
    this.#transactions = [];
  }

  losePower(random: Random, keep: number): void {
    const kept = this.#transactions.findIndex(() => random.float() >= keep);
    if (kept >= 0) this.#transactions.length = kept;
  }

  wipe(): void {
    this.#rows = new Map();
    this.#state = nothing;
    this.#transactions = [];
    this.isDamaged = false;
  }

  /** The switch to a state from a snapshot: all or nothing, and durable. */
  replace(rows: Map<string, Row>, state: Bookkeeping): void {
    this.#rows = rows;
    this.#state = state;
    this.#transactions = [];
  }

  read(): { rows: Map<string, Row>; state: Bookkeeping } {
    const rows = new Map(this.#rows);
    let state = this.#state;
    for (const { changes, after } of this.#transactions) {
      applyChanges(rows, changes);
      state = after;
    }
    return { rows, state };
  }
}

function applyChanges(rows: Map<string, Row>, changes: readonly RowChange[]): void {
  for (const { key, row } of changes) {
    if (row) rows.set(key, row);
    else rows.delete(key);
  }
}

function readRows({ rows }: RowBatch): Row[] {
  return rows.map(([key, value, contentType, createRevision, revision, expires, lease]) =>
    rowOf(
      {
        key: key as string,
        value: value as Uint8Array,
        contentType: contentType as string | null,
        expiresMs: (expires as number | null) ?? undefined,
        lease: (lease as number | null) ?? undefined,
      },
      { createRevision: createRevision as Index, revision: revision as Index },
    ),
  );
}

/** What was applied at one index, to be compared between replicas. */
export interface AppliedPoint {
  readonly index: Index;
  readonly history: number;
  readonly hashHigh: number;
  readonly hashLow: number;
  readonly timeMs: number;
  /** A checksum of the configuration. */
  readonly members: number;
}

export interface MachineOptions {
  /** What a state without a configuration stands for. */
  readonly formed: Configuration;
  readonly onApplied: (point: AppliedPoint) => void;
  /** Is told what each entry does to the rows; null: nobody wants to know. */
  readonly changes: CommittedChanges | null;
}

export class SimMachine implements StateMachine {
  readonly #file: MachineFile;
  readonly #onApplied: (point: AppliedPoint) => void;
  readonly #told: CommittedChanges | null;
  readonly #formed: Configuration;
  #members: { readonly configuration: Configuration; readonly checksum: number } | null = null;
  #rows: Map<string, Row>;
  #hash: StateHash;
  #history: number;
  #requests: MapRequests;
  #lasting: Lasting;
  /** Not in the file, and not on the way there. */
  #changes: RowChange[] = [];
  #isAhead = false;
  /** On the way there; how many of its rows are written. */
  #committing: Transaction | null = null;
  #writtenRows = 0;
  #committingBytes = 0;
  /** Calls until the sync that is under way has ended; null: none is. */
  #syncCallsLeft: number | null = null;
  #sink: ChangeSink | null = null;
  applied: AppliedState;
  uncommittedBytes = 0;
  unsyncedBytes = 0;
  stateBytes = 0;
  readonly reusableBytes = 0;
  readonly scatteredPages = (): number => 0;
  readonly shrinkSome = (): number => 0;

  constructor(file: MachineFile, { formed, onApplied, changes }: MachineOptions) {
    const { rows, state } = file.read();
    this.#file = file;
    this.#formed = formed;
    this.#onApplied = onApplied;
    this.#told = changes;
    this.#rows = rows;
    this.#hash = new StateHash(state.high, state.low);
    this.#history = state.history;
    this.#requests = new MapRequests(state.requests);
    this.#lasting = lastingOf(rows);
    this.applied = state.applied;
  }

  watch(sink: ChangeSink): void {
    this.#sink = sink;
  }

  commit(): "done" | "full" {
    while (this.#committing !== null || this.#isAhead) {
      if (this.commitSome(Infinity) === "full") return "full";
    }
    return "done";
  }

  get isCommitting(): boolean {
    return this.#committing !== null;
  }

  commitSome(rowsMax: number): "more" | "done" | "full" {
    if (this.#committing === null) {
      if (!this.#isAhead) return "done";
      this.#freeze();
    }
    if (this.#syncCallsLeft === 0) this.#endSync();
    this.#syncCallsLeft = null;
    const committing = must(this.#committing, "rows are frozen");
    if (this.#file.isFull) {
      this.#writtenRows = 0;
      return "full";
    }
    this.#writtenRows += rowsMax;
    if (this.#writtenRows < committing.changes.length) return "more";
    this.#file.commit(committing);
    this.#committing = null;
    this.uncommittedBytes -= this.#committingBytes;
    return "done";
  }

  #freeze(): void {
    const { high, low } = this.#hash;
    const after = {
      applied: this.applied,
      history: this.#history,
      high,
      low,
      requests: this.#requests.list,
    };
    this.#committing = { changes: this.#changes, after };
    this.#committingBytes = this.uncommittedBytes;
    this.#writtenRows = 0;
    this.#changes = [];
    this.#isAhead = false;
  }

  lookup(query: Query): Answer {
    switch (query.type) {
      case "get":
        return { type: "get", row: this.#reader().get(query.key) };
      case "list":
        return list(this.#reader(), query);
      case "count":
        return count(this.#reader(), query);
    }
  }

  digest(): StateDigest {
    const { appliedIndex } = this.applied;
    const stateHash = this.#hash.toString();
    const bookHash = this.#requests.hash;
    return { appliedIndex, stateHash, historyHash: hex32(this.#history), bookHash };
  }

  sync(): Index {
    if (this.commit() === "full" || this.#file.isFull) return this.#file.syncedIndex;
    this.#syncCallsLeft = null;
    this.#endSync();
    return this.#file.syncedIndex;
  }

  /** Two syncs of other threads: what the first leaves is a log that is whole, and nothing else. */
  syncSome(): Index | "more" | "full" {
    assert(this.#committing === null, "a transaction is ended before it is synced");
    if (this.#file.isFull) {
      this.#syncCallsLeft = null;
      return "full";
    }
    this.#syncCallsLeft ??= 2;
    if (this.#syncCallsLeft-- > 0) return "more";
    this.#syncCallsLeft = null;
    this.#endSync();
    return this.#file.syncedIndex;
  }

  #endSync(): void {
    this.#file.checkpoint();
    this.unsyncedBytes = this.uncommittedBytes;
    this.stateBytes = 0;
    for (const { value } of this.#rows.values()) this.stateBytes += 100 + value.byteLength;
  }

  prepareSnapshot(): StateView | "full" {
    if (this.commit() === "full") return "full";
    const rows = [...this.#rows.values()];
    const requests = requestRows(this.#requests.list);
    let given = 0;
    return {
      applied: this.applied,
      digest: this.digest(),
      read: (bytesMax) => {
        const batch: SnapshotValue[][] = [];
        for (let bytes = 0; given < rows.length && bytes < bytesMax; given++) {
          const row = must(rows[given], "a row");
          const { key, value, contentType, createRevision, revision } = row;
          const { expiresMs = null, lease = null } = row;
          batch.push([key, value, contentType, createRevision, revision, expiresMs, lease]);
          bytes += key.length + value.byteLength;
        }
        if (batch.length > 0) return { table: "kv", rows: batch };
        return requests.length === 0 ? null : { table: "request", rows: requests.splice(0, 10) };
      },
      close: () => {},
      isClosed: false,
    };
  }

  beginRecovery(applied: AppliedState, digest: StateDigest): StateRecovery {
    const rows = new Map<string, Row>();
    const hash = new StateHash(0, 0);
    const requests = new MapRequests();
    return {
      add: (batch) => {
        if (batch.table === "request") {
          for (const record of requestsIn(batch)) requests.add(record);
          return null;
        }
        for (const row of readRows(batch)) {
          rows.set(row.key, row);
          hash.add(
            rowChecksum(row, row.revision, row.createRevision),
            row.revision,
            row.createRevision,
          );
        }
        return null;
      },
      finish: () => {
        if (hash.toString() !== digest.stateHash) return "its rows have another hash";
        return requests.hash === digest.bookHash ? null : "its requests have another hash";
      },
      install: () => {
        const history = Number.parseInt(digest.historyHash, 16);
        const { high, low } = hash;
        this.#file.replace(rows, { applied, history, high, low, requests: requests.list });
        this.#requests = requests;
        this.#lasting = lastingOf(rows);
        this.#rows = new Map(rows);
        this.#hash = hash;
        this.#history = history;
        this.#changes = [];
        this.#isAhead = false;
        this.#committing = null;
        this.#syncCallsLeft = null;
        this.uncommittedBytes = 0;
        this.applied = applied;
        this.#sink?.replaced(applied.appliedIndex);
      },
      abandon: () => {},
    };
  }

  close(): void {
    this.commit();
  }

  apply(entry: Entry): CommandResult | null {
    const { data, kind, index: at } = entry;
    const head = `${at} ${entry.term} ${kind} ${entry.timeMs} ${data.byteLength}`;
    this.#history = crc32(data, crc32(head, this.#history));
    this.#isAhead = true;
    this.uncommittedBytes += data.byteLength;
    this.unsyncedBytes += data.byteLength;
    const before = this.applied.configuration;
    const configuration = kind === "configuration" ? decodeConfiguration(data) : before;
    const { timeMs: appliedTimeMs, term: appliedTerm } = entry;
    this.applied = { appliedIndex: at, appliedTerm, appliedTimeMs, configuration };
    const result = kind === "command" ? this.#applyCommand(entry) : null;
    this.#told?.applied(at, appliedTimeMs, result?.op === "expired");
    this.#sink?.applied(at);
    this.#onApplied(this.point);
    return result;
  }

  /** How far it has come, and what it looks like there. */
  get point(): AppliedPoint {
    const { high, low } = this.#hash;
    const { appliedIndex, appliedTimeMs, configuration } = this.applied;
    return {
      index: appliedIndex,
      history: this.#history,
      hashHigh: high,
      hashLow: low,
      timeMs: appliedTimeMs,
      members: this.#checksumOf(configuration ?? this.#formed),
    };
  }

  #checksumOf(configuration: Configuration): number {
    if (this.#members?.configuration !== configuration) {
      this.#members = { configuration, checksum: crc32(encodeConfiguration(configuration)) };
    }
    return this.#members.checksum;
  }

  #applyCommand(entry: Entry): CommandResult {
    const { data } = entry;
    if (readCommandHeader(data) === null) return { op: "refused", detail: "no such machine" };
    const command = decodeCommand(commandBytes(data));
    if (command.op === "refused") return command;
    const rows = this.#reader();
    const watched = this.#sink === null ? rows : new WatchedRows(rows, this.#sink);
    const result = execute(watched, this.#requests, { command, entry });
    if (command.op === "once") this.#history = crc32(this.#requests.hash, this.#history);
    return result;
  }

  get nextDeadlineMs(): number | null {
    return this.#lasting.deadlines.next?.timeMs ?? null;
  }

  #reader(): MapRows {
    const changed = (key: string, before: Row | null, row: Row | null): void => {
      if (before) this.#hash.remove(checksumOf(before), before.revision, before.createRevision);
      if (row) this.#hash.add(checksumOf(row), row.revision, row.createRevision);
      this.#changes.push({ key, row });
      this.#told?.changed(key, before, row);
    };
    const rows = new MapRows(this.#rows, changed, this.#lasting);
    rows.timeMs = this.applied.appliedTimeMs;
    return rows;
  }
}

const checksumOf = (row: Row): number => rowChecksum(row, row.revision, row.createRevision);
