/** Writes and reads the few MessagePack forms that commands are made of. */

import { Buffer } from "node:buffer";
import { keptBytes } from "../kept-bytes.ts";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Of a plain `Uint8Array` too, without a view of it. */
const latin1Slice: (this: Uint8Array, start: number, end: number) => string =
  Buffer.prototype.latin1Slice;

/** Bytes of `field` for so many bytes. */
export const fieldBytes = (length: number): number =>
  length + (length < 0x100 ? 2 : length < 0x10000 ? 3 : 5);

/** Bytes of `integer`. */
export const integerBytes = 9;

export class Writer {
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
    return this.encoded(bytes);
  }

  /** What is MessagePack already. */
  encoded(bytes: Uint8Array): this {
    this.#data.set(bytes, this.#at);
    this.#at += bytes.byteLength;
    return this;
  }

  /** int 64. */
  integer(value: bigint): this {
    this.byte(0xd3);
    for (let shift = 56n; shift >= 0n; shift -= 8n) {
      this.byte(Number((value >> shift) & 0xffn));
    }
    return this;
  }

  integerOrNil(value: bigint | null): this {
    return value === null ? this.byte(0xc0) : this.integer(value);
  }

  boolean(value: boolean): this {
    return this.byte(value ? 0xc3 : 0xc2);
  }

  /** array 16. */
  array(length: number): this {
    return this.byte(0xdc)
      .byte(length >>> 8)
      .byte(length & 0xff);
  }

  done(): Uint8Array {
    return this.#at === this.#data.byteLength ? this.#data : this.#data.slice(0, this.#at);
  }
}

/**
 * After a wrong byte everything that follows is wrong too: `isAtEnd` stays false. What it gives may be
 * kept; long fields are views of the data, which is never changed again.
 */
export class Reader {
  readonly #data: Uint8Array;
  #at: number;
  #isBroken = false;

  constructor(data: Uint8Array, start = 0) {
    this.#data = data;
    this.#at = start;
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
    const start = this.#field(0xd9, bytesMax);
    if (start < 0) return null;
    if (this.#isAscii(start)) return latin1Slice.call(this.#data, start, this.#at);
    try {
      return decoder.decode(this.#data.slice(start, this.#at));
    } catch {
      this.#isBroken = true;
      return null;
    }
  }

  integer(): bigint {
    if (this.byte() !== 0xd3) this.#isBroken = true;
    let value = 0n;
    for (let i = 0; i < 8; i++) value = (value << 8n) | BigInt(this.byte() & 0xff);
    return BigInt.asIntN(64, value);
  }

  integerOrNil(): bigint | null {
    return this.skipNil() ? null : this.integer();
  }

  /** A whole number from 0 to `max`. */
  count(max: number): number {
    const value = this.integer();
    if (value >= 0n && value <= BigInt(max)) return Number(value);
    this.#isBroken = true;
    return 0;
  }

  boolean(): boolean {
    const byte = this.byte();
    if (byte !== 0xc2 && byte !== 0xc3) this.#isBroken = true;
    return byte === 0xc3;
  }

  /** The length of an array; 0 where it is none, or too long. */
  array(lengthMax: number): number {
    if (this.byte() !== 0xdc) this.#isBroken = true;
    const length = this.byte() * 0x100 + this.byte();
    if (!this.#isBroken && length <= lengthMax) return length;
    this.#isBroken = true;
    return 0;
  }

  /** Where what has not been read begins; the end after a wrong byte. */
  get offset(): number {
    return this.#isBroken ? this.#data.byteLength : this.#at;
  }

  /** What follows cannot be what it claims to be. */
  fail(): void {
    this.#isBroken = true;
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  bytes(bytesMax: number): Uint8Array | null {
    const start = this.#field(0xc4, bytesMax);
    return start < 0 ? null : keptBytes(this.#data, start, this.#at);
  }

  /** From `start` up to here. */
  #isAscii(start: number): boolean {
    let all = 0;
    for (let at = start; at < this.#at; at++) all |= this.#data[at] ?? 0;
    return all < 0x80;
  }

  /** Steps over the bytes of a field and returns where they begin; -1 where there is none. */
  #field(code8: number, bytesMax: number): number {
    const width = fieldWidths[this.byte() - code8];
    if (width === undefined) {
      this.#isBroken = true;
      return -1;
    }
    let length = 0;
    for (let i = 0; i < width; i++) length = length * 256 + this.byte();
    const end = this.#at + length;
    if (this.#isBroken || length > bytesMax || end > this.#data.byteLength) {
      this.#isBroken = true;
      return -1;
    }
    const start = this.#at;
    this.#at = end;
    return start;
  }
}

/** Bytes of the length, by the code. */
const fieldWidths = [1, 2, 4];

export const isKey = (key: string | null): key is string =>
  key !== null && key !== "" && !key.includes("\0");
