/** Runs transactions on rows: a function of the rows and the transaction alone. */

import { unreachable } from "../raft/assert.ts";
import type { Index } from "../raft/entry.ts";
import { valueBytesMax, type Row } from "./command.ts";
import { holderToken } from "./hidden-rows.ts";
import { integerBytes, integerOfBytes, isInteger } from "./integer.ts";
import type { KeyRange } from "./key-range.ts";
import {
  attachProblem,
  failed,
  hasRoomFor,
  runOnLeases,
  tooManyDeadlines,
  type Failed,
} from "./lease-operations.ts";
import { Overlay, type NewRow, type RowReader, type Rows } from "./rows.ts";
import {
  rangeRowsMax,
  type Condition,
  type FailedResult,
  type Operation,
  type OperationResult,
  type Transaction,
  type TransactionResult,
} from "./transaction.ts";

export function transact(
  rows: Rows,
  { conditions, then, otherwise }: Transaction,
  options: RunOptions,
): TransactionResult | FailedResult {
  const succeeded = conditions.every((condition) => holds(rows, condition));
  const overlay = new Overlay(rows);
  const { revision } = options;
  const run = new Run(overlay, options);
  const results: OperationResult[] = [];
  for (const operation of succeeded ? then : otherwise) {
    const result = run.do(operation);
    if (result.op === "failed") return { ...result, position: results.length };
    results.push(result);
  }
  overlay.flush(revision);
  return { op: "transaction", succeeded, results, revision };
}

function holds(reader: RowReader, condition: Condition): boolean {
  return isTrue(reader, condition) !== condition.not;
}

function isTrue(reader: RowReader, condition: Condition): boolean {
  const { key, kind } = condition;
  switch (kind) {
    case "exists":
      return reader.revisions(key) !== null;
    case "revision":
      return (reader.revisions(key)?.revision ?? 0) === condition.revision;
    case "createRevision":
      return (reader.revisions(key)?.createRevision ?? 0) === condition.revision;
    case "value": {
      const row = reader.get(key);
      return row !== null && areEqual(row.value, condition.value);
    }
    case "holder":
      return holderToken(reader, key) === condition.token;
    default:
      return unreachable(kind);
  }
}

function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, at) => byte === b[at]);
}

const keyText = (key: string): string => JSON.stringify(key);

interface RunOptions {
  readonly revision: Index;
  /** Bytes of values that the results may have, and that may be made longer. */
  readonly resultBytesMax: number;
  /** The keys of the results count too. */
  readonly countsKeys: boolean;
}

/** The operations of one transaction, with what is left of its limits. */
class Run {
  readonly #rows: Rows;
  readonly #revision: Index;
  readonly #bytesMax: number;
  #bytesLeft: number;
  readonly #countsKeys: boolean;
  #deletesLeft = rangeRowsMax;
  #readsLeft = rangeRowsMax;

  constructor(rows: Rows, { revision, resultBytesMax, countsKeys }: RunOptions) {
    this.#rows = rows;
    this.#revision = revision;
    this.#bytesMax = resultBytesMax;
    this.#bytesLeft = resultBytesMax;
    this.#countsKeys = countsKeys;
  }

