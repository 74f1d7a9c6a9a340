/**
 * Puts an empty log that starts behind a snapshot in the place of the old one. The state machine's
 * switch to the snapshot comes between the note and the removal: a start that finds the note and the
 * new state finishes the work, one that finds the note and the old state forgets it.
 */

import { must } from "../server/raft/assert.ts";
import { index, term, type Index, type Term } from "../server/raft/entry.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { readNote, removeNote, writeNote } from "./log-note.ts";
import { createSegment, segmentFirstIndex, type SegmentHeader } from "./segment.ts";

const name = "resetting";

/** The last entry that a snapshot stands for. */
export interface LogBase {
  readonly lastIndex: Index;
  readonly lastTerm: Term;
}

export interface ResetOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly group: number;
  readonly drawSalt: () => number;
}

export const noteReset = (disk: Disk, directory: string, base: LogBase): void =>
  writeNote(disk, directory, name, base.lastIndex, base.lastTerm);

export function notedReset(disk: Disk, directory: string): LogBase | null {
  const noted = readNote(disk, directory, name, 2);
  if (noted === null) return null;
  const [lastIndex, lastTerm] = noted;
  return { lastIndex: index(must(lastIndex, "it has two")), lastTerm: term(must(lastTerm, "two")) };
}

export const forgetReset = (disk: Disk, directory: string): void =>
  removeNote(disk, directory, name);

/** Only under a durable note, which stays: a crash at any point of this does it again. */
export function replaceSegments(
  { disk, directory, group, drawSalt }: ResetOptions,
  { lastIndex, lastTerm }: LogBase,
): { header: SegmentHeader; file: DiskFile } {
  for (const found of disk.list(directory)) {
    if (segmentFirstIndex(found) !== null) disk.remove(`${directory}/${found}`);
  }
  const header: SegmentHeader = {
    group,
    salt: drawSalt(),
    firstIndex: lastIndex + 1,
    previousTerm: lastTerm,
    chain: 0,
    previousFirstIndex: 0,
  };
  // Its directory sync makes the removals durable as well.
  return { header, file: createSegment(disk, directory, header) };
}
