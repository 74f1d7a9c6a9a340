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
 * | 40–47 | place in this segment up to which everything was known to be synced at the time of writing |
 * | 48– | body, then bytes of 0xff up to a multiple of 8 |
 *
 * The salt keeps a user's value from posing as a record. The chain makes a record that was written to
 * the wrong place, or left over from an older tail, as noticeable as a flipped bit.
 *
 * A sector that was never written reads as zeros; that is how a torn record is told from a damaged
 * one. So no sector's part of a whole record may be zeros by itself: where a body would make it so,
 * every byte of the body is combined with a mask.
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
  writeUint64(target, place.syncedOffset, at + 40);
  maskBody(target.subarray(at, end), place.offset, bodyBytes);
  target.writeUInt32LE(headerChecksum(target, at, place.salt), at + 4);
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
    syncedOffset: readUint64(source, at + 40),
  };
  const isSane =
    bodyBytes <= bodyBytesMax &&
    Number.isSafeInteger(header.index) &&
    Number.isSafeInteger(header.term) &&
    Number.isSafeInteger(header.timeMs) &&
    Number.isSafeInteger(header.syncedOffset);
  return isSane ? header : null;
}

/** The entry behind `header`, with bytes of its own; null where it contradicts the chain. */
export function decodeBody(
  header: RecordHeader,
  previousChain: number,
  body: Uint8Array,
): Entry | null {
  const data = new Uint8Array(body);
  if (header.mask !== 0)
    for (let i = 0; i < data.length; i++) data[i] = (data[i] ?? 0) ^ header.mask;
  const entry: Entry = {
    index: index(header.index),
    term: term(header.term),
    kind: header.kind,
    timeMs: header.timeMs,
    data,
  };
  return chainOf(entry, previousChain) === header.chain ? entry : null;
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

/** Whether some sector's part of `record`, which begins at `offset` of its file, is all zeros. */
export function hasBlankSector(record: Uint8Array, offset: number): boolean {
  let start = 0;
  while (start < record.byteLength) {
    const end = Math.min(record.byteLength, start + sectorBytes - ((offset + start) % sectorBytes));
    let at = start;
    while (at < end && record[at] === 0) at++;
    if (at === end) return true;
    start = end;
  }
  return false;
}

/** Nearly always the first test is the last: a body without a long run of zeros needs no mask. */
function maskBody(record: Buffer, offset: number, bodyBytes: number): void {
  let mask = 0;
  while (hasBlankSector(record, offset) && mask < 0xff) {
    const next = mask + 1;
    for (let i = recordHeaderBytes; i < recordHeaderBytes + bodyBytes; i++) {
      record[i] = (record[i] ?? 0) ^ mask ^ next;
    }
    mask = next;
    record[13] = mask;
  }
}

export function writeUint64(target: Buffer, value: number, at: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, "a number on disk is a safe integer");
  target.writeUInt32LE(value >>> 0, at);
  target.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}

export const readUint64 = (source: Buffer, at: number): number =>
  source.readUInt32LE(at) + source.readUInt32LE(at + 4) * 2 ** 32;
