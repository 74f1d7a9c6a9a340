/**
 * One log entry as bytes. A record begins at a multiple of 8; all numbers are little-endian.
 *
 * | bytes | field |
 * |---|---|
 * | 0–3 | body length in bytes |
 * | 4–7 | header checksum: bytes 0–3 and 8–47, beginning from the segment's salt |
 * | 8–11 | chain: checksum over bytes 12 and 16–39 and the body, beginning from the previous record's |
 * | 12 | kind: 1 command, 2 noop, 3 configuration |
 * | 13 | mask of the body, see below |
 * | 14–15 | zero |
 * | 16–23 | index |
 * | 24–31 | term |
 * | 32–39 | log time in milliseconds |
 * | 40–43 | place in this segment up to which everything was known to be synced at the time of writing |
 * | 44–47 | a constant without zeros |
 * | 48– | body, then bytes of 0xff up to a multiple of 8 |
 *
 * The salt keeps a user's value from posing as a record. The chain makes a record that was written to
 * the wrong place, or left over from an older tail, as noticeable as a flipped bit.
 *
 * A sector that was never written reads as zeros; that is how a torn record is told from a damaged
 * one. So each sector's part of a whole record has at least two bytes that are not zero, and no single
 * damaged byte makes it look unwritten: the header sees to that by its checksum and its constant, and
 * where a body would break it, the body is combined with a stream of bytes. The stream depends on the
 * salt, or a value could be made for which none of the 255 streams helps.
 */

import { crc32 } from "node:zlib";
import { assert, unreachable } from "../server/raft/assert.ts";
import { index, term, type Entry, type EntryKind } from "../server/raft/entry.ts";

export const recordHeaderBytes = 48;
export const recordAlignment = 8;
/** What a disk writes or loses as a whole. */
export const sectorBytes = 512;
/** A body longer than this is damage, whatever its header says; it bounds what a scan allocates. */
export const bodyBytesMax = 8 << 20;

const headerEnd = 0x5a96695a;

const kindCodes = ["", "command", "noop", "configuration"] as const;

export const recordBytes = (bodyBytes: number): number =>
  recordHeaderBytes + Math.ceil(bodyBytes / recordAlignment) * recordAlignment;

export interface RecordPlace {
  /** In the segment file. */
  readonly offset: number;
  readonly salt: number;
  /** Of the record before. */
  readonly chain: number;
  readonly syncedOffset: number;
}

/** Writes the entry's record into `target` at `at`; returns its chain value. */
export function encodeRecord(
  entry: Entry,
  place: RecordPlace,
  { target, at }: { target: Buffer; at: number },
): number {
  const bodyBytes = entry.data.byteLength;
  assert(bodyBytes <= bodyBytesMax, "an entry fits into a record");
  const end = at + recordBytes(bodyBytes);
  target.set(entry.data, at + recordHeaderBytes);
  target.fill(0xff, at + recordHeaderBytes + bodyBytes, end);
  const chain = chainOf(entry, place.chain);
  target.writeUInt32LE(bodyBytes, at);
  target.writeUInt32LE(chain, at + 8);
  target[at + 12] = kindCode(entry.kind);
  target[at + 13] = 0;
  target.writeUInt16LE(0, at + 14);
  writeUint64(target, entry.index, at + 16);
  writeUint64(target, entry.term, at + 24);
  writeUint64(target, entry.timeMs, at + 32);
  target.writeUInt32LE(place.syncedOffset, at + 40);
  target.writeUInt32LE(headerEnd, at + 44);
  target.writeUInt32LE(headerChecksum(target, at, place.salt), at + 4);
  if (hasFaintSector(target, { at, end, offset: place.offset })) {
    maskRecord(target.subarray(at, end), place, bodyBytes);
  }
  return chain;
}

export interface RecordHeader {
  readonly bodyBytes: number;
  readonly chain: number;
  readonly kind: EntryKind;
  readonly mask: number;
  readonly index: number;
  readonly term: number;
  readonly timeMs: number;
  readonly syncedOffset: number;
}

/** Null where the bytes at `at` are no header of this segment. There are `recordHeaderBytes` of them. */
export function decodeHeader(source: Buffer, at: number, salt: number): RecordHeader | null {
  const kind = kindCodes[source[at + 12] ?? 0];
  // Cheap tests first: a search for surviving records asks at every eighth byte.
  if (kind === undefined || kind === "" || source.readUInt16LE(at + 14) !== 0) return null;
  if (source.readUInt32LE(at + 44) !== headerEnd) return null;
  if (source.readUInt32LE(at + 4) !== headerChecksum(source, at, salt)) return null;
  const bodyBytes = source.readUInt32LE(at);
  const header = {
    bodyBytes,
    chain: source.readUInt32LE(at + 8),
    kind,
    mask: source[at + 13] ?? 0,
    index: readUint64(source, at + 16),
    term: readUint64(source, at + 24),
    timeMs: readUint64(source, at + 32),
    syncedOffset: source.readUInt32LE(at + 40),
  };
  const isSane =
    bodyBytes <= bodyBytesMax &&
    Number.isSafeInteger(header.index) &&
    Number.isSafeInteger(header.term) &&
    Number.isSafeInteger(header.timeMs);
  return isSane ? header : null;
}

