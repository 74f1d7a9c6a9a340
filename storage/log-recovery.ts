/** The log's files at the start: which ones there are, whether they follow each other, what is whole. */

import { must } from "../server/raft/assert.ts";
import { readFully, writeFully, type Disk, type DiskFile } from "./disk.ts";
import type { LogDamage } from "./log-damage.ts";
import type { RaftLogOptions } from "./raft-log.ts";
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  isAllZero,
  readWhole,
  segmentFirstIndex,
  segmentHeaderBytes,
  removeSegment,
  segmentName,
  type SegmentHeader,
} from "./segment.ts";
import { scanSegment, type SegmentTable } from "./segment-scan.ts";
import { notedTruncation } from "./truncation.ts";

export interface Segment {
  readonly path: string;
  readonly header: SegmentHeader;
  /** Open while it is written to or was read lately: a log may have more files than a process may. */
  file: DiskFile | null;
  /** Null until it has been verified, and again when it is an old one and others were needed since. */
  table: SegmentTable | null;
  isVerified: boolean;
  /** Of the file, as long as it is not the last one. */
  bytes: number;
}

/** Its name is all there is of it, and tells where the file before it ends. */
export interface HalfMade {
  readonly path: string;
  readonly firstIndex: number;
}

type Failed = { readonly ok: false; readonly damage: LogDamage };

export type OpenSegments =
  | {
      readonly ok: true;
      readonly segments: Segment[];
      /** A last file that a crash left before anything in it counted; to be removed. */
      readonly halfMade: HalfMade | null;
      /** Where a crash interrupted a truncation; to be finished. */
      readonly until: number | undefined;
    }
  | Failed;

export type Verified = { readonly ok: true; readonly droppedBytes: number } | Failed;

const damaged = (damage: LogDamage): Failed => ({ ok: false, damage });

/** Reads the header of every segment; the records are left for later. Finishes a truncation. */
export function openSegments(options: Required<RaftLogOptions>): OpenSegments {
  const { disk, directory, group, replayFrom } = options;
  const until = notedTruncation(disk, directory) ?? undefined;
  const found = disk
    .list(directory)
    .map(segmentFirstIndex)
    .filter((firstIndex) => firstIndex !== null);
  const firstIndexes = found.filter((firstIndex) => until === undefined || firstIndex <= until);
  for (const cut of found.slice(firstIndexes.length).toReversed()) {
    removeSegment(disk, directory, `${directory}/${segmentName(cut)}`);
  }
  if (firstIndexes.length === 0) {
    const detail = "the log has no files";
    return damaged({ path: directory, offset: 0, detail, segment: 0, firstLost: 1 });
  }
  const segments: Segment[] = [];
  for (let i = 0; i < firstIndexes.length; i++) {
    const firstIndex = must(firstIndexes[i], "i is in range");
    const isLast = i === firstIndexes.length - 1;
    const path = `${directory}/${segmentName(firstIndex)}`;
    const damagedHere = (detail: string, firstLost = firstIndex): Failed =>
      damaged({ path, offset: 0, detail, segment: firstIndex, firstLost });
    const { header, isBlank, bytes } = readHeader(disk, path);
    if (!header) {
      if (isLast && i > 0 && isBlank) {
        return { ok: true, segments, halfMade: { path, firstIndex }, until };
      }
      return damagedHere("its header is damaged");
    }
    // Those before the first are compacted. They may not be missed: nothing in them is needed.
    if (i === 0 && header.firstIndex > replayFrom) {
      const detail = `the files before it, with entry ${replayFrom}, are missing`;
      return damagedHere(detail, replayFrom);
    }
    const previousFirstIndex = segments[i - 1]?.header.firstIndex ?? header.previousFirstIndex;
    if (header.firstIndex !== firstIndex || header.previousFirstIndex !== previousFirstIndex) {
      return damagedHere("it does not follow the file before it: a file is missing or misnamed");
    }
    if (header.group !== group) return damagedHere(`it belongs to group ${header.group}`);
    segments.push({ path, header, file: null, table: null, isVerified: false, bytes });
  }
  return { ok: true, segments, halfMade: null, until };
}

interface FoundHeader {
  readonly header: SegmentHeader | null;
  /** Nothing stands behind the header. */
  readonly isBlank: boolean;
  readonly bytes: number;
}

function readHeader(disk: Disk, path: string): FoundHeader {
  const file = disk.open(path, "read");
  try {
    const start = Buffer.alloc(segmentHeaderBytes);
    const header = decodeSegmentHeader(start.subarray(0, readFully(file, 0, start)));
    const isBlank = !header && isAllZero(readWhole(file), segmentHeaderBytes);
    return { header, isBlank, bytes: file.size() };
  } finally {
    file.close();
  }
}

/**
 * Reads the whole segment, gives it its table, and checks that its successor follows from it.
 * A half-made one was begun after this one had been synced, and has no header yet.
 */
export function verify(
  segment: Segment,
  next: Segment | HalfMade | undefined,
  until?: number,
): Verified {
  const { path, header } = segment;
  const file = must(segment.file, "a segment is open while it is verified");
  const result = scanSegment(readWhole(file), header, next ? undefined : until);
  const { table } = result;
  const firstLost = header.firstIndex + table.offsets.length;
  const place = { path, offset: table.end, segment: header.firstIndex, firstLost };
  if (result.kind === "damaged") return damaged({ ...place, detail: result.detail });
  if (next && (result.kind === "torn" || !follows(next, header, table))) {
    return damaged({ ...place, detail: "its last records are missing" });
  }
  segment.table = table;
  segment.isVerified = true;
  return { ok: true, droppedBytes: result.kind === "torn" ? result.droppedBytes : 0 };
}

function follows(next: Segment | HalfMade, header: SegmentHeader, table: SegmentTable): boolean {
  const end = header.firstIndex + table.offsets.length;
  if (!("header" in next)) return next.firstIndex === end;
  return (
    next.header.firstIndex === end &&
    next.header.chain === (table.chains[table.chains.length - 1] ?? header.chain) &&
    next.header.previousTerm === (table.terms[table.terms.length - 1] ?? header.previousTerm)
  );
}

/**
 * Writes the header again, and every record that no later one knows to be synced: the last batch,
 * mostly. The sync that the process before died of may have failed: Linux then calls the pages clean,
 * and a sync of clean pages succeeds and writes nothing (Rebello et al., "Can Applications Recover from
 * fsync Failures?", ATC 2020).
 */
export function rewriteUnvouched({ file, header, table }: Segment): void {
  const open = must(file, "the last segment is open");
  const { synced, end } = must(table, "the last segment was scanned");
  const from = Math.max(synced, segmentHeaderBytes);
  const records = Buffer.alloc(Math.max(0, end - from));
  readFully(open, from, records);
  writeFully(open, 0, encodeSegmentHeader(header));
  if (records.byteLength > 0) writeFully(open, from, records);
}
