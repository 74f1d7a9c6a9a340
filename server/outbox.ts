/** Frames that wait for their way to one peer: bounded in bytes and in number, first in, first out. */

import { must } from "./raft/assert.ts";

export interface OutboxLimits {
  readonly framesMax: number;
  readonly bytesMax: number;
}

/** A frame in up to three pieces; pieces may be shared with other outboxes and are never changed. */
export type FramePieces = readonly [header: Uint8Array, head: Uint8Array, tail: Uint8Array | null];

/** A tail of so many bytes is given as it is: to copy it costs more than one more write. */
const wholeBytesMin = 32 << 10;

const byteLength = ([header, head, tail]: FramePieces): number =>
  header.byteLength + head.byteLength + (tail?.byteLength ?? 0);

export class Outbox {
  readonly #limits: OutboxLimits;
  #frames: FramePieces[] = [];
  /** Frames before this one are taken already. */
  #first = 0;
  #bytes = 0;
  /** The tail of a frame whose other pieces are taken already. */
  #rest: Uint8Array | null = null;

  constructor(limits: OutboxLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#frames.length - this.#first + (this.#rest === null ? 0 : 1);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** False where it is full. */
  add(frame: FramePieces): boolean {
    const bytes = byteLength(frame);
    if (this.count >= this.#limits.framesMax) return false;
    if (this.#bytes + bytes > this.#limits.bytesMax) return false;
    this.#frames.push(frame);
    this.#bytes += bytes;
    return true;
  }

  /**
   * What waits longest, as one piece of at most `bytesMax` (but of one frame at least, or a large tail by
   * itself); null: nothing waits. It is not to be changed.
   */
  take(bytesMax: number): Uint8Array | null {
    if (this.#rest !== null) return this.#takeRest(this.#rest);
    let end = this.#first;
    let bytes = 0;
    let rest: Uint8Array | null = null;
    while (end < this.#frames.length && rest === null) {
      const frame = must(this.#frames[end], "end is in range");
      const [, , tail] = frame;
      const isLarge = tail !== null && tail.byteLength >= wholeBytesMin;
      const next = byteLength(frame) - (isLarge ? tail.byteLength : 0);
      if (end > this.#first && bytes + next > bytesMax) break;
      if (isLarge) rest = tail;
      bytes += next;
      end++;
    }
    if (end === this.#first) return null;
    const joined = this.#join(end, bytes, rest);
    this.#drop(end, bytes);
    this.#rest = rest;
    return joined;
  }

  #takeRest(rest: Uint8Array): Uint8Array {
    this.#rest = null;
    this.#bytes -= rest.byteLength;
    return rest;
  }

  clear(): void {
    this.#frames = [];
    this.#first = 0;
    this.#bytes = 0;
    this.#rest = null;
  }

  #join(end: number, bytes: number, without: Uint8Array | null): Uint8Array {
    const joined = new Uint8Array(bytes);
    let offset = 0;
    for (let i = this.#first; i < end; i++) {
      for (const piece of must(this.#frames[i], "i is in range")) {
        if (piece === null || piece === without) continue;
        joined.set(piece, offset);
        offset += piece.byteLength;
      }
    }
    return joined;
  }

  #drop(end: number, bytes: number): void {
    this.#bytes -= bytes;
    this.#first = end;
    if (end === this.#frames.length) {
      this.#frames.length = 0;
      this.#first = 0;
    } else if (end * 2 >= this.#frames.length) {
      this.#frames = this.#frames.slice(end);
      this.#first = 0;
    }
  }
}
