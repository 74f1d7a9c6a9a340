/**
 * Frames on a peer connection after its handshake: a header of twelve bytes, then the payload. All
 * numbers are big-endian.
 *
 *     u32  payload bytes, at most `payloadBytesMax`
 *     u32  crc32 of the payload
 *     u16  Raft group, 0 today
 *     u16  zero
 *
 * A frame without payload asks "are you there?"; the receiver sends the same twelve bytes back.
 */

import { crc32 } from "node:zlib";
import { assert } from "./raft/assert.ts";

export const frameHeaderBytes = 12;
export const payloadBytesMax = 8 << 20;

/** The one group a node hosts today. */
const onlyGroup = 0;

/** The header of a frame whose payload is `head` followed by `tail`. */
export function frameHeader(head: Uint8Array, tail: Uint8Array | null): Uint8Array {
  const length = head.byteLength + (tail?.byteLength ?? 0);
  assert(length <= payloadBytesMax, "a payload fits into a frame");
  const header = new Uint8Array(frameHeaderBytes);
  const view = new DataView(header.buffer);
  const headSum = crc32(head);
  view.setUint32(0, length);
  view.setUint32(4, tail === null ? headSum : crc32(tail, headSum));
  view.setUint16(8, onlyGroup);
  return header;
}

export const emptyFrame: Uint8Array = frameHeader(new Uint8Array(0), null);

/**
 * Cuts a stream into payloads. Holds one frame at most: its buffer is made once, when a checked header
 * says how large, and every byte is copied once, so that a payload owns its buffer whatever becomes of
 * the chunks.
 */
export class FrameAssembler {
  readonly #payloadBytesMax: number;
  readonly #header = new Uint8Array(frameHeaderBytes);
  readonly #headerView = new DataView(this.#header.buffer);
  #headerFilled = 0;
  #payload: Uint8Array | null = null;
  #payloadFilled = 0;
  #violation: string | null = null;

  /** `limit` in bytes of payload; 0 where only empty frames are expected. */
  constructor(limit = payloadBytesMax) {
    this.#payloadBytesMax = limit;
  }

  /**
   * Hands every payload that `chunk` completes to `take`, in order. Returns null, or how the stream broke
   * the rules; nothing more is taken from it then. `take` answers false where no more is wanted.
   */
  push(chunk: Uint8Array, take: (payload: Uint8Array) => boolean): string | null {
    let offset = 0;
    while (this.#violation === null && offset < chunk.byteLength) {
      if (this.#payload === null) {
        offset = this.#fillHeader(chunk, offset);
        if (this.#headerFilled < frameHeaderBytes) break;
        this.#violation = this.#openPayload();
        if (this.#violation !== null) break;
      }
      offset = this.#fillPayload(chunk, offset);
      const complete = this.#takeComplete();
      if (complete !== null && !take(complete)) break;
    }
    return this.#violation;
  }

  #fillHeader(chunk: Uint8Array, offset: number): number {
    const end = Math.min(chunk.byteLength, offset + frameHeaderBytes - this.#headerFilled);
    this.#header.set(chunk.subarray(offset, end), this.#headerFilled);
    this.#headerFilled += end - offset;
    return end;
  }

  #openPayload(): string | null {
    const length = this.#headerView.getUint32(0);
    if (length > this.#payloadBytesMax) {
      return `a frame of ${length} bytes, more than ${this.#payloadBytesMax}`;
    }
    const group = this.#headerView.getUint16(8);
    if (group !== onlyGroup) return `a frame for group ${group}, which is not here`;
    if (this.#headerView.getUint16(10) !== 0) return "a frame header whose last field is not zero";
    this.#payload = new Uint8Array(length);
    this.#payloadFilled = 0;
    return null;
  }

  #fillPayload(chunk: Uint8Array, offset: number): number {
    const payload = this.#payload;
    if (payload === null) return offset;
    const end = Math.min(chunk.byteLength, offset + payload.byteLength - this.#payloadFilled);
    payload.set(chunk.subarray(offset, end), this.#payloadFilled);
    this.#payloadFilled += end - offset;
    return end;
  }

  #takeComplete(): Uint8Array | null {
    const payload = this.#payload;
    if (payload === null || this.#payloadFilled < payload.byteLength) return null;
    this.#payload = null;
    this.#headerFilled = 0;
    if (crc32(payload) === this.#headerView.getUint32(4)) return payload;
    this.#violation = "a frame whose checksum does not fit its payload";
    return null;
  }
}
