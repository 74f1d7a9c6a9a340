/**
 * What is done to a damaged log so that it can be opened again. What stands before the damage is
 * verified by its chain; what stands behind it cannot be vouched for, although much of it may be whole.
 *
 * - Where the damaged files hold nothing that the state machine does not hold as well, they are dropped
 *   as compaction would have done it: nothing is lost.
 * - Otherwise entries that this node has acknowledged may be gone. The note says so before a file is
 *   changed: the node then has no vote until a leader has given them back (`raft/recovery.ts`). The log
 *   is cut before the damage or, where the state machine reaches further, begun anew behind that.
 *
 * A crash in the middle leaves a damaged log, and the note: the next start does the rest.
 */

import type { AppliedState } from "../server/state-machine/port.ts";
import type { Disk } from "./disk.ts";
import { forgetReset, noteReset } from "./log-reset.ts";
import type { MendingNote } from "./mending-note.ts";
import type { LogDamage } from "./log-damage.ts";
import { removeSegment, segmentFirstIndex, segmentName } from "./segment.ts";
import { copyAside, setAside, setAsideDirectory } from "./set-aside.ts";
import { forgetTruncation, noteTruncation } from "./truncation.ts";

export interface LogMendingOptions {
  readonly disk: Disk;
  /** The group's own directory. */
  readonly group: string;
  readonly log: string;
  readonly note: MendingNote;
  readonly applied: AppliedState;
  /** Makes `applied` survive a power loss. */
  readonly syncMachine: () => void;
  /** Whether there may be somebody to give back what is lost. */
  readonly hasPeers: boolean;
}

/** Returns whether the log may be opened again. Where it may not, nothing was changed. */
export function mendLog(options: LogMendingOptions, damage: LogDamage): boolean {
  const { disk, log, applied } = options;
  const { appliedIndex } = applied;
  const firstIndexes = disk.exists(log) ? segmentsOf(disk, log) : [];
  const next = firstIndexes.find((firstIndex) => firstIndex > damage.segment);
  if (next !== undefined && next <= appliedIndex + 1) {
    options.syncMachine();
    for (const firstIndex of firstIndexes.filter((candidate) => candidate < next)) {
      removeSegment(disk, log, `${log}/${segmentName(firstIndex)}`);
    }
    return true;
  }
  if (!options.hasPeers) return false;
  options.note.ensure("log", `${damage.path}: ${damage.detail}`);
  const kept = firstIndexes.filter((firstIndex) => firstIndex < damage.firstLost);
  if (damage.firstLost > appliedIndex && kept.length > 0) cut(options, firstIndexes, damage);
  else beginAnew(options, firstIndexes);
  return true;
}

/** The files behind go, the one with the damage in it is copied, and cut when the log is opened. */
function cut(
  { disk, group, log }: LogMendingOptions,
  firstIndexes: readonly number[],
  { firstLost }: LogDamage,
): void {
  const pathOf = (firstIndex: number): string => `${log}/${segmentName(firstIndex)}`;
  const last = firstIndexes.findLast((firstIndex) => firstIndex < firstLost) ?? 0;
  for (const firstIndex of firstIndexes.toReversed()) {
    if (firstIndex >= firstLost) setAside(disk, group, pathOf(firstIndex));
  }
  copyAside(disk, group, pathOf(last));
  disk.syncDirectory(setAsideDirectory(group));
  forgetTruncation(disk, log);
  noteTruncation(disk, log, firstLost);
}

/** The state machine takes the place of everything in the log. */
function beginAnew(
  { disk, group, log, applied, syncMachine }: LogMendingOptions,
  firstIndexes: readonly number[],
): void {
  syncMachine();
  disk.makeDirectory(log);
  disk.syncDirectory(group);
  for (const firstIndex of firstIndexes) {
    setAside(disk, group, `${log}/${segmentName(firstIndex)}`);
  }
  if (firstIndexes.length > 0) disk.syncDirectory(setAsideDirectory(group));
  forgetTruncation(disk, log);
  forgetReset(disk, log);
  noteReset(disk, log, { lastIndex: applied.appliedIndex, lastTerm: applied.appliedTerm });
}

const segmentsOf = (disk: Disk, log: string): number[] =>
  disk
    .list(log)
    .map(segmentFirstIndex)
    .filter((firstIndex) => firstIndex !== null);
