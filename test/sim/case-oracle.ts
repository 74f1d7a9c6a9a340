/**
 * What a transaction comes to, computed from the rows as they were before it: written once more, from what
 * is promised of it and without any of the product's code, so that one can be compared with the other.
 */

import { must, unreachable } from "../../server/raft/assert.ts";
import type { Index } from "../../server/raft/entry.ts";
import type { Row } from "../../server/state-machine/command.ts";
import type {
  Condition,
  Operation,
  OperationResult,
  Transaction,
} from "../../server/state-machine/transaction.ts";
import { byBytes, inOrder, isHiddenKey } from "./case-rows.ts";

/** The rows before the entry, and the entry's own index and time. */
export interface Before {
  readonly revision: number;
  readonly timeMs: number;
  row(key: string): Row | null;
  rows(takes: (key: string) => boolean): readonly Row[];
}

export interface Done {
  readonly isDone: true;
  readonly succeeded: boolean;
  readonly results: readonly OperationResult[];
  /** Rows that it wrote, or let go: null. */
  readonly after: ReadonlyMap<string, Row | null>;
}

export interface Undone {
  readonly isDone: false;
  readonly code: "conflict" | "not_found";
  readonly position: number;
}

/** What is left out of a transaction where one of its operations cannot be done: all of it. */
class Impossible extends Error {
  readonly code: "conflict" | "not_found";

  constructor(code: "conflict" | "not_found") {
    super(code);
    this.code = code;
  }
}

export function outcomeOf(transaction: Transaction, before: Before): Done | Undone {
  const { conditions, then, otherwise } = transaction;
  const succeeded = conditions.every((condition) => isMet(condition, before));
  const trial = new Trial(before);
  const results: OperationResult[] = [];
  for (const operation of succeeded ? then : otherwise) {
    try {
      results.push(trial.do(operation));
    } catch (error) {
      if (!(error instanceof Impossible)) throw error;
      return { isDone: false, code: error.code, position: results.length };
    }
  }
  return { isDone: true, succeeded, results, after: trial.after };
}

function isMet(condition: Condition, before: Before): boolean {
  const row = before.row(condition.key);
  const isSo = ((): boolean => {
    switch (condition.kind) {
      case "exists":
        return row !== null;
      case "revision":
        return condition.revision === (row === null ? 0 : row.revision);
      case "createRevision":
        return condition.revision === (row === null ? 0 : row.createRevision);
      case "value":
        return row !== null && Buffer.compare(row.value, condition.value) === 0;
      case "holder":
        return (frontOf(before, condition.key)?.createRevision ?? 0) === condition.token;
      default:
        return unreachable(condition);
    }
  })();
  return condition.not ? !isSo : isSo;
}

const leaseRow = (lease: number): string => `\0lease/${lease}`;

const placesIn = (queue: string): string => `\0queue/${queue}\0`;

const placeOf = (queue: string, token: number): string =>
  placesIn(queue) + `00000000000000${token.toString(16)}`.slice(-14);

/** Whose turn it is; null: nobody is in the queue. */
export function frontOf({ rows }: Pick<Before, "rows">, queue: string): Row | null {
  return inOrder(rows((key) => key.startsWith(placesIn(queue))))[0] ?? null;
}

const bits64 = 2n ** 63n;

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

function numberOf(row: Row | null): bigint | null {
  if (row === null) return null;
  const text = textOf(row.value);
  if (!/^-?[0-9]{1,20}$/.test(text)) throw new Impossible("conflict");
  return within64(BigInt(text));
}

function within64(value: bigint): bigint {
  if (value < -bits64 || value >= bits64) throw new Impossible("conflict");
  return value;
}

type Of<Op extends Operation["op"]> = Extract<Operation, { readonly op: Op }>;

type Lasting = Pick<Row, "expiresMs" | "lease">;

class Trial {
  readonly #before: Before;
  readonly after = new Map<string, Row | null>();

  constructor(before: Before) {
    this.#before = before;
  }

