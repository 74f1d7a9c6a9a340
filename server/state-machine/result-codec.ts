/**
 * Results in bytes, for those that are remembered: a code and its fields in a fixed order, as
 * transactions are written. What a later version adds gets a code of its own.
 */

import { unreachable } from "../raft/assert.ts";
import { index } from "../raft/entry.ts";
import { contentTypeBytesMax, keyBytesMax, ttlMsMax, valueBytesMax } from "./command.ts";
import type { CommandResult, Row } from "./command.ts";
import { Reader, Writer } from "./command-bytes.ts";
import { leaseKeysMax } from "./leased-keys.ts";
import {
  operationsMax,
  rangeRowsMax,
  type FailedResult,
  type OperationResult,
} from "./transaction.ts";

const resultCodes = ["", "put", "delete", "transaction", "failed"] as const;
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
  "touch",
  "leaseGrant",
  "leaseRenew",
  "leaseRevoke",
  "join",
  "leave",
  "setValue",
] as const;
const failureCodes = ["conflict", "too_large", "not_found"] as const;

const overheadBytes = 64;
const bytesPerUnit = 3;
const detailBytesMax = 1 << 16;

const encoder = new TextEncoder();

// ------------------------------------------------------------------ writing

/** Of what was executed: a refusal is remembered nowhere. */
export function encodeResult(result: CommandResult): Uint8Array {
  const writer = new Writer(resultBytes(result));
  switch (result.op) {
    case "put":
      writer.byte(codeOf(result.op)).boolean(result.created).integer(BigInt(result.revision));
      break;
    case "delete":
      writer
        .byte(codeOf(result.op))
        .boolean(result.deleted === 1)
        .integer(BigInt(result.revision));
      break;
    case "failed": {
      const { op, code, detail, position } = result;
      writer.byte(codeOf(op)).byte(failureCodes.indexOf(code));
      writer.field(0xd9, encoder.encode(detail)).integer(BigInt(position));
      break;
    }
    case "transaction": {
      const { op, succeeded, revision, results } = result;
      writer.byte(codeOf(op)).boolean(succeeded).integer(BigInt(revision)).array(results.length);
      for (const one of results) writeResult(writer, one);
      break;
    }
    case "mismatch":
    case "refused":
    case "expired":
      throw new Error(`${result.op} is no result of an execution`);
    default:
      unreachable(result);
  }
  return writer.done();
}

const codeOf = (op: (typeof resultCodes)[number]): number => resultCodes.indexOf(op);

function resultBytes(result: CommandResult): number {
  if (result.op === "failed") return overheadBytes + result.detail.length * bytesPerUnit;
  if (result.op !== "transaction") return overheadBytes;
  let bytes = overheadBytes;
  for (const one of result.results) {
    bytes += overheadBytes;
    if (one.op === "append") bytes += one.value.byteLength;
    if (one.op === "range") for (const row of one.rows) bytes += rowBytes(row);
    if (one.op === "get" || one.op === "getdel" || one.op === "touch")
      bytes += one.row === null ? 0 : rowBytes(one.row);
  }
  return bytes;
}

function rowBytes({ key, value, contentType }: Row): number {
  const units = key.length + (contentType?.length ?? 0);
  return overheadBytes + value.byteLength + units * bytesPerUnit;
}

function writeResult(writer: Writer, result: OperationResult): void {
  const { op } = result;
  writer.byte(operationCodes.indexOf(op));
  switch (op) {
    case "put":
      writer.boolean(result.created).integer(BigInt(result.revision));
      return;
    case "delete":
    case "deleteRange":
      writer.integer(BigInt(result.deleted));
      return;
    case "get":
    case "getdel":
    case "touch":
      if (result.row === null) writer.byte(0xc0);
      else writeRow(writer, result.row);
      return;
    case "range":
      writer.boolean(result.more).array(result.rows.length);
      for (const row of result.rows) writeRow(writer, row);
      return;
    case "incr":
    case "max":
    case "min":
      writer.integer(result.value).integer(BigInt(result.revision));
      return;
    case "append":
      writer.field(0xc4, result.value).integer(BigInt(result.revision));
      return;
    case "revision":
      writeCount(writer, result.revision);
      return;
    case "leaseGrant":
      writer.integer(BigInt(result.lease));
      return;
    case "leaseRenew":
      writer.integer(BigInt(result.ttlMs));
      return;
    case "leaseRevoke":
      writer.integer(BigInt(result.deleted));
      return;
    case "join":
      writeCount(writer, result.token);
      writeCount(writer, result.lease);
      writer.boolean(result.isFirst);
      return;
    case "leave":
      writer.boolean(result.left);
      return;
    case "setValue":
      writer.integer(BigInt(result.revision));
      return;
    default:
      unreachable(op);
  }
}

