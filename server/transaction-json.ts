/** Transactions and what comes of them as JSON. */

import { Buffer } from "node:buffer";
import type { Result } from "./client-port.ts";
import {
  integerJson,
  rowJson,
  rowOfJson,
  valueJson,
  valueOfJson,
  type JsonRow,
} from "./json-row.ts";
import { durationForm } from "./duration.ts";
import { Fields, reading } from "./json-fields.ts";
import { AssertionError, unreachable } from "./raft/assert.ts";
import type { Index } from "./raft/entry.ts";
import { rangeOf } from "./selection.ts";
import { queueNameBytesMax } from "./state-machine/hidden-rows.ts";
import { parseInteger } from "./state-machine/integer.ts";
import { contentTypeBytesMax } from "./state-machine/command.ts";
import { compareKeys, type KeyRange } from "./state-machine/key-range.ts";
import {
  conditionsMax,
  operationsMax,
  rangeRowsMax,
  type Condition,
  type Operation,
  type OperationResult,
  type Transaction,
} from "./state-machine/transaction.ts";

/** Rows that a range gives where it does not say how many. */
const rangeRowsDefault = 1_000;
const contentTypeForm = /^[ -~]+$/;

// ------------------------------------------------------------------ what is sent

export function transactionOfJson(json: unknown): Result<{ readonly value: Transaction }> {
  return reading(() => {
    const fields = new Fields(json, "");
    const side = (name: string): Operation[] =>
      fields
        .list(name, operationsMax)
        .map((part, at) => readOperation(new Fields(part, `${name}[${at}]`)));
    const conditions = fields
      .list("if", conditionsMax)
      .map((part, at) => readCondition(new Fields(part, `if[${at}]`)));
    const then = side("then");
    const otherwise = side("else");
    fields.end();
    return { op: "transaction", conditions, then, otherwise };
  });
}

const conditionKinds = ["revision", "createRevision", "exists", "value"] as const;

/** Locks and elections are queues of their own. */
const queueKinds = ["lock", "election"] as const;

function readCondition(fields: Fields): Condition {
  const queue = queueKinds.find((kind) => fields.has(kind));
  if (queue !== undefined) return readHolder(fields, queue);
  const key = fields.key();
  const not = fields.boolean("not", false);
  const given = conditionKinds.filter((kind) => fields.has(kind) || fields.has(`${kind}Base64`));
  const [kind] = given;
  if (kind === undefined || given.length > 1) {
    return fields.fail("", `needs one of ${conditionKinds.join(", ")} to be compared with`);
  }
  const condition = readComparison(fields, kind, { key, not });
  fields.end();
  return condition;
}

function readHolder(fields: Fields, kind: (typeof queueKinds)[number]): Condition {
  const name = fields.text(kind);
  const problem = queueNameProblem(name);
  if (problem !== null) fields.fail(kind, problem);
  const not = fields.boolean("not", false);
  const token = fields.count("token", { max: Number.MAX_SAFE_INTEGER });
  fields.end();
  return { kind: "holder", key: `${kind}/${name}`, not, token };
}

/** What is wrong with the name of a lock or an election; null where nothing is. */
export function queueNameProblem(name: string): string | null {
  const bytes = Buffer.byteLength(name);
  if (bytes >= 1 && bytes <= queueNameBytesMax && !name.includes("\0")) return null;
  return `is 1 to ${queueNameBytesMax} bytes of text without NUL`;
}

function readComparison(
  fields: Fields,
  kind: (typeof conditionKinds)[number],
  { key, not }: { readonly key: string; readonly not: boolean },
): Condition {
  switch (kind) {
    case "exists":
      return { kind, key, not: fields.boolean("exists", true) === not };
    case "revision":
    case "createRevision":
      return { kind, key, not, revision: fields.count(kind, { max: Number.MAX_SAFE_INTEGER }) };
    case "value":
      return { kind, key, not, value: fields.value() };
    default:
      return unreachable(kind);
  }
}

const operationNames = "put, get, delete, deleteRange, range, incr, max, min, append, touch";

function readOperation(fields: Fields): Operation {
  const operation = operationIn(fields);
  fields.end();
  return operation;
}

function operationIn(fields: Fields): Operation {
  const op = fields.get("op");
  switch (op) {
    case "put":
      return readPut(fields);
    case "get":
    case "delete":
      return { op, key: fields.key() };
    case "deleteRange": {
      const range = readRange(fields);
      const limit = fields.has("limit") ? fields.count("limit", limits) : null;
      return { op, range, limit };
    }
    case "range": {
      const range = readRange(fields);
      return {
        op,
        range,
        limit: fields.count("limit", { ...limits, otherwise: rangeRowsDefault }),
      };
    }
    case "incr": {
      const bound = (name: string): bigint | null =>
        fields.has(name) ? fields.integer(name) : null;
      const by = fields.integer("by", 1n);
      const incr = { op, key: fields.key(), by, min: bound("min"), max: bound("max") } as const;
      return withTtl(incr, fields);
    }
    case "touch": {
      const key = fields.key();
      return { op, key, ttlMs: fields.duration("ttl") ?? fields.fail("ttl", durationForm) };
    }
    case "max":
    case "min":
      return { op, key: fields.key(), value: fields.integer("value") };
    case "append":
      return { op, key: fields.key(), value: fields.value() };
    default:
      return fields.fail("op", `is one of ${operationNames}`);
  }
}

const limits = { min: 1, max: rangeRowsMax };

