/** Reads a segment from its first record to its end, and judges what stands where no record should. */

import {
  decodeBody,
  decodeHeader,
  hasUnwrittenSector,
  recordAlignment,
  recordBytes,
  recordHeaderBytes,
} from "./record.ts";
import { isAllZero, segmentHeaderBytes, type SegmentHeader } from "./segment.ts";

/** Where each record of a segment is, by its position from the first; the arrays run in parallel. */
export interface SegmentTable {
  readonly offsets: number[];
  readonly terms: number[];
  readonly chains: number[];
  /** Behind the last record. */
  end: number;
  /** One of the records says that everything before here was synced when it was written. */
  synced: number;
}

export const emptyTable = (): SegmentTable => ({
  offsets: [],
  terms: [],
  chains: [],
  end: segmentHeaderBytes,
  synced: 0,
});

export type ScanResult =
  | { readonly kind: "clean"; readonly table: SegmentTable }
  /** A write that a crash interrupted: nothing from `table.end` on was ever acknowledged. */
  | { readonly kind: "torn"; readonly table: SegmentTable; readonly droppedBytes: number }
  /** The damage is at `table.end`; before it, everything is whole. */
  | { readonly kind: "damaged"; readonly table: SegmentTable; readonly detail: string };

/** `until`: an index from which on the segment is being cut off; what is there is not looked at. */
export function scanSegment(
  bytes: Buffer,
  header: SegmentHeader,
  until: number = Infinity,
): ScanResult {
  const table = emptyTable();
  let chain = header.chain;
  let lastTerm = header.previousTerm;
  for (;;) {
    const at = table.end;
    if (header.firstIndex + table.offsets.length === until) return torn(bytes, table);
    const record =
      at + recordHeaderBytes <= bytes.length ? decodeHeader(bytes, at, header.salt) : null;
    if (!record) break;
    const end = at + recordBytes(record.bodyBytes);
    if (end > bytes.length) break;
    const body = bytes.subarray(at + recordHeaderBytes, at + recordHeaderBytes + record.bodyBytes);
    if (!decodeBody(record, { chain, salt: header.salt }, body)) break;
    const isNext = record.index === header.firstIndex + table.offsets.length;
    if (!isNext || record.term < lastTerm || record.syncedOffset > at) {
      return { kind: "damaged", table, detail: "a record stands in another's place" };
    }
    table.offsets.push(at);
    table.terms.push(record.term);
    table.chains.push(record.chain);
    table.end = end;
    chain = record.chain;
    lastTerm = record.term;
    table.synced = Math.max(table.synced, record.syncedOffset);
  }
  if (isAllZero(bytes, table.end)) return { kind: "clean", table };
  return judge(bytes, header, table);
}

/**
 * There is something behind the last whole record. It is the rest of a torn write only where all of
 * this holds; anything else is damage:
 * - the file ends inside the record, or one of its sectors was never written from there on (is zeros);
 * - no record, before or behind it, says that this place had been synced. Records of the same
 *   unsynced write may well have survived behind it: sectors reach the disk in any order;
 * - the record is not found behind its place: a disk that wrote it somewhere else leaves its own place
 *   as blank as one that never wrote it.
 */
function judge(bytes: Buffer, header: SegmentHeader, table: SegmentTable): ScanResult {
  const at = table.end;
  const damaged = (detail: string): ScanResult => ({ kind: "damaged", table, detail });
  const next = header.firstIndex + table.offsets.length;
  const behind = lookBehind(bytes, { at, next, salt: header.salt });
  if (Math.max(table.synced, behind.synced) > at) {
    return damaged("a record that had been synced is not whole");
  }
  if (behind.isNextElsewhere) return damaged("its record was written to another place");
  return isTorn(bytes, at, header.salt)
    ? torn(bytes, table)
    : damaged("a record contradicts its checksum");
}

function isTorn(bytes: Buffer, at: number, salt: number): boolean {
  const record = at + recordHeaderBytes <= bytes.length ? decodeHeader(bytes, at, salt) : null;
  const end = at + (record ? recordBytes(record.bodyBytes) : recordHeaderBytes);
  return end > bytes.length || hasUnwrittenSector(bytes, at, end);
}

/** The zeros written ahead are not counted. */
function torn(bytes: Buffer, table: SegmentTable): ScanResult {
  const written = bytes.findLastIndex((byte) => byte !== 0) + 1;
  return { kind: "torn", table, droppedBytes: Math.max(0, written - table.end) };
}

/**
 * What the records behind `at` say: the furthest place that one of them knew to be synced, and whether
 * one of them is the record of entry `next`, which belongs to `at`.
 */
function lookBehind(
  bytes: Buffer,
  { at, next, salt }: { at: number; next: number; salt: number },
): { synced: number; isNextElsewhere: boolean } {
  let synced = 0;
  let isNextElsewhere = false;
  const last = bytes.length - recordHeaderBytes;
  for (let offset = at + recordAlignment; offset <= last; offset += recordAlignment) {
    const record = decodeHeader(bytes, offset, salt);
    if (!record) continue;
    synced = Math.max(synced, record.syncedOffset);
    isNextElsewhere ||= record.index === next;
  }
  return { synced, isNextElsewhere };
}
