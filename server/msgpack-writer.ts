/**
 * The few msgpack forms that entries on their way to a peer are made of, written straight into a
 * buffer of known size. Every write passes here on the leader, and a general encoder costs ten times
 * as much.
 */

import { assert } from "./raft/assert.ts";

/** Most bytes of a whole number, and of the head of a list or of bytes. */
export const uintBytesMax = 9;
export const headBytesMax = 5;

export class MsgpackWriter {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  /** Room for everything that will be written. */
  constructor(bytesMax: number) {
    this.#bytes = new Uint8Array(bytesMax);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** A list of `count` values, which follow. */
  list(count: number): void {
    if (count < 0x10) this.#bytes[this.#at++] = 0x90 | count;
    else this.#head(0xdc, count);
  }

  /** A whole number from 0 to 2^53 - 1, in its shortest form. */
  uint(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, "a number on the wire is a safe integer");
    if (value < 0x80) {
      this.#bytes[this.#at++] = value;
    } else if (value < 0x100) {
      this.#bytes[this.#at++] = 0xcc;
      this.#bytes[this.#at++] = value;
    } else if (value < 0x10000) {
      this.#bytes[this.#at] = 0xcd;
      this.#view.setUint16(this.#at + 1, value);
      this.#at += 3;
    } else if (value < 0x100000000) {
      this.#bytes[this.#at] = 0xce;
      this.#view.setUint32(this.#at + 1, value);
      this.#at += 5;
    } else {
      this.#bytes[this.#at] = 0xcf;
      this.#view.setUint32(this.#at + 1, Math.floor(value / 2 ** 32));
      this.#view.setUint32(this.#at + 5, value >>> 0);
      this.#at += 9;
    }
  }

  bytes(value: Uint8Array): void {
    const length = value.byteLength;
    if (length < 0x100) {
      this.#bytes[this.#at++] = 0xc4;
      this.#bytes[this.#at++] = length;
    } else {
      this.#head(0xc5, length);
    }
    this.#bytes.set(value, this.#at);
    this.#at += length;
  }

  /** What was written; the buffer is not used again. */
  done(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  /** The form with two bytes of length, or the next one with four. */
  #head(code16: number, length: number): void {
    if (length < 0x10000) {
      this.#bytes[this.#at] = code16;
      this.#view.setUint16(this.#at + 1, length);
      this.#at += 3;
    } else {
      this.#bytes[this.#at] = code16 + 1;
      this.#view.setUint32(this.#at + 1, length);
      this.#at += 5;
    }
  }
}
