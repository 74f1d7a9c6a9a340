/** Frames that wait for their way to one peer: bounded in bytes and in number, first in, first out. */

import { must } from "./raft/assert.ts";

export interface OutboxLimits {
  readonly framesMax: number;
  readonly bytesMax: number;
}

/** A frame in up to three pieces; pieces may be shared with other outboxes and are never changed. */
export type FramePieces = readonly [header: Uint8Array, head: Uint8Array, tail: Uint8Array | null];

const byteLength = ([header, head, tail]: FramePieces): number =>
  header.byteLength + head.byteLength + (tail?.byteLength ?? 0);

export class Outbox {
  readonly #limits: OutboxLimits;
  #frames: FramePieces[] = [];
  /** Frames before this one are taken already. */
  #first = 0;
  #bytes = 0;

  constructor(limits: OutboxLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#frames.length - this.#first;
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

  /** The oldest frames as one piece of at most `bytesMax` (but at least one frame); null: none wait. */
  take(bytesMax: number): Uint8Array | null {
    let end = this.#first;
    let bytes = 0;
    while (end < this.#frames.length) {
      const next = byteLength(must(this.#frames[end], "end is in range"));
      if (end > this.#first && bytes + next > bytesMax) break;
      bytes += next;
      end++;
    }
    if (end === this.#first) return null;
    const joined = this.#join(end, bytes);
    this.#drop(end, bytes);
    return joined;
  }

  clear(): void {
    this.#frames = [];
    this.#first = 0;
    this.#bytes = 0;
  }

  #join(end: number, bytes: number): Uint8Array {
    const joined = new Uint8Array(bytes);
    let offset = 0;
    for (let i = this.#first; i < end; i++) {
      for (const piece of must(this.#frames[i], "i is in range")) {
        if (piece === null) continue;
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
