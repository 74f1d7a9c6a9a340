/**
 * The simulation's state machine: rows in a map, and beside it what its file would hold. It keeps
 * SQLite's contract (`storage/key-value-store.ts`): a kill loses the open transaction, a power loss
 * may lose whole transactions since the last checkpoint, newest first, and never part of one.
 */

import { crc32 } from "node:zlib";
import { must } from "../../server/raft/assert.ts";
import {
  decodeConfiguration,
  encodeConfiguration,
  type Configuration,
} from "../../server/raft/configuration.ts";
import { index, term, type Entry, type Index } from "../../server/raft/entry.ts";
import { decodeCommand } from "../../server/state-machine/codec.ts";
import { commandBytes, readCommandHeader } from "../../server/state-machine/command-header.ts";
import type { Answer, CommandResult, Query, Row } from "../../server/state-machine/command.ts";
import { count, list } from "../../server/state-machine/listing.ts";
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
import { MapRows } from "../server/map-rows.ts";

interface Bookkeeping {
  readonly applied: AppliedState;
  readonly history: number;
  readonly high: number;
  readonly low: number;
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
  return rows.map(([key, value, contentType, createRevision, revision]) => ({
    key: key as string,
    value: value as Uint8Array,
    contentType: contentType as string | null,
    createRevision: createRevision as Index,
    revision: revision as Index,
  }));
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

export class SimMachine implements StateMachine {
  readonly #file: MachineFile;
  readonly #onApplied: (point: AppliedPoint) => void;
  /** What a state without a configuration stands for. */
  readonly #formed: Configuration;
  #members: { readonly configuration: Configuration; readonly checksum: number } | null = null;
  #rows: Map<string, Row>;
  #hash: StateHash;
  #history: number;
  #changes: RowChange[] = [];
  #hasOpenTransaction = false;
  applied: AppliedState;
  uncommittedBytes = 0;
  unsyncedBytes = 0;
  stateBytes = 0;
  readonly reusableBytes = 0;

  constructor(
    file: MachineFile,
    { formed, onApplied }: { formed: Configuration; onApplied: (point: AppliedPoint) => void },
  ) {
    const { rows, state } = file.read();
    this.#file = file;
    this.#formed = formed;
    this.#onApplied = onApplied;
    this.#rows = rows;
    this.#hash = new StateHash(state.high, state.low);
    this.#history = state.history;
    this.applied = state.applied;
  }

  apply(entries: readonly Entry[]): (CommandResult | null)[] {
    return entries.map((entry) => this.#applyNext(entry));
  }

  commit(): "done" | "full" {
    if (!this.#hasOpenTransaction) return "done";
    if (this.#file.isFull) return "full";
    const { high, low } = this.#hash;
    const after = { applied: this.applied, history: this.#history, high, low };
    this.#file.commit({ changes: this.#changes, after });
    this.#changes = [];
    this.#hasOpenTransaction = false;
    this.uncommittedBytes = 0;
    return "done";
  }

  lookup(query: Query): Answer {
    switch (query.type) {
      case "get":
        return { type: "get", row: this.#rows.get(query.key) ?? null };
      case "list":
        return list(this.#reader(), query);
      case "count":
        return count(this.#reader(), query);
    }
  }

  digest(): StateDigest {
    const { appliedIndex } = this.applied;
    const stateHash = this.#hash.toString();
    return { appliedIndex, stateHash, historyHash: hex32(this.#history) };
  }

  sync(): Index {
    if (this.commit() === "full" || this.#file.isFull) return this.#file.syncedIndex;
    this.#file.checkpoint();
    this.unsyncedBytes = 0;
    this.stateBytes = 0;
    for (const { value } of this.#rows.values()) this.stateBytes += 100 + value.byteLength;
    return this.applied.appliedIndex;
  }

  prepareSnapshot(): StateView | "full" {
    if (this.commit() === "full") return "full";
    const rows = [...this.#rows.values()];
    let given = 0;
    return {
      applied: this.applied,
      digest: this.digest(),
      read: (bytesMax) => {
        const batch: SnapshotValue[][] = [];
        for (let bytes = 0; given < rows.length && bytes < bytesMax; given++) {
          const { key, value, contentType, createRevision, revision } = must(rows[given], "a row");
          batch.push([key, value, contentType, createRevision, revision]);
          bytes += key.length + value.byteLength;
        }
        return batch.length === 0 ? null : { table: "kv", rows: batch };
      },
      close: () => {},
      isClosed: false,
    };
  }

  beginRecovery(applied: AppliedState, digest: StateDigest): StateRecovery {
    const rows = new Map<string, Row>();
    const hash = new StateHash(0, 0);
    return {
      add: (batch) => {
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
      finish: () => (hash.toString() === digest.stateHash ? null : "its rows have another hash"),
      install: () => {
        const history = Number.parseInt(digest.historyHash, 16);
        this.#file.replace(rows, { applied, history, high: hash.high, low: hash.low });
        this.#rows = new Map(rows);
        this.#hash = hash;
        this.#history = history;
        this.#changes = [];
        this.#hasOpenTransaction = false;
        this.applied = applied;
      },
      abandon: () => {},
    };
  }

  close(): void {
    this.commit();
  }

  #applyNext(entry: Entry): CommandResult | null {
    const { data, kind, index: at } = entry;
    const head = `${at} ${entry.term} ${kind} ${data.byteLength}`;
    this.#history = crc32(data, crc32(head, this.#history));
    this.#hasOpenTransaction = true;
    this.uncommittedBytes += data.byteLength;
    this.unsyncedBytes += data.byteLength;
    const before = this.applied.configuration;
    const configuration = kind === "configuration" ? decodeConfiguration(data) : before;
    const { timeMs: appliedTimeMs, term: appliedTerm } = entry;
    this.applied = { appliedIndex: at, appliedTerm, appliedTimeMs, configuration };
    const result = kind === "command" ? this.#applyCommand(entry) : null;
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

  #applyCommand({ data, index: revision }: Entry): CommandResult {
    if (readCommandHeader(data) === null) return { op: "refused", detail: "no such machine" };
    const command = decodeCommand(commandBytes(data));
    return command.op === "refused" ? command : this.#reader().do(command, revision);
  }

  #reader(): MapRows {
    return new MapRows(this.#rows, (key, before, row) => {
      if (before) this.#hash.remove(checksumOf(before), before.revision, before.createRevision);
      if (row) this.#hash.add(checksumOf(row), row.revision, row.createRevision);
      this.#changes.push({ key, row });
    });
  }
}

const checksumOf = (row: Row): number => rowChecksum(row, row.revision, row.createRevision);
