/**
 * A hash over all rows in no order: a sum of one hash per row, so that a change of one row costs one
 * subtraction and one addition, and equal rows give equal sums on any replica.
 */

import { crc32 } from "node:zlib";
import type { NewRow } from "../server/state-machine/rows.ts";

/** Over everything in the row; stored with it, so that damage is noticed. 32 bits. */
export function rowChecksum(
  { key, value, contentType, expiresMs, lease }: NewRow,
  revision: number,
  createRevision: number,
): number {
  // The lengths tell where one part ends and the next begins.
  const typeLength = contentType === null ? "-" : contentType.length;
  const time = expiresMs === undefined ? "" : `${expiresMs}! `;
  const going = lease === undefined ? "" : `${lease}@ `;
  const head = `${time}${going}${revision} ${createRevision} ${typeLength} ${value.byteLength} `;
  return crc32(value, crc32(head + key + (contentType ?? "")));
}

/** Two lanes of 32 bits, because 64-bit integers are slow in JavaScript. */
export class StateHash {
  #high: number;
  #low: number;

  /** Of no rows where both lanes are 0. */
  constructor(high: number, low: number) {
    this.#high = high;
    this.#low = low;
  }

  /** Of what `toString` gave. */
  static parse(text: string): StateHash {
    return new StateHash(Number.parseInt(text.slice(0, 8), 16), Number.parseInt(text.slice(8), 16));
  }

  copy(): StateHash {
    return new StateHash(this.#high, this.#low);
  }

  get high(): number {
    return this.#high;
  }

  get low(): number {
    return this.#low;
  }

  /** 16 hex digits. */
  toString(): string {
    return hex32(this.#high) + hex32(this.#low);
  }

  /** `checksum` is the row's own, as `rowChecksum` gives it: a replaced row need not be read again. */
  add(checksum: number, revision: number, createRevision: number): void {
    this.#high = (this.#high + lane(0x9e3779b9, checksum, revision, createRevision)) >>> 0;
    this.#low = (this.#low + lane(0x7f4a7c15, checksum, revision, createRevision)) >>> 0;
  }

  remove(checksum: number, revision: number, createRevision: number): void {
    this.#high = (this.#high - lane(0x9e3779b9, checksum, revision, createRevision)) >>> 0;
    this.#low = (this.#low - lane(0x7f4a7c15, checksum, revision, createRevision)) >>> 0;
  }
}

/** 8 hex digits. */
export const hex32 = (value: number): string => value.toString(16).padStart(8, "0");

function lane(seed: number, checksum: number, revision: number, createRevision: number): number {
  let hash = mix(seed ^ checksum);
  hash = mix(hash ^ (revision >>> 0));
  hash = mix(hash ^ Math.floor(revision / 2 ** 32));
  hash = mix(hash ^ (createRevision >>> 0));
  return mix(hash ^ Math.floor(createRevision / 2 ** 32));
}

/** Murmur3's finalizer: every bit of the input reaches every bit of the output. */
function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
