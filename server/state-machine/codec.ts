/**
 * Commands as MessagePack: `[1, key, value, contentType or nil]` puts, `[2, key]` deletes. Written and
 * read by hand, because every write passes here twice and the two shapes are fixed.
 */

import {
  contentTypeBytesMax,
  keyBytesMax,
  valueBytesMax,
  type Command,
  type RefusedResult,
} from "./command.ts";

const putCode = 1;
const deleteCode = 2;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Room for the array, the code and the heads of three fields. */
const overheadBytes = 2 + 3 * 5;

export function encodeCommand(command: Command): Uint8Array {
  const key = encoder.encode(command.key);
  if (command.op === "delete") {
    const writer = new Writer(overheadBytes + key.byteLength);
    writer.byte(0x92).byte(deleteCode).field(0xd9, key);
    return writer.done();
  }
  const type = command.contentType === null ? null : encoder.encode(command.contentType);
  const bytes = overheadBytes + key.byteLength + command.value.byteLength + (type?.byteLength ?? 0);
  const writer = new Writer(bytes);
  writer.byte(0x94).byte(putCode).field(0xd9, key).field(0xc4, command.value);
  if (type === null) writer.byte(0xc0);
  else writer.field(0xd9, type);
  return writer.done();
}

/** Whether the state grows by it: where room is short, what makes room still passes. */
export const takesRoom = (data: Uint8Array): boolean => data[0] !== 0x92 || data[1] !== deleteCode;

/** Never throws: bytes that are no command are refused, by the same words on every replica. */
export function decodeCommand(data: Uint8Array): Command | RefusedResult {
  const reader = new Reader(data);
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
  return refused("a command");
}

const isKey = (key: string | null): key is string =>
  key !== null && key !== "" && !key.includes("\0");

const refused = (what: string): RefusedResult => ({
  op: "refused",
  detail: `the entry's bytes are not ${what} this version knows`,
});

class Writer {
  readonly #data: Uint8Array;
  #at = 0;

  constructor(bytesMax: number) {
    this.#data = new Uint8Array(bytesMax);
  }

  byte(value: number): this {
    this.#data[this.#at++] = value;
    return this;
  }

  /** `code8`: str 8 (0xd9) or bin 8 (0xc4); the 16 and 32 bit forms are the next two codes. */
  field(code8: number, bytes: Uint8Array): this {
    const length = bytes.byteLength;
    if (length < 0x100) {
      this.byte(code8).byte(length);
    } else if (length < 0x10000) {
      this.byte(code8 + 1)
        .byte(length >>> 8)
        .byte(length & 0xff);
    } else {
      this.byte(code8 + 2);
      for (const shift of [24, 16, 8, 0]) this.byte((length >>> shift) & 0xff);
    }
    this.#data.set(bytes, this.#at);
    this.#at += length;
    return this;
  }

  done(): Uint8Array {
    return this.#data.subarray(0, this.#at);
  }
}

/** After a wrong byte everything that follows is wrong too: `isAtEnd` stays false. */
class Reader {
  readonly #data: Uint8Array;
  #at = 0;
  #isBroken = false;

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  get isAtEnd(): boolean {
    return !this.#isBroken && this.#at === this.#data.byteLength;
  }

  byte(): number {
    const value = this.#data[this.#at++];
    if (value === undefined) this.#isBroken = true;
    return value ?? -1;
  }

  skipNil(): boolean {
    if (this.#data[this.#at] !== 0xc0) return false;
    this.#at++;
    return true;
  }

  text(bytesMax: number): string | null {
    const bytes = this.#field(0xd9, bytesMax);
    if (bytes === null) return null;
    try {
      return decoder.decode(bytes);
    } catch {
      this.#isBroken = true;
      return null;
    }
  }

  bytes(bytesMax: number): Uint8Array | null {
    return this.#field(0xc4, bytesMax);
  }

  #field(code8: number, bytesMax: number): Uint8Array | null {
    const width = [1, 2, 4][this.byte() - code8];
    if (width === undefined) {
      this.#isBroken = true;
      return null;
    }
    let length = 0;
    for (let i = 0; i < width; i++) length = length * 256 + this.byte();
    const end = this.#at + length;
    if (this.#isBroken || length > bytesMax || end > this.#data.byteLength) {
      this.#isBroken = true;
      return null;
    }
    const bytes = this.#data.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }
}
