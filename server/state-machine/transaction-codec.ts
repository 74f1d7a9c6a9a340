/**
 * Transactions in bytes: `[3, [condition…], [operation…], [operation…]]`, every condition and operation
 * a code and its fields in a fixed order. What a later version adds gets a code of its own.
 */

import { unreachable } from "../raft/assert.ts";
import { contentTypeBytesMax, keyBytesMax, ttlMsMax, valueBytesMax } from "./command.ts";
import { isKey, Writer, type Reader } from "./command-bytes.ts";
import type { KeyRange } from "./key-range.ts";
import {
  conditionsMax,
  operationsMax,
  rangeRowsMax,
  type Condition,
  type Operation,
  type Transaction,
} from "./transaction.ts";

export const transactionCode = 3;

/** A bound of a range may be just behind the longest key. */
const boundBytesMax = keyBytesMax + 8;

/** Heads of fields, codes and numbers of one condition or operation, at the most. */
const overheadBytes = 64;
const bytesPerUnit = 3;

const conditionCodes = ["", "exists", "revision", "createRevision", "value", "holder"] as const;

const operationCodes = [
  "",
  "put",
  "delete",
  "get",
  "getdel",
  "revision",
  "deleteRange",
  "range",
  "incr",
  "max",
  "min",
  "append",
  "putFor",
  "incrFor",
  "touch",
  "putLeased",
  "leaseGrant",
  "leaseRenew",
  "leaseRevoke",
  "join",
  "leave",
  "setValue",
] as const;

const encoder = new TextEncoder();
const text = (value: string): Uint8Array => encoder.encode(value);

// ------------------------------------------------------------------ writing

export function encodeTransaction({ conditions, then, otherwise }: Transaction): Uint8Array {
  let bytes = overheadBytes;
  for (const condition of conditions) {
    bytes += overheadBytes + condition.key.length * bytesPerUnit;
    if (condition.kind === "value") bytes += condition.value.byteLength;
  }
  for (const operation of then) bytes += operationBytes(operation);
  for (const operation of otherwise) bytes += operationBytes(operation);
  const writer = new Writer(bytes);
  writer.byte(0x94).byte(transactionCode).array(conditions.length);
  for (const condition of conditions) writeCondition(writer, condition);
  for (const side of [then, otherwise]) {
    writer.array(side.length);
    for (const operation of side) writeOperation(writer, operation);
  }
  return writer.done();
}

function operationBytes(operation: Operation): number {
  let bytes = overheadBytes;
  if ("key" in operation) bytes += operation.key.length * bytesPerUnit;
  if ("range" in operation) {
    bytes += (operation.range.start.length + operation.range.end.length) * bytesPerUnit;
  }
  if (operation.op === "put") bytes += (operation.contentType?.length ?? 0) * bytesPerUnit;
  if ("value" in operation && operation.value instanceof Uint8Array) {
    bytes += operation.value.byteLength;
  }
  return bytes;
}

function writeCondition(writer: Writer, condition: Condition): void {
  const { kind, key, not } = condition;
  writer.byte(conditionCodes.indexOf(kind)).field(0xd9, text(key)).boolean(not);
  switch (kind) {
    case "exists":
      return;
    case "revision":
    case "createRevision":
      writer.integer(BigInt(condition.revision));
      return;
    case "value":
      writer.field(0xc4, condition.value);
      return;
    case "holder":
      writer.integer(BigInt(condition.token));
      return;
    default:
      unreachable(kind);
  }
}

function writeOperation(writer: Writer, operation: Operation): void {
  const { op } = operation;
  writer.byte(operationCodes.indexOf(codeNameOf(operation)));
  switch (op) {
    case "put": {
      const { key, value, contentType } = operation;
      writer.field(0xd9, text(key)).field(0xc4, value);
      if (contentType === null) writer.byte(0xc0);
      else writer.field(0xd9, text(contentType));
      const last = operation.lease ?? operation.ttlMs;
      if (last !== undefined) writer.integer(BigInt(last));
      return;
    }
    case "delete":
    case "get":
    case "getdel":
    case "revision":
      writer.field(0xd9, text(operation.key));
      return;
    case "deleteRange": {
      const { limit } = operation;
      writeRange(writer, operation.range);
      writer.integerOrNil(limit === null ? null : BigInt(limit));
      return;
    }
    case "range":
      writeRange(writer, operation.range);
      writer.integer(BigInt(operation.limit));
      return;
    case "incr": {
      const { key, by, min, max } = operation;
      writer.field(0xd9, text(key)).integer(by).integerOrNil(min).integerOrNil(max);
      if (operation.ttlMs !== undefined) writer.integer(BigInt(operation.ttlMs));
      return;
    }
    case "touch":
      writer.field(0xd9, text(operation.key)).integer(BigInt(operation.ttlMs));
      return;
    case "max":
    case "min":
      writer.field(0xd9, text(operation.key)).integer(operation.value);
      return;
    case "append":
      writer.field(0xd9, text(operation.key)).field(0xc4, operation.value);
      return;
    case "leaseGrant":
      writer.integer(BigInt(operation.ttlMs));
      return;
    case "leaseRenew":
    case "leaseRevoke":
      writer.integer(BigInt(operation.lease));
      return;
    case "join": {
      const { key, value, lease, ttlMs, waits } = operation;
      writer.field(0xd9, text(key)).field(0xc4, value);
      writer.integerOrNil(lease === null ? null : BigInt(lease));
      writer.integer(BigInt(ttlMs)).boolean(waits);
      return;
    }
    case "leave":
      writer.field(0xd9, text(operation.key)).integer(BigInt(operation.token));
      return;
    case "setValue": {
      const { key, token, value } = operation;
      writer.field(0xd9, text(key)).integer(BigInt(token)).field(0xc4, value);
      return;
    }
    default:
      unreachable(op);
  }
}

