/**
 * Reads the few msgpack forms that entries on their way to a peer are made of, straight from the bytes:
 * the counterpart of `msgpack-writer.ts`. A general decoder makes an array, and a view, of each entry
 * first. What is not one of these forms breaks the reader; then nothing it gave means anything.
 */

import { keptBytes } from "./kept-bytes.ts";

export class MsgpackReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #isBroken = false;

  /** The caller gives `bytes` away: large parts of them are given as views. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Everything was read, and all of it was sound. */
  get isAtEnd(): boolean {
    return !this.#isBroken && this.#at === this.#bytes.byteLength;
  }

  /** How many values the list has that begins here; at most `max`. */
  list(max: number): number {
    const head = this.#byte();
    const isShort = head >= 0x90 && head <= 0x9f;
    const length = isShort ? head & 0x0f : this.#big(head === 0xdc ? 2 : head === 0xdd ? 4 : 0);
    if (length <= max) return length;
    this.#isBroken = true;
    return 0;
  }

  /** A whole number from 0 to `max`, which is a safe integer. */
  uint(max: number): number {
    const head = this.#byte();
    const isLong = head >= 0xcc && head <= 0xcf;
    const value = head < 0x80 ? head : this.#big(isLong ? 1 << (head - 0xcc) : 0);
    if (value <= max) return value;
    this.#isBroken = true;
    return 0;
  }

  /** At most `max` bytes, which may be kept. */
  bytes(max: number): Uint8Array {
    const head = this.#byte();
    const length = this.#big(head >= 0xc4 && head <= 0xc6 ? 1 << (head - 0xc4) : 0);
    const start = this.#at;
    const end = start + length;
    if (length > max || end > this.#bytes.byteLength) this.#isBroken = true;
    if (this.#isBroken) return this.#bytes;
    this.#at = end;
    return keptBytes(this.#bytes, start, end);
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte !== undefined) return byte;
    this.#isBroken = true;
    return 0;
  }

  /** A number of so many bytes, the greatest first; none of 0 bytes. */
  #big(width: number): number {
    if (width === 0) this.#isBroken = true;
    let value = 0;
    for (let i = 0; i < width; i++) value = value * 256 + this.#byte();
    return value;
  }
}