  do(operation: Operation): OperationResult | Failed {
    const { op } = operation;
    switch (op) {
      case "put": {
        const { key, ttlMs, lease } = operation;
        if (!this.#mayExpire(key, ttlMs)) return tooManyDeadlines;
        const problem = lease === undefined ? null : attachProblem(this.#rows, lease);
        if (problem !== null) return problem;
        const row = { ...operation, expiresMs: this.#after(ttlMs) };
        const created = this.#rows.put(row, this.#revision) === null;
        return { op, created, revision: this.#revision };
      }
      case "delete":
        return { op, deleted: this.#rows.remove(operation.key) === null ? 0 : 1 };
      case "deleteRange":
        return this.#deleteRange(operation.range, operation.limit);
      case "get":
      case "getdel":
        return this.#get(op, operation.key);
      case "touch": {
        const { key, ttlMs } = operation;
        if (!this.#mayExpire(key, ttlMs)) return tooManyDeadlines;
        this.#rows.touch(key, this.#rows.timeMs + ttlMs);
        const row = this.#rows.get(key);
        return row === null || this.#takesRow(row) ? { op, row } : this.#tooMuch();
      }
      case "revision": {
        const found = this.#rows.revisions(operation.key);
        return { op, revision: found && (found.revision as Index) };
      }
      case "range":
        return this.#range(operation.range, operation.limit);
      case "incr":
      case "max":
      case "min":
        return this.#number(operation);
      case "append":
        return this.#append(operation.key, operation.value);
      case "leaseGrant":
      case "leaseRenew":
      case "leaseRevoke":
      case "join":
      case "leave":
      case "setValue":
        return runOnLeases(this.#rows, operation, this.#revision);
      default:
        return unreachable(op);
    }
  }

  #deleteRange(range: KeyRange, limit: number | null): OperationResult | Failed {
    const keys: string[] = [];
    for (const { key } of this.#rows.scan(range, { reverse: false, keysOnly: true })) {
      if (keys.length === limit) break;
      if (keys.length === this.#deletesLeft) {
        const detail = `the range has more rows than the ${rangeRowsMax} that are deleted at once`;
        return failed("too_large", `${detail}; name a smaller one or a limit`);
      }
      keys.push(key);
    }
    for (const key of keys) this.#rows.remove(key);
    this.#deletesLeft -= keys.length;
    return { op: "deleteRange", deleted: keys.length };
  }

  #get(op: "get" | "getdel", key: string): OperationResult | Failed {
    const row = this.#rows.get(key);
    if (row === null) return { op, row };
    if (!this.#takesRow(row)) return this.#tooMuch();
    if (op === "getdel") this.#rows.remove(key);
    return { op, row };
  }

  #range(range: KeyRange, limit: number): OperationResult | Failed {
    const rows: Row[] = [];
    for (const row of this.#rows.scan(range, { reverse: false, keysOnly: false })) {
      if (rows.length === limit) return { op: "range", rows, more: true };
      if (this.#readsLeft === 0 || !this.#takesRow(row)) return this.#tooMuch();
      this.#readsLeft--;
      rows.push(row);
    }
    return { op: "range", rows, more: false };
  }

  #number(operation: Extract<Operation, { op: "incr" | "max" | "min" }>): OperationResult | Failed {
    const { op, key } = operation;
    const row = this.#rows.get(key);
    const before = row === null ? null : integerOfBytes(row.value);
    if (row !== null && before === null) {
      return failed("conflict", `the value of ${keyText(key)} is not a decimal integer of 64 bits`);
    }
    const value = op === "incr" ? (before ?? 0n) + operation.by : extreme(operation, before);
    if (!isInteger(value)) {
      return failed("conflict", `the result for ${keyText(key)} is not an integer of 64 bits`);
    }
    if (op === "incr") {
      const { min, max } = operation;
      if ((min !== null && value < min) || (max !== null && value > max)) {
        const bound = min !== null && value < min ? `below ${min}` : `above ${max}`;
        return failed("conflict", `${keyText(key)} is ${before ?? 0n} and would be ${bound}`);
      }
    }
    if (row !== null && value === before) return { op, value, revision: row.revision };
    const contentType = row?.contentType ?? null;
    const ttlMs = row === null && op === "incr" ? operation.ttlMs : undefined;
    if (!this.#mayExpire(key, ttlMs)) return tooManyDeadlines;
    const lasts = row ?? { expiresMs: this.#after(ttlMs) };
    this.#rows.put(
      { ...lasting(lasts), key, value: integerBytes(value), contentType },
      this.#revision,
    );
    return { op, value, revision: this.#revision };
  }

  #append(key: string, end: Uint8Array): OperationResult | Failed {
    const row = this.#rows.get(key);
    const start = row?.value ?? new Uint8Array();
    const length = start.byteLength + end.byteLength;
    if (length > valueBytesMax) {
      const detail = `the value of ${keyText(key)} would be ${length} bytes long`;
      return failed("too_large", `${detail}, the most is ${valueBytesMax}`);
    }
    if (!this.#takes(length)) return this.#tooMuch();
    const value = new Uint8Array(length);
    value.set(start);
    value.set(end, start.byteLength);
    const { contentType = null } = row ?? {};
    this.#rows.put({ ...lasting(row ?? {}), key, value, contentType }, this.#revision);
    return { op: "append", value, revision: this.#revision };
  }

  #after(ttlMs: number | undefined): number | undefined {
    return ttlMs === undefined ? undefined : this.#rows.timeMs + ttlMs;
  }

  #mayExpire(key: string, ttlMs: number | undefined): boolean {
    return ttlMs === undefined || hasRoomFor(this.#rows, key);
  }

  #takesRow({ key, value }: Row): boolean {
    return this.#takes(value.byteLength + (this.#countsKeys ? key.length : 0));
  }

  #takes(bytes: number): boolean {
    this.#bytesLeft -= bytes;
    return this.#bytesLeft >= 0;
  }

  #tooMuch(): Failed {
    const most = `${this.#bytesMax} bytes or ${rangeRowsMax} rows`;
    return failed("too_large", `the results are more than ${most}; ask for less`);
  }
}

/** How long a row stays, which a change of its value leaves as it was. */
const lasting = ({ expiresMs, lease }: Pick<NewRow, "expiresMs" | "lease">) => ({
  expiresMs,
  lease,
});

function extreme(
  { op, value }: { readonly op: "max" | "min"; readonly value: bigint },
  before: bigint | null,
): bigint {
  if (before === null) return value;
  return (op === "max") === value > before ? value : before;
}
