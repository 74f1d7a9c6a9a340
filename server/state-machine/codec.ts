/**
 * Commands as MessagePack: `[1, key, value, contentType or nil]` puts, `[2, key]` deletes, `[3, …]` is a
 * transaction (see `transaction-codec.ts`), `[4, request key, fingerprint, command]` is any of these,
 * to be done once; `[5, key, value, contentType or nil, milliseconds]` puts for so long, `[6, nil]` lets
 * go of what is due. Written and read by hand, because every write passes here twice and the shapes are
 * fixed.
 */

import {
  contentTypeBytesMax,
  fingerprintBytes,
  keyBytesMax,
  requestKeyBytesMax,
  ttlMsMax,
  valueBytesMax,
  type Command,
  type OnceCommand,
  type PlainCommand,
  type RefusedResult,
} from "./command.ts";
import { fieldBytes, integerBytes, isKey, Reader, Writer } from "./command-bytes.ts";
import { encodeTransaction, readTransaction, transactionCode } from "./transaction-codec.ts";

const putCode = 1;
const deleteCode = 2;
const onceCode = 4;
const putForCode = 5;
const expireCode = 6;

const encoder = new TextEncoder();

export function encodeCommand(command: Command): Uint8Array {
  if (command.op === "once") return encodeOnce(command, encodeCommand(command.command));
  if (command.op === "expire") return Uint8Array.of(0x92, expireCode, 0xc0);
  if (command.op === "transaction") return encodeTransaction(command);
  const key = encoder.encode(command.key);
  if (command.op === "delete") {
    const writer = new Writer(2 + fieldBytes(key.byteLength));
    writer.byte(0x92).byte(deleteCode).field(0xd9, key);
    return writer.done();
  }
  const type = command.contentType === null ? null : encoder.encode(command.contentType);
  const { ttlMs } = command;
  const typeBytes = type === null ? 1 : fieldBytes(type.byteLength);
  const bytes = fieldBytes(key.byteLength) + fieldBytes(command.value.byteLength) + typeBytes;
  const writer = new Writer(2 + bytes + (ttlMs === undefined ? 0 : integerBytes));
  if (ttlMs === undefined) writer.byte(0x94).byte(putCode);
  else writer.byte(0x95).byte(putForCode);
  writer.field(0xd9, key).field(0xc4, command.value);
  if (type === null) writer.byte(0xc0);
  else writer.field(0xd9, type);
  if (ttlMs !== undefined) writer.integer(BigInt(ttlMs));
  return writer.done();
}

/** `command` is what the plain one in it is encoded as. */
function encodeOnce(
  { requestKey, fingerprint }: Pick<OnceCommand, "requestKey" | "fingerprint">,
  command: Uint8Array,
): Uint8Array {
  const key = encoder.encode(requestKey);
  const bytes = fieldBytes(key.byteLength) + fieldBytes(fingerprint.byteLength);
  const writer = new Writer(2 + bytes + command.byteLength);
  writer.byte(0x94).byte(onceCode).field(0xd9, key).field(0xc4, fingerprint);
  // The last of the four as it is: it is read where it stands.
  return writer.encoded(command).done();
}

/** Whether the state grows by it: where room is short, what makes room still passes. */
export function takesRoom(data: Uint8Array): boolean {
  const start = isOnce(data, 0) ? readOnce(data, 0).commandStart : 0;
  const code = data[start + 1];
  return data[start] !== 0x92 || (code !== deleteCode && code !== expireCode);
}

/**
 * Reads `data` from `start` on; the result may keep views of it. Never throws: bytes that are no command
 * are refused, by the same words on every replica.
 */
export function decodeCommand(data: Uint8Array, start = 0): Command | RefusedResult {
  if (data[start] === 0x92 && data[start + 1] === expireCode) {
    const isWhole = data.byteLength === start + 3 && data[start + 2] === 0xc0;
    return isWhole ? { op: "expire" } : refused("a command");
  }
  if (!isOnce(data, start)) return decodePlain(data, start);
  const { requestKey, fingerprint, commandStart } = readOnce(data, start);
  if (requestKey === null || !/^[ -~]+$/.test(requestKey)) return refused("a command");
  if (fingerprint?.byteLength !== fingerprintBytes) return refused("a command");
  const command = decodePlain(data, commandStart);
  return command.op === "refused" ? command : { op: "once", requestKey, fingerprint, command };
}

const isOnce = (data: Uint8Array, start: number): boolean =>
  data[start] === 0x94 && data[start + 1] === onceCode;

function readOnce(data: Uint8Array, start: number) {
  const reader = new Reader(data, start + 2);
  const requestKey = reader.text(requestKeyBytesMax);
  const fingerprint = reader.bytes(fingerprintBytes);
  return { requestKey, fingerprint, commandStart: reader.offset };
}

function decodePlain(data: Uint8Array, start: number): PlainCommand | RefusedResult {
  const reader = new Reader(data, start);
  const count = reader.byte();
  const code = reader.byte();
  if (count === 0x92 && code === deleteCode) {
    const key = reader.text(keyBytesMax);
    return reader.isAtEnd && isKey(key) ? { op: "delete", key } : refused("a delete");
  }
  const isFor = count === 0x95 && code === putForCode;
  if (isFor || (count === 0x94 && code === putCode)) {
    const key = reader.text(keyBytesMax);
    const value = reader.bytes(valueBytesMax);
    const contentType = reader.skipNil() ? null : reader.text(contentTypeBytesMax);
    const ttlMs = isFor ? reader.count(ttlMsMax) : null;
    if (reader.isAtEnd && isKey(key) && value !== null && ttlMs !== 0) {
      const put = { op: "put", key, value, contentType } as const;
      return ttlMs === null ? put : { ...put, ttlMs };
    }
    return refused("a put");
  }
  if (count === 0x94 && code === transactionCode) {
    return readTransaction(reader) ?? refused("a transaction");
  }
  return refused("a command");
}

const refused = (what: string): RefusedResult => ({
  op: "refused",
  detail: `the entry's bytes are not ${what} this version knows`,
});
