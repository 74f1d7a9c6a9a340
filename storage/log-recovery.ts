/** The log's files at the start: which ones there are, whether they follow each other, what is whole. */

import { must } from "../server/raft/assert.ts";
import { readFully, type Disk, type DiskFile } from "./disk.ts";
import type { LogDamage, RaftLogOptions } from "./raft-log.ts";
import {
  decodeSegmentHeader,
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

const damaged = (path: string, offset: number, detail: string): Failed => ({
  ok: false,
  damage: { path, offset, detail },
});

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
  if (firstIndexes.length === 0) return damaged(directory, 0, "the log has no files");
  const segments: Segment[] = [];
  for (let i = 0; i < firstIndexes.length; i++) {
    const firstIndex = must(firstIndexes[i], "i is in range");
    const isLast = i === firstIndexes.length - 1;
    const path = `${directory}/${segmentName(firstIndex)}`;
    const { header, isBlank, bytes } = readHeader(disk, path);
    if (!header) {
      if (isLast && i > 0 && isBlank) {
        return { ok: true, segments, halfMade: { path, firstIndex }, until };
      }
      return damaged(path, 0, "its header is damaged");
    }
    // Those before the first are compacted. They may not be missed: nothing in them is needed.
    if (i === 0 && header.firstIndex > replayFrom) {
      return damaged(path, 0, `the files before it, with entry ${replayFrom}, are missing`);
    }
    const previousFirstIndex = segments[i - 1]?.header.firstIndex ?? header.previousFirstIndex;
    if (header.firstIndex !== firstIndex || header.previousFirstIndex !== previousFirstIndex) {
      const detail = "it does not follow the file before it: a file is missing or misnamed";
      return damaged(path, 0, detail);
    }
    if (header.group !== group) return damaged(path, 0, `it belongs to group ${header.group}`);
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
  if (result.kind === "damaged") return damaged(path, result.offset, result.detail);
  const { table } = result;
  if (next && (result.kind === "torn" || !follows(next, header, table))) {
    return damaged(path, table.end, "its last records are missing");
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
