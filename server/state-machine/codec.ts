/**
 * Commands as MessagePack: `[1, key, value, contentType or nil]` puts, `[2, key]` deletes, `[3, …]` is a
 * transaction (see `transaction-codec.ts`). Written and read by hand, because every write passes here
 * twice and the shapes are fixed.
 */

import {
  contentTypeBytesMax,
  keyBytesMax,
  valueBytesMax,
  type Command,
  type RefusedResult,
} from "./command.ts";
import { fieldBytes, isKey, Reader, Writer } from "./command-bytes.ts";
import { encodeTransaction, readTransaction, transactionCode } from "./transaction-codec.ts";

const putCode = 1;
const deleteCode = 2;

const encoder = new TextEncoder();

export function encodeCommand(command: Command): Uint8Array {
  if (command.op === "transaction") return encodeTransaction(command);
  const key = encoder.encode(command.key);
  if (command.op === "delete") {
    const writer = new Writer(2 + fieldBytes(key.byteLength));
    writer.byte(0x92).byte(deleteCode).field(0xd9, key);
    return writer.done();
  }
  const type = command.contentType === null ? null : encoder.encode(command.contentType);
  const typeBytes = type === null ? 1 : fieldBytes(type.byteLength);
  const bytes = fieldBytes(key.byteLength) + fieldBytes(command.value.byteLength) + typeBytes;
  const writer = new Writer(2 + bytes);
  writer.byte(0x94).byte(putCode).field(0xd9, key).field(0xc4, command.value);
  if (type === null) writer.byte(0xc0);
  else writer.field(0xd9, type);
  return writer.done();
}

/** Whether the state grows by it: where room is short, what makes room still passes. */
export const takesRoom = (data: Uint8Array): boolean => data[0] !== 0x92 || data[1] !== deleteCode;

/**
 * Reads `data` from `start` on; the result owns its bytes. Never throws: bytes that are no command are
 * refused, by the same words on every replica.
 */
export function decodeCommand(data: Uint8Array, start = 0): Command | RefusedResult {
  const reader = new Reader(data, start);
  const count = reader.byte();
  const code = reader.byte();
  if (count === 0x92 && code === deleteCode) {
    const key = reader.text(keyBytesMax);
    return reader.isAtEnd && isKey(key) ? { op: "delete", key } : refused("a delete");
  }
  if (count === 0x94 && code === putCode) {
    const key = reader.text(keyBytesMax);
    const value = reader.bytes(valueBytesMax);
    const contentType = reader.skipNil() ? null : reader.text(contentTypeBytesMax);
    if (reader.isAtEnd && isKey(key) && value !== null) {
      return { op: "put", key, value, contentType };
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