function readPut(fields: Fields): Operation {
  const contentType = fields.has("contentType") ? fields.text("contentType") : null;
  const isRight = contentType === null || contentTypeForm.test(contentType);
  if (!isRight || (contentType?.length ?? 0) > contentTypeBytesMax) {
    fields.fail("contentType", `is 1 to ${contentTypeBytesMax} printable ASCII characters`);
  }
  const put = { op: "put", key: fields.key(), value: fields.value(), contentType } as const;
  if (!fields.has("lease")) return withTtl(put, fields);
  if (fields.has("ttl")) fields.fail("lease", "does not go with `ttl`: the lease has one");
  return { ...put, lease: fields.count("lease", { min: 1, max: Number.MAX_SAFE_INTEGER }) };
}

function withTtl<T extends Operation>(operation: T, fields: Fields): T {
  const ttlMs = fields.duration("ttl");
  return ttlMs === undefined ? operation : { ...operation, ttlMs };
}

/** `prefix`, or `start` and `end`, or both. */
function readRange(fields: Fields): KeyRange {
  const bound = (name: string): { [name: string]: string } =>
    fields.has(name) || fields.has(`${name}Base64`) ? { [name]: fields.key(name, true) } : {};
  const selection = { ...bound("prefix"), ...bound("start"), ...bound("end") };
  const { start, end } = selection;
  if (Object.keys(selection).length === 0) fields.fail("prefix", "or `start` or `end` is missing");
  if (start !== undefined && end !== undefined && compareKeys(start, end) > 0) {
    fields.fail("end", "comes before `start`");
  }
  return rangeOf(selection);
}

/** As `transactionOfJson` reads it. */
export function transactionJson({ conditions, then, otherwise }: Transaction): object {
  return {
    if: conditions.map(conditionJson),
    then: then.map(operationJson),
    else: otherwise.map(operationJson),
  };
}

const inBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

function conditionJson(condition: Condition): object {
  const { key, not, kind } = condition;
  switch (kind) {
    case "exists":
      return { key, exists: true, not };
    case "revision":
    case "createRevision":
      return { key, [kind]: condition.revision, not };
    case "value":
      return { key, valueBase64: inBase64(condition.value), not };
    case "holder": {
      const slash = key.indexOf("/");
      return { [key.slice(0, slash)]: key.slice(slash + 1), token: condition.token, not };
    }
    default:
      return unreachable(kind);
  }
}

const ttlJson = ({ ttlMs }: { readonly ttlMs?: number }): { ttl?: string } =>
  ttlMs === undefined ? {} : { ttl: `${ttlMs}ms` };

function operationJson(operation: Operation): object {
  const { op } = operation;
  switch (op) {
    case "put": {
      const { key, value, contentType } = operation;
      const type = contentType ?? undefined;
      const { lease } = operation;
      const lasts = { ...ttlJson(operation), lease };
      return { op, key, valueBase64: inBase64(value), contentType: type, ...lasts };
    }
    case "append":
      return { op, key: operation.key, valueBase64: inBase64(operation.value) };
    case "max":
    case "min":
      return { op, key: operation.key, value: operation.value.toString() };
    case "incr": {
      const { key, by, min, max } = operation;
      const bounds = { min: min?.toString(), max: max?.toString() };
      return { op, key, by: by.toString(), ...bounds, ...ttlJson(operation) };
    }
    case "touch":
      return { op, key: operation.key, ...ttlJson(operation) };
    case "range":
    case "deleteRange": {
      const { range, limit } = operation;
      const end = range.end.length > contentEndMax ? undefined : range.end;
      return { op, start: range.start, end, limit: limit ?? undefined };
    }
    case "get":
    case "getdel":
    case "delete":
    case "revision":
      return { op, key: operation.key };
    default:
      throw new AssertionError(`${op} has routes of its own`);
  }
}

/** A bound that is longer than any key stands for the end of all. */
const contentEndMax = 1_025;

// ------------------------------------------------------------------ what comes back

export function resultJson(result: OperationResult): unknown {
  const { op } = result;
  switch (op) {
    case "put":
      return { revision: result.revision };
    case "get":
    case "getdel":
    case "touch":
      return result.row && rowJson(result.row);
    case "delete":
    case "deleteRange":
      return { deleted: result.deleted };
    case "range": {
      const rows = result.rows.map(rowJson);
      return result.more ? { rows, more: true } : { rows };
    }
    case "incr":
    case "max":
    case "min":
      return { value: integerJson(result.value) };
    case "append":
      return valueJson(result.value);
    case "revision":
    case "setValue":
      return { revision: result.revision };
    case "leaseGrant":
    case "leaseRenew":
    case "leaseRevoke":
    case "join":
    case "leave":
      return { ...result, op: undefined };
    default:
      return unreachable(op);
  }
}

function numberOf(
  op: "incr" | "max" | "min",
  value: unknown,
  revision: Index,
): OperationResult | null {
  const number = parseInteger(String(value));
  return number === null ? null : { op, value: number, revision };
}

/** The result of `operation` as `resultJson` gave it; null where it cannot be one. */
export function resultOfJson(
  { op }: Operation,
  json: unknown,
  revision: Index,
): OperationResult | null {
  if (typeof json !== "object") return null;
  if (op === "get" || op === "getdel" || op === "touch") {
    return { op, row: json && rowOfJson(json as JsonRow) };
  }
  if (json === null) return null;
  const found = json as Readonly<Record<string, unknown>>;
  switch (op) {
    case "put":
      return { op, created: false, revision };
    case "delete":
      return { op, deleted: found["deleted"] === 1 ? 1 : 0 };
    case "deleteRange":
      return { op, deleted: Number(found["deleted"]) };
    case "range": {
      const { rows } = found;
      if (!Array.isArray(rows)) return null;
      return { op, rows: rows.map(rowOfJson), more: found["more"] === true };
    }
    case "incr":
    case "max":
    case "min":
      return numberOf(op, found["value"], revision);
    case "append":
      return { op, value: valueOfJson(found), revision };
    default:
      return null;
  }
}
