/** One file of the log: a header, then records, then zeros that were written ahead. */

import { crc32 } from "node:zlib";
import { writeFully, readFully, type Disk, type DiskFile } from "./disk.ts";
import { readUint64, writeUint64 } from "./record.ts";

export const segmentHeaderBytes = 64;

const magic = Buffer.from("kvlog\0\0\x01", "latin1");

/**
 * | bytes | field |
 * |---|---|
 * | 0–7 | magic, with the format's version in the last byte |
 * | 8–11 | group |
 * | 12–15 | salt of the record headers |
 * | 16–23 | first index |
 * | 24–31 | term of the entry before the first |
 * | 32–35 | chain value to begin from |
 * | 40–47 | first index of the segment before; 0 where there is none |
 * | 60–63 | checksum of bytes 0–59 |
 */
export interface SegmentHeader {
  readonly group: number;
  readonly salt: number;
  readonly firstIndex: number;
  readonly previousTerm: number;
  readonly chain: number;
  readonly previousFirstIndex: number;
}

export const segmentName = (firstIndex: number): string =>
  `${String(firstIndex).padStart(16, "0")}.log`;

/** The first index in a segment's file name; null for other files. */
export function segmentFirstIndex(name: string): number | null {
  const digits = /^(\d{16})\.log$/.exec(name)?.[1];
  return digits === undefined ? null : Number(digits);
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(segmentHeaderBytes);
  magic.copy(bytes);
  bytes.writeUInt32LE(header.group, 8);
  bytes.writeUInt32LE(header.salt, 12);
  writeUint64(bytes, header.firstIndex, 16);
  writeUint64(bytes, header.previousTerm, 24);
  bytes.writeUInt32LE(header.chain, 32);
  writeUint64(bytes, header.previousFirstIndex, 40);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 60)), 60);
  return bytes;
}

export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | null {
  if (bytes.byteLength < segmentHeaderBytes || !bytes.subarray(0, 8).equals(magic)) return null;
  if (bytes.readUInt32LE(60) !== crc32(bytes.subarray(0, 60))) return null;
  const header = {
    group: bytes.readUInt32LE(8),
    salt: bytes.readUInt32LE(12),
    firstIndex: readUint64(bytes, 16),
    previousTerm: readUint64(bytes, 24),
    chain: bytes.readUInt32LE(32),
    previousFirstIndex: readUint64(bytes, 40),
  };
  const { firstIndex, previousTerm, previousFirstIndex } = header;
  const isSane = [firstIndex, previousTerm, previousFirstIndex].every(Number.isSafeInteger);
  return isSane ? header : null;
}

/** Creates the file with its header, durable with its directory entry before it returns. */
export function createSegment(disk: Disk, directory: string, header: SegmentHeader): DiskFile {
  const file = disk.open(`${directory}/${segmentName(header.firstIndex)}`, "create");
  try {
    writeFully(file, 0, encodeSegmentHeader(header));
    file.sync();
    disk.syncDirectory(directory);
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Durably gone when it returns. */
export function removeSegment(disk: Disk, directory: string, path: string): void {
  disk.remove(path);
  disk.syncDirectory(directory);
}

/** The whole file; its size is bounded by the segment size and one record. */
export function readWhole(file: DiskFile): Buffer {
  const bytes = Buffer.alloc(file.size());
  return bytes.subarray(0, readFully(file, 0, bytes));
}

export function isAllZero(bytes: Uint8Array, from: number): boolean {
  for (let i = from; i < bytes.byteLength; i++) if (bytes[i] !== 0) return false;
  return true;
}