function writeRow(writer: Writer, row: Row): void {
  writer.field(0xd9, encoder.encode(row.key)).field(0xc4, row.value);
  if (row.contentType === null) writer.byte(0xc0);
  else writer.field(0xd9, encoder.encode(row.contentType));
  writer.integer(BigInt(row.revision)).integer(BigInt(row.createRevision));
  for (const number of [row.expiresMs, row.ttlMs, row.lease]) writeCount(writer, number ?? null);
}

const writeCount = (writer: Writer, count: number | null): void =>
  void writer.integerOrNil(count === null ? null : BigInt(count));

// ------------------------------------------------------------------ reading

/** Null where the bytes are no result. */
export function decodeResult(bytes: Uint8Array): CommandResult | null {
  const reader = new Reader(bytes);
  const result = readCommandResult(reader);
  return reader.isAtEnd ? result : null;
}

function readCommandResult(reader: Reader): CommandResult | null {
  const op = resultCodes[reader.byte()];
  switch (op) {
    case undefined:
    case "":
      return null;
    case "put":
      return { op, created: reader.boolean(), revision: readIndex(reader) };
    case "delete":
      return { op, deleted: reader.boolean() ? 1 : 0, revision: readIndex(reader) };
    case "failed":
      return readFailure(reader);
    case "transaction": {
      const succeeded = reader.boolean();
      const revision = readIndex(reader);
      const length = reader.array(operationsMax);
      const results: OperationResult[] = [];
      while (results.length < length && !reader.isBroken) {
        const result = readResult(reader);
        if (result === null) reader.fail();
        else results.push(result);
      }
      return { op, succeeded, results, revision };
    }
    default:
      return unreachable(op);
  }
}

function readFailure(reader: Reader): FailedResult | null {
  const code = failureCodes[reader.byte()];
  const detail = reader.text(detailBytesMax) ?? "";
  const position = reader.count(operationsMax);
  return code === undefined ? null : { op: "failed", code, detail, position };
}

const readIndex = (reader: Reader) => index(reader.count(Number.MAX_SAFE_INTEGER));

function readResult(reader: Reader): OperationResult | null {
  const op = operationCodes[reader.byte()];
  switch (op) {
    case undefined:
    case "":
      return null;
    case "put":
      return { op, created: reader.boolean(), revision: readIndex(reader) };
    case "delete":
      return { op, deleted: reader.count(1) === 0 ? 0 : 1 };
    case "deleteRange":
      return { op, deleted: reader.count(rangeRowsMax) };
    case "get":
    case "getdel":
    case "touch":
      return { op, row: reader.skipNil() ? null : readRow(reader) };
    case "range": {
      const more = reader.boolean();
      const length = reader.array(rangeRowsMax);
      const rows: Row[] = [];
      while (rows.length < length && !reader.isBroken) rows.push(readRow(reader));
      return { op, rows, more };
    }
    case "incr":
    case "max":
    case "min":
      return { op, value: reader.integer(), revision: readIndex(reader) };
    case "append":
      return { op, value: readBytes(reader), revision: readIndex(reader) };
    case "revision":
      return { op, revision: reader.skipNil() ? null : readIndex(reader) };
    case "leaseGrant":
      return { op, lease: readIndex(reader) };
    case "leaseRenew":
      return { op, ttlMs: reader.count(ttlMsMax) };
    case "leaseRevoke":
      return { op, deleted: reader.count(leaseKeysMax) };
    case "join": {
      const token = reader.skipNil() ? null : readIndex(reader);
      const lease = reader.skipNil() ? null : readIndex(reader);
      return { op, token, lease, isFirst: reader.boolean() };
    }
    case "leave":
      return { op, left: reader.boolean() };
    case "setValue":
      return { op, revision: readIndex(reader) };
    default:
      return unreachable(op);
  }
}

const readBytes = (reader: Reader): Uint8Array => reader.bytes(valueBytesMax) ?? new Uint8Array();

function readRow(reader: Reader): Row {
  const row = {
    key: reader.text(keyBytesMax) ?? "",
    value: readBytes(reader),
    contentType: reader.skipNil() ? null : reader.text(contentTypeBytesMax),
    revision: readIndex(reader),
    createRevision: readIndex(reader),
  };
  const number = () => (reader.skipNil() ? null : reader.count(Number.MAX_SAFE_INTEGER));
  const expiresMs = number();
  const ttlMs = number();
  const lease = number();
  if (lease !== null) return { ...row, lease };
  return expiresMs === null || ttlMs === null ? row : { ...row, expiresMs, ttlMs };
}
