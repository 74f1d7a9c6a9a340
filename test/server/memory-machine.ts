/** A state machine with its rows in a map. It survives a crash, as one on disk does. */

import { assert } from "../../server/raft/assert.ts";
import { decodeConfiguration } from "../../server/raft/configuration.ts";
import { index, term, type Entry, type Index } from "../../server/raft/entry.ts";
import { decodeCommand } from "../../server/state-machine/codec.ts";
import { commandBytes } from "../../server/state-machine/command-header.ts";
import type { ChangeSink } from "../../server/state-machine/changes.ts";
import type { Answer, CommandResult, Query } from "../../server/state-machine/command.ts";
import type {
  AppliedState,
  RowBatch,
  SnapshotValue,
  StateDigest,
  StateMachine,
  StateRecovery,
  StateView,
} from "../../server/state-machine/port.ts";
import { rowChecksum, StateHash } from "../../storage/state-hash.ts";

interface MemoryRow {
  readonly value: Uint8Array;
  readonly revision: Index;
  readonly createRevision: Index;
}

const nothing: AppliedState = {
  appliedIndex: index(0),
  appliedTerm: term(0),
  appliedTimeMs: 0,
  configuration: null,
};

export class MemoryMachine implements StateMachine {
  rows = new Map<string, MemoryRow>();
  readonly history: string[] = [];
  readonly nextDeadlineMs = null;
  readonly uncommittedBytes = 0;
  unsyncedBytes = 0;
  stateBytes = 12 << 10;
  reusableBytes = 0;
  readonly scatteredPages = (): number => 0;
  shrinkSome = (): number => 0;
  /** Its disk has no room for anything more. */
  isFull = false;
  #syncedIndex = index(0);
  #sink: ChangeSink | null = null;
  applied: AppliedState = nothing;

  watch(sink: ChangeSink): void {
    this.#sink = sink;
  }

  lookup(query: Query): Answer {
    assert(query.type === "get", "nobody lists here");
    const found = this.rows.get(query.key);
    const row = found ? { key: query.key, contentType: null, ...found } : null;
    return { type: "get", row };
  }

  digest(): StateDigest {
    const { appliedIndex } = this.applied;
    const bookHash = "0".repeat(16);
    return { appliedIndex, stateHash: hashOf(this.rows), historyHash: "0".repeat(8), bookHash };
  }

  sync(): Index {
    if (this.isFull) return this.#syncedIndex;
    this.unsyncedBytes = 0;
    this.#syncedIndex = this.applied.appliedIndex;
    return this.#syncedIndex;
  }

  commit(): "done" | "full" {
    return this.isFull ? "full" : "done";
  }

  readonly isCommitting = false;

  commitSome(): "done" | "full" {
    return this.commit();
  }

  syncSome(): Index | "full" {
    return this.isFull ? "full" : this.sync();
  }

  prepareSnapshot(): StateView | "full" {
    if (this.isFull) return "full";
    const rows = [...this.rows].map(([key, { value, revision, createRevision }]) => [
      key,
      value,
      revision,
      createRevision,
    ]);
    return {
      applied: this.applied,
      digest: this.digest(),
      read: () => (rows.length === 0 ? null : { table: "kv", rows: rows.splice(0, 3) }),
      close: () => {},
      isClosed: false,
    };
  }

  beginRecovery(applied: AppliedState, digest: StateDigest): StateRecovery {
    const rows = new Map<string, MemoryRow>();
    let isFinished = false;
    return {
      add: (batch: RowBatch) => {
        for (const row of batch.rows) addRow(rows, row);
        return null;
      },
      finish: () => {
        isFinished = hashOf(rows) === digest.stateHash;
        return isFinished ? null : "its rows are not those it was made of";
      },
      install: () => {
        assert(isFinished, "only what is whole is installed");
        this.rows = rows;
        this.applied = applied;
        this.#sink?.replaced(applied.appliedIndex);
      },
      abandon: () => {},
    };
  }

  close(): void {}

  wipe(): void {
    this.rows = new Map();
    this.applied = nothing;
  }

  apply(entry: Entry): CommandResult | null {
    const { data, index: appliedIndex, kind, term: appliedTerm, timeMs: appliedTimeMs } = entry;
    assert(appliedIndex === this.applied.appliedIndex + 1, "entries are applied without a gap");
    const configuration =
      kind === "configuration" ? decodeConfiguration(data) : this.applied.configuration;
    this.applied = { appliedIndex, appliedTerm, appliedTimeMs, configuration };
    this.unsyncedBytes += data.byteLength;
    const result = kind === "command" ? this.#applyCommand(data, appliedIndex) : null;
    this.#sink?.applied(appliedIndex);
    return result;
  }

  #applyCommand(data: Uint8Array, appliedIndex: Index): CommandResult {
    const command = decodeCommand(commandBytes(data));
    if (command.op === "refused") return command;
    assert(command.op === "put" || command.op === "delete", "nobody sends others here");
    this.history.push(`${command.op} ${command.key}`);
    const { key } = command;
    const before = this.rows.get(key);
    const told = { key, revisionsBefore: before ?? null, rowBefore: null };
    if (command.op === "put") {
      const createRevision = before?.createRevision ?? appliedIndex;
      const row = { value: command.value, revision: appliedIndex, createRevision };
      this.rows.set(key, row);
      this.#sink?.changed({ type: "put", row: { key, contentType: null, ...row }, ...told });
      return { op: "put", created: !before, revision: appliedIndex };
    }
    this.rows.delete(key);
    if (before) this.#sink?.changed({ type: "delete", row: null, ...told });
    return { op: "delete", deleted: before ? 1 : 0, revision: appliedIndex };
  }
}

function addRow(rows: Map<string, MemoryRow>, row: readonly SnapshotValue[]): void {
  const [key, value, revision, createRevision] = row as [string, Uint8Array, Index, Index];
  assert(!rows.has(key), "a row is given once");
  rows.set(key, { value, revision, createRevision });
}

function hashOf(rows: ReadonlyMap<string, MemoryRow>): string {
  const hash = new StateHash(0, 0);
  for (const [key, { value, revision, createRevision }] of rows) {
    const checksum = rowChecksum({ key, value, contentType: null }, revision, createRevision);
    hash.add(checksum, revision, createRevision);
  }
  return hash.toString();
}