/** What lasts otherwise has another code: what was written before keeps its bytes. */
function codeNameOf(operation: Operation): (typeof operationCodes)[number] {
  const { op } = operation;
  if (op === "put" && operation.lease !== undefined) return "putLeased";
  if ((op === "put" || op === "incr") && operation.ttlMs !== undefined) return `${op}For`;
  return op;
}

function writeRange(writer: Writer, { start, end }: KeyRange): void {
  writer.field(0xd9, text(start)).field(0xd9, text(end));
}

// ------------------------------------------------------------------ reading

/** Null where the bytes behind the code are no transaction. */
export function readTransaction(reader: Reader): Transaction | null {
  const conditions = readList(reader, conditionsMax, readCondition);
  const then = readList(reader, operationsMax, readOperation);
  const otherwise = readList(reader, operationsMax, readOperation);
  return reader.isAtEnd ? { op: "transaction", conditions, then, otherwise } : null;
}

function readList<T>(reader: Reader, lengthMax: number, read: (reader: Reader) => T | null): T[] {
  const length = reader.array(lengthMax);
  const list: T[] = [];
  while (list.length < length && !reader.isBroken) {
    const item = read(reader);
    if (item === null) reader.fail();
    else list.push(item);
  }
  return list;
}

/** Breaks the reader where there is no key. */
function readKey(reader: Reader): string {
  const key = reader.text(keyBytesMax);
  if (isKey(key)) return key;
  reader.fail();
  return "";
}

function readValue(reader: Reader): Uint8Array {
  return reader.bytes(valueBytesMax) ?? new Uint8Array();
}

function readTtl(reader: Reader): number {
  const ttlMs = reader.count(ttlMsMax);
  if (ttlMs === 0) reader.fail();
  return ttlMs;
}

const readRevision = (reader: Reader): number => reader.count(Number.MAX_SAFE_INTEGER);

function readRange(reader: Reader): KeyRange {
  const start = reader.text(boundBytesMax) ?? "";
  const end = reader.text(boundBytesMax) ?? "";
  return { start, end };
}

function readCondition(reader: Reader): Condition | null {
  const kind = conditionCodes[reader.byte()];
  if (kind === undefined || kind === "") return null;
  const key = readKey(reader);
  const not = reader.boolean();
  switch (kind) {
    case "exists":
      return { kind, key, not };
    case "revision":
    case "createRevision":
      return { kind, key, not, revision: reader.count(Number.MAX_SAFE_INTEGER) };
    case "value":
      return { kind, key, not, value: readValue(reader) };
    case "holder":
      return { kind, key, not, token: readRevision(reader) };
    default:
      return unreachable(kind);
  }
}

function readOperation(reader: Reader): Operation | null {
  const op = operationCodes[reader.byte()];
  switch (op) {
    case undefined:
    case "":
      return null;
    case "put":
    case "putFor":
    case "putLeased": {
      const key = readKey(reader);
      const value = readValue(reader);
      const contentType = reader.skipNil() ? null : reader.text(contentTypeBytesMax);
      const put = { op: "put", key, value, contentType } as const;
      if (op === "putLeased") return { ...put, lease: readRevision(reader) };
      return op === "put" ? put : { ...put, ttlMs: readTtl(reader) };
    }
    case "touch":
      return { op, key: readKey(reader), ttlMs: readTtl(reader) };
    case "delete":
    case "get":
    case "getdel":
    case "revision":
      return { op, key: readKey(reader) };
    case "deleteRange": {
      const range = readRange(reader);
      return { op, range, limit: reader.skipNil() ? null : reader.count(rangeRowsMax) };
    }
    case "range":
      return { op, range: readRange(reader), limit: reader.count(rangeRowsMax) };
    case "incr":
    case "incrFor": {
      const key = readKey(reader);
      const by = reader.integer();
      const min = reader.integerOrNil();
      const incr = { op: "incr", key, by, min, max: reader.integerOrNil() } as const;
      return op === "incr" ? incr : { ...incr, ttlMs: readTtl(reader) };
    }
    case "max":
    case "min":
      return { op, key: readKey(reader), value: reader.integer() };
    case "append":
      return { op, key: readKey(reader), value: readValue(reader) };
    case "leaseGrant":
      return { op, ttlMs: readTtl(reader) };
    case "leaseRenew":
    case "leaseRevoke":
      return { op, lease: readRevision(reader) };
    case "join": {
      const key = readKey(reader);
      const value = readValue(reader);
      const lease = reader.skipNil() ? null : readRevision(reader);
      return { op, key, value, lease, ttlMs: readTtl(reader), waits: reader.boolean() };
    }
    case "leave":
      return { op, key: readKey(reader), token: readRevision(reader) };
    case "setValue":
      return { op, key: readKey(reader), token: readRevision(reader), value: readValue(reader) };
    default:
      return unreachable(op);
  }
}
