/** Conditions and operations over any keys, in one entry of the log: all of a side, or nothing. */

import { base64Of, type Value } from "./bytes.ts";
import { entryOfJson, isJsonRow, valueOfJson, type Entry } from "./entry.ts";
import { integerOf, type Integer } from "./integer.ts";
import { ttlText } from "./request-parts.ts";
import type { Duration } from "./time.ts";

/** A key without a row has revision 0. */
export type Condition = { readonly not?: boolean } & (
  | { readonly key: string; readonly revision: number }
  | { readonly key: string; readonly createRevision: number }
  | { readonly key: string; readonly exists: boolean }
  | { readonly key: string; readonly value: Value }
  /** The holder of the lock has this token; 0: nobody holds it. */
  | { readonly lock: string; readonly token: number }
  /** The same of who leads. */
  | { readonly election: string; readonly token: number }
);

/** Of both, what lies in both. */
export interface Selection {
  readonly prefix?: string | undefined;
  /** The first key; where it is not given, the first of all. */
  readonly start?: string | undefined;
  /** The first key behind the last. */
  readonly end?: string | undefined;
}

export type Operation =
  | {
      readonly op: "put";
      readonly key: string;
      readonly value: Value;
      readonly contentType?: string;
      readonly ttl?: Duration;
      readonly lease?: number;
    }
  | { readonly op: "get" | "delete"; readonly key: string }
  | ({ readonly op: "range" | "deleteRange"; readonly limit?: number } & Selection)
  | {
      readonly op: "incr";
      readonly key: string;
      readonly by?: Integer;
      readonly min?: Integer;
      readonly max?: Integer;
      /** Applied where the counter is made. */
      readonly ttl?: Duration;
    }
  | { readonly op: "touch"; readonly key: string; readonly ttl: Duration }
  | { readonly op: "max" | "min"; readonly key: string; readonly value: Integer }
  | { readonly op: "append"; readonly key: string; readonly value: Value };

/** What an operation gave: the result at its place in the list. */
export type OperationResult =
  | { readonly op: "put"; readonly revision: number }
  | { readonly op: "get" | "touch"; readonly entry: Entry | undefined }
  | { readonly op: "delete" | "deleteRange"; readonly deleted: number }
  | { readonly op: "range"; readonly entries: readonly Entry[]; readonly more: boolean }
  | { readonly op: "incr" | "max" | "min"; readonly value: Integer }
  | { readonly op: "append"; readonly value: Uint8Array };

export interface TransactionResult {
  /** Whether the conditions held, so that the operations of `do` were done. */
  readonly succeeded: boolean;
  readonly results: readonly OperationResult[];
  readonly revision: number;
}

export interface CommitOptions {
  readonly idempotencyKey?: string;
  readonly signal?: AbortSignal;
}

export interface TransactionJson {
  readonly if: readonly object[];
  readonly then: readonly object[];
  readonly else: readonly object[];
}

export class Transaction {
  readonly #conditions: Condition[] = [];
  readonly #then: Operation[] = [];
  readonly #otherwise: Operation[] = [];
  readonly #send: (json: TransactionJson, options: CommitOptions) => Promise<unknown>;

  constructor(send: (json: TransactionJson, options: CommitOptions) => Promise<unknown>) {
    this.#send = send;
  }

  /** All of them have to hold. */
  when(...conditions: readonly Condition[]): this {
    this.#conditions.push(...conditions);
    return this;
  }

  do(...operations: readonly Operation[]): this {
    this.#then.push(...operations);
    return this;
  }

  /** What is done where a condition does not hold. */
  otherwise(...operations: readonly Operation[]): this {
    this.#otherwise.push(...operations);
    return this;
  }

  /** Rejects with `conflict` where an operation cannot be done on what is there: nothing was done. */
  async commit(options: CommitOptions = {}): Promise<TransactionResult> {
    const json = {
      if: this.#conditions.map(withBytes),
      then: this.#then.map(operationJson),
      else: this.#otherwise.map(operationJson),
    };
    const answer = (await this.#send(json, options)) as {
      readonly succeeded: boolean;
      readonly results: readonly unknown[];
      readonly revision: number;
    };
    const { succeeded, results, revision } = answer;
    const side = succeeded ? this.#then : this.#otherwise;
    return {
      succeeded,
      results: side.map(({ op }, at) => resultOf(op, results[at])),
      revision,
    };
  }
}

function withBytes(part: object): object {
  const { value } = part as { value?: unknown };
  if (!(value instanceof Uint8Array)) return part;
  return { ...part, value: undefined, valueBase64: base64Of(value) };
}

function operationJson(operation: Operation): object {
  const { op } = operation;
  switch (op) {
    case "put":
    case "touch":
      return { ...withBytes(operation), ...ttlJson(operation) };
    case "incr": {
      const { key, by, min, max } = operation;
      const bounds = { min: min?.toString(), max: max?.toString() };
      return { op, key, by: by?.toString(), ...bounds, ...ttlJson(operation) };
    }
    case "max":
    case "min":
      return { op, key: operation.key, value: operation.value.toString() };
    default:
      return withBytes(operation);
  }
}

const ttlJson = ({ ttl }: { readonly ttl?: Duration }): { ttl?: string | undefined } =>
  ttl === undefined ? {} : { ttl: ttlText(ttl) };

function resultOf(op: Operation["op"], json: unknown): OperationResult {
  const fields = (json ?? {}) as Readonly<Record<string, unknown>>;
  switch (op) {
    case "put":
      return { op, revision: Number(fields["revision"]) };
    case "get":
    case "touch":
      return { op, entry: isJsonRow(json) ? entryOfJson(json) : undefined };
    case "delete":
    case "deleteRange":
      return { op, deleted: Number(fields["deleted"]) };
    case "range": {
      const { rows } = fields;
      const entries = Array.isArray(rows) ? rows.filter(isJsonRow).map(entryOfJson) : [];
      return { op, entries, more: fields["more"] === true };
    }
    case "incr":
    case "max":
    case "min":
      return { op, value: integerOf(fields["value"]) };
    case "append":
      return { op, value: valueOfJson(fields) };
    default:
      return op satisfies never;
  }
}