/** The entry behind `header`, with bytes of its own; null where it contradicts the chain. */
export function decodeBody(
  header: RecordHeader,
  before: { readonly chain: number; readonly salt: number },
  body: Uint8Array,
): Entry | null {
  const data = new Uint8Array(body);
  if (header.mask !== 0) applyStream(data, header.mask, before.salt);
  const entry: Entry = {
    index: index(header.index),
    term: term(header.term),
    kind: header.kind,
    timeMs: header.timeMs,
    data,
  };
  return chainOf(entry, before.chain) === header.chain ? entry : null;
}

const chainFields = Buffer.alloc(25);

function chainOf(entry: Entry, previous: number): number {
  chainFields[0] = kindCode(entry.kind);
  writeUint64(chainFields, entry.index, 1);
  writeUint64(chainFields, entry.term, 9);
  writeUint64(chainFields, entry.timeMs, 17);
  return crc32(entry.data, crc32(chainFields, previous));
}

const headerScratch = Buffer.alloc(recordHeaderBytes - 4);

function headerChecksum(source: Buffer, at: number, salt: number): number {
  source.copy(headerScratch, 0, at, at + 4);
  source.copy(headerScratch, 4, at + 8, at + recordHeaderBytes);
  return crc32(headerScratch, salt);
}

function kindCode(kind: EntryKind): number {
  switch (kind) {
    case "command":
      return 1;
    case "noop":
      return 2;
    case "configuration":
      return 3;
    default:
      return unreachable(kind);
  }
}

/** Where a record, or the part of it that is looked at, begins and ends in `bytes`. */
interface Extent {
  readonly at: number;
  readonly end: number;
  /** Of `at`, in the segment file: it says where sectors begin. */
  readonly offset: number;
}

/** Whether some sector's part of the record could be mistaken for one that was never written. */
function hasFaintSector(bytes: Uint8Array, { at, end, offset }: Extent): boolean {
  let start = at;
  while (start < end) {
    const sectorEnd = start + sectorBytes - ((offset + start - at) % sectorBytes);
    const partEnd = Math.min(end, sectorEnd);
    let written = 0;
    for (let i = start; i < partEnd && written < 2; i++) if (bytes[i] !== 0) written++;
    if (written < 2) return true;
    start = partEnd;
  }
  return false;
}

/**
 * Whether some sector that `from` … `end` of the file touches was never written from there on: it is
 * zeros up to the sector's end, for a sector that kept less than all of a record kept nothing behind.
 */
export function hasUnwrittenSector(file: Uint8Array, from: number, end: number): boolean {
  for (let start = from; start < end;) {
    const sectorEnd = (Math.floor(start / sectorBytes) + 1) * sectorBytes;
    const partEnd = Math.min(file.byteLength, sectorEnd);
    let at = start;
    while (at < partEnd && file[at] === 0) at++;
    if (at === partEnd) return true;
    start = sectorEnd;
  }
  return false;
}

/** Finds a stream with which the record has no faint sector, and leaves it applied. */
function maskRecord(record: Buffer, { offset, salt }: RecordPlace, bodyBytes: number): void {
  const body = record.subarray(recordHeaderBytes, recordHeaderBytes + bodyBytes);
  for (let mask = 1; mask <= 0xff; mask++) {
    applyStream(body, mask, salt);
    record[13] = mask;
    record.writeUInt32LE(headerChecksum(record, 0, salt), 4);
    if (!hasFaintSector(record, { at: 0, end: record.byteLength, offset })) return;
    applyStream(body, mask, salt);
  }
  assert(false, "one of 255 streams leaves no sector blank");
}

/** Combines `body` with the stream (Marsaglia's xorshift32) that `mask` and `salt` begin. */
function applyStream(body: Uint8Array, mask: number, salt: number): void {
  let state = Math.imul(salt ^ Math.imul(mask, 0x9e3779b1), 0x85ebca6b) | 1;
  for (let i = 0; i < body.length; i++) {
    if (i % 4 === 0) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
    }
    body[i] = (body[i] ?? 0) ^ (state >>> (8 * (i % 4)));
  }
}

export function writeUint64(target: Buffer, value: number, at: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, "a number on disk is a safe integer");
  target.writeUInt32LE(value >>> 0, at);
  target.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}

export const readUint64 = (source: Buffer, at: number): number =>
  source.readUInt32LE(at) + source.readUInt32LE(at + 4) * 2 ** 32;