  get #revision(): Index {
    return this.#before.revision as Index;
  }

  #row(key: string): Row | null {
    const written = this.after.get(key);
    return written === undefined ? this.#before.row(key) : written;
  }

  readonly #rows = (takes: (key: string) => boolean): Row[] => {
    const untouched = this.#before.rows((key) => takes(key) && !this.after.has(key));
    const written = [...this.after.values()].filter((row) => row !== null && takes(row.key));
    return inOrder([...untouched, ...(written as Row[])]);
  };

  #write(row: Pick<Row, "key" | "value" | "contentType">, { expiresMs, lease }: Lasting): void {
    const { key, value, contentType } = row;
    const createRevision = this.#row(key)?.createRevision ?? this.#revision;
    const written = { key, value, contentType, revision: this.#revision, createRevision };
    const lasting = { ...(expiresMs && { expiresMs }), ...(lease && { lease }) };
    this.after.set(key, { ...written, ...lasting });
  }

  #remove(key: string): number {
    const isThere = this.#row(key) !== null;
    if (isThere) this.after.set(key, null);
    return isThere ? 1 : 0;
  }

  /** As it is shown. */
  #shown(row: Row): Row {
    const { expiresMs } = row;
    if (expiresMs === undefined) return row;
    return { ...row, ttlMs: Math.max(0, expiresMs - this.#before.timeMs) };
  }

  #found(key: string): Row | null {
    const row = this.#row(key);
    return row === null ? null : this.#shown(row);
  }

  do(operation: Operation): OperationResult {
    const revision = this.#revision;
    const { op } = operation;
    switch (op) {
      case "put":
        return this.#put(operation);
      case "delete":
        return { op, deleted: this.#remove(operation.key) as 0 | 1 };
      case "get":
        return { op, row: this.#found(operation.key) };
      case "getdel": {
        const row = this.#found(operation.key);
        this.#remove(operation.key);
        return { op, row };
      }
      case "revision":
        return { op, revision: this.#row(operation.key)?.revision ?? null };
      case "touch": {
        this.#touch(operation.key, operation.ttlMs);
        return { op, row: this.#found(operation.key) };
      }
      case "range": {
        const { range, limit } = operation;
        const rows = this.#rows(takesRange(range));
        const given = rows.slice(0, limit).map((row) => this.#shown(row));
        return { op, rows: given, more: rows.length > limit };
      }
      case "deleteRange": {
        const { range, limit } = operation;
        const gone = this.#rows(takesRange(range)).slice(0, limit ?? Infinity);
        for (const { key } of gone) this.#remove(key);
        return { op, deleted: gone.length };
      }
      case "incr":
      case "max":
      case "min":
        return this.#number(operation);
      case "append": {
        const { key } = operation;
        const row = this.#row(key);
        const value = Buffer.concat([row?.value ?? new Uint8Array(), operation.value]);
        this.#write({ key, value, contentType: row?.contentType ?? null }, row ?? {});
        return { op, value, revision };
      }
      case "leaseGrant":
        return { op, lease: this.#grant(operation.ttlMs) };
      case "leaseRenew": {
        const ttlMs = Number(textOf(this.#lease(operation.lease).value));
        this.#touch(leaseRow(operation.lease), ttlMs);
        return { op, ttlMs };
      }
      case "leaseRevoke": {
        this.#lease(operation.lease);
        return { op, deleted: this.#revoke(operation.lease) };
      }
      case "join":
        return this.#join(operation);
      case "leave": {
        const { key, token } = operation;
        const left = this.#remove(placeOf(key, token)) > 0;
        if (left && this.#row(leaseRow(token)) !== null) this.#revoke(token);
        return { op, left };
      }
      case "setValue": {
        const { value, token } = operation;
        const key = placeOf(operation.key, token);
        const row = this.#row(key);
        if (row === null) throw new Impossible("not_found");
        this.#write({ key, value, contentType: null }, row);
        return { op, revision };
      }
      default:
        return unreachable(op);
    }
  }

  #put(operation: Of<"put">): OperationResult {
    const { op, key, ttlMs, lease } = operation;
    if (lease !== undefined) this.#lease(lease);
    const created = this.#row(key) === null;
    const lasting =
      lease === undefined ? (ttlMs === undefined ? {} : this.#lasting(ttlMs)) : { lease };
    this.#write(operation, lasting);
    return { op, created, revision: this.#revision };
  }

  #lasting(ttlMs: number): Lasting {
    return { expiresMs: this.#before.timeMs + ttlMs };
  }

  #touch(key: string, ttlMs: number): void {
    const row = this.#row(key);
    if (row === null) return;
    const { lease: _, ...kept } = row;
    this.after.set(key, { ...kept, ...this.#lasting(ttlMs) });
  }

  #number(operation: Of<"incr" | "max" | "min">): OperationResult {
    const { op, key } = operation;
    const row = this.#row(key);
    const before = numberOf(row);
    const value = ((): bigint => {
      if (op === "incr") return within64((before ?? 0n) + operation.by);
      if (before === null) return operation.value;
      const isGreater = operation.value > before;
      return isGreater === (op === "max") ? operation.value : before;
    })();
    if (op === "incr") {
      const { min, max } = operation;
      if (min !== null && value < min) throw new Impossible("conflict");
      if (max !== null && value > max) throw new Impossible("conflict");
    }
    if (row !== null && before === value) return { op, value, revision: row.revision };
    const ttlMs = op === "incr" ? operation.ttlMs : undefined;
    const first = ttlMs === undefined ? {} : this.#lasting(ttlMs);
    const contentType = row?.contentType ?? null;
    this.#write({ key, value: Buffer.from(String(value)), contentType }, row ?? first);
    return { op, value, revision: this.#revision };
  }

  #grant(ttlMs: number): Index {
    const key = leaseRow(this.#revision);
    this.#write(
      { key, value: Buffer.from(String(ttlMs)), contentType: null },
      this.#lasting(ttlMs),
    );
    return this.#revision;
  }

  #lease(lease: number): Row {
    const row = this.#row(leaseRow(lease));
    if (row === null) throw new Impossible("not_found");
    return row;
  }

  #revoke(lease: number): number {
    const keys = this.#rows(() => true).filter((row) => row.lease === lease);
    for (const { key } of keys) this.#remove(key);
    this.#remove(leaseRow(lease));
    return keys.filter(({ key }) => !isHiddenKey(key)).length;
  }

  #join(operation: Of<"join">): OperationResult {
    const { op, key: queue, value, lease, ttlMs, waits } = operation;
    const places = this.#rows((key) => key.startsWith(placesIn(queue)));
    const own = lease === null ? undefined : places.find((row) => row.lease === lease);
    if (own !== undefined) {
      this.#write({ key: own.key, value, contentType: null }, own);
      return { op, token: own.createRevision, lease, isFirst: own === places[0] };
    }
    if (lease !== null) this.#lease(lease);
    if (places.length > 0 && !waits) return { op, token: null, lease: null, isFirst: false };
    const kept = lease ?? this.#grant(ttlMs);
    const key = placeOf(queue, this.#revision);
    this.#write({ key, value, contentType: null }, { lease: kept });
    return { op, token: this.#revision, lease: kept, isFirst: places.length === 0 };
  }
}

const takesRange =
  ({ start, end }: { readonly start: string; readonly end: string }) =>
  (key: string): boolean =>
    byBytes(key, start) >= 0 && byBytes(key, end) < 0;

/** Of the place, as it is in the queue. */
export const placeRow = (
  { row }: Pick<Before, "row">,
  { queue, token }: { readonly queue: string; readonly token: number },
): Row | null => row(placeOf(queue, token));

export const leaseIn = ({ row }: Pick<Before, "row">, lease: number): Row | null =>
  row(leaseRow(lease));

/** Null where the key is no lease's. */
export const leaseOfRow = (key: string): number | null =>
  key.startsWith(leaseRow(0).slice(0, -1)) ? Number(key.slice(leaseRow(0).length - 1)) : null;

/** Of a lease's row. */
export const ttlOf = (lease: Row): number =>
  Number(must(/^\d+$/.exec(textOf(lease.value))?.[0], "a lease's value is its time"));
