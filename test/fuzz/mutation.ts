/** What goes wrong with bytes on their way: flips, cuts, splices, insertions. */

import type { Tape } from "./tape.ts";

const insertedBytesMax = 64;
/** Growth is bounded, so that mutations of mutations stay small. */
const resultBytesMax = 4 << 20;

type Mutation = (bytes: Uint8Array, tape: Tape, donor: Uint8Array) => Uint8Array;

const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

function changed(bytes: Uint8Array, change: (copy: Uint8Array) => void): Uint8Array {
  const copy = bytes.slice();
  if (copy.byteLength > 0) change(copy);
  return copy;
}

/** A stretch of `bytes` that begins anywhere and is mostly short. */
function stretch(bytes: Uint8Array, tape: Tape): { start: number; end: number } {
  const start = tape.below(bytes.byteLength);
  const length = tape.once(4) ? bytes.byteLength : 1 + tape.below(32);
  return { start, end: Math.min(bytes.byteLength, start + length) };
}

const mutations: readonly Mutation[] = [
  // A bit flips.
  (bytes, tape) =>
    changed(bytes, (copy) => {
      const at = tape.below(copy.byteLength);
      copy[at] = (copy[at] ?? 0) ^ (1 << tape.below(8));
    }),
  // A byte becomes one that often means something.
  (bytes, tape) =>
    changed(bytes, (copy) => {
      const at = tape.below(copy.byteLength);
      copy[at] = tape.pick([0, 0xff, 0x7f, 0x80, 0x0a, 0x0d, 0x20, 0x22, 0xc1, 0xdd, tape.byte()]);
    }),
  // A big-endian length or number becomes another.
  (bytes, tape) =>
    changed(bytes, (copy) => {
      if (copy.byteLength < 4) return;
      const view = new DataView(copy.buffer);
      view.setUint32(tape.below(copy.byteLength - 3), tape.edge() % 2 ** 32);
    }),
  // The end is missing.
  (bytes, tape) => bytes.slice(0, tape.below(bytes.byteLength + 1)),
  // A piece is missing.
  (bytes, tape) => {
    const { start, end } = stretch(bytes, tape);
    return join(bytes.subarray(0, start), bytes.subarray(end));
  },
  // A piece comes twice, or where it does not belong.
  (bytes, tape) => {
    const { start, end } = stretch(bytes, tape);
    const at = tape.below(bytes.byteLength + 1);
    return join(bytes.subarray(0, at), bytes.subarray(start, end), bytes.subarray(at));
  },
  // A piece of something else stands there.
  (bytes, tape, donor) => {
    const { start, end } = stretch(donor, tape);
    const at = tape.below(bytes.byteLength + 1);
    const after = tape.once(2) ? at : Math.min(bytes.byteLength, at + end - start);
    return join(bytes.subarray(0, at), donor.subarray(start, end), bytes.subarray(after));
  },
  // Something nobody sent.
  (bytes, tape) => {
    const at = tape.below(bytes.byteLength + 1);
    const inserted = tape.bytes(1 + tape.below(insertedBytesMax));
    return join(bytes.subarray(0, at), inserted, bytes.subarray(at));
  },
  // Zeros, as a disk or a driver makes them.
  (bytes, tape) =>
    changed(bytes, (copy) => {
      const { start, end } = stretch(copy, tape);
      copy.fill(0, start, end);
    }),
];

/** One to a few of the above, as the tape says. `donor` lends its pieces. */
export function mutate(bytes: Uint8Array, tape: Tape, donor: Uint8Array = bytes): Uint8Array {
  let result = bytes;
  for (let count = 1 + tape.below(4); count > 0; count--) {
    const next = tape.pick(mutations)(result, tape, donor);
    if (next.byteLength <= resultBytesMax) result = next;
  }
  return result;
}

/** About as many chunks as a run may take. */
const chunksMax = 2_000;

/** `bytes` cut into chunks, as a network delivers them. */
export function chunksOf(bytes: Uint8Array, tape: Tape): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  const least = Math.ceil(bytes.byteLength / chunksMax);
  const most = Math.max(least, tape.pick([bytes.byteLength, 1 << 16, 16, 3, 1]));
  for (let at = 0; at < bytes.byteLength;) {
    const end = Math.min(bytes.byteLength, at + 1 + (most > 1 ? tape.below(most) : 0));
    chunks.push(bytes.slice(at, end));
    at = end;
  }
  return chunks;
}
