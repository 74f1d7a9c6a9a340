/** How much of the log may go, and when. */

import type { Limits } from "./limits.ts";
import type { LogStore } from "./ports.ts";
import { index, type Index } from "./raft/entry.ts";

export interface CompactionBounds {
  /** What the state machine holds whatever happens: nothing behind it ever goes. */
  readonly syncedIndex: Index;
  /** Where a follower will go on that is, or may be, sent the snapshot there is; null without one. */
  readonly pinnedIndex: Index | null;
  /** The furthest that every member which answers is known to be; null where nobody has to be fed. */
  readonly matchIndex: Index | null;
  /** Without what was deleted. */
  readonly stateBytes: number;
  readonly limits: Pick<Limits, "logEntriesMax" | "logTailBytesMin" | "logBytesMax">;
}

/**
 * Up to where the log should be dropped. A tail stays for followers that come back, and more for one
 * that is here and behind, but not more than the state would be, or `logBytesMax` where that is more:
 * whoever needs what is gone is sent the state. (With less, one that has just been sent a large state
 * would be sent it again before it has read what was written meanwhile, and never get to the end.) What
 * comes behind a snapshot that is on its way stays as well, as far: a follower that never gets to the
 * end of one must not fill this disk.
 */
export function compactionTarget(log: LogStore, bounds: CompactionBounds): Index {
  const { limits, matchIndex, pinnedIndex, stateBytes } = bounds;
  const tailBytesMax = Math.max(limits.logTailBytesMin, stateBytes / 2);
  const behindTail = Math.max(
    log.lastIndex - limits.logEntriesMax,
    log.lastBeyond(Math.min(tailBytesMax, limits.logBytesMax)),
  );
  const fedBytes = fedBytesMax(bounds);
  const wanted = Math.max(Math.min(behindTail, matchIndex ?? Infinity), log.lastBeyond(fedBytes));
  const pinBytesMax = limits.logBytesMax + fedBytes;
  return index(Math.max(Math.min(wanted, pinnedIndex ?? Infinity), log.lastBeyond(pinBytesMax)));
}

/** What keeps its place in the log for one that lags behind, in bytes. */
const fedBytesMax = ({
  limits,
  stateBytes,
}: Pick<CompactionBounds, "limits" | "stateBytes">): number =>
  Math.max(limits.logBytesMax, stateBytes);

/** Whatever anybody asks for, this stays: for who is sent a snapshot, and for who answers and lacks it. */
export const neededFrom = ({
  matchIndex,
  pinnedIndex,
}: Pick<CompactionBounds, "matchIndex" | "pinnedIndex">): number =>
  Math.min(matchIndex ?? Infinity, pinnedIndex ?? Infinity);

/**
 * Whether the log behind a snapshot on its way has taken no larger part of `part` of its room than the
 * snapshot has gone of its way (0…1).
 */
export function isAheadOfLog(
  log: LogStore,
  { gone, part }: { gone: number; part: number },
  bounds: Pick<CompactionBounds, "pinnedIndex" | "stateBytes" | "limits">,
): boolean {
  const { pinnedIndex } = bounds;
  if (pinnedIndex === null) return true;
  return log.lastBeyond(gone * part * fedBytesMax(bounds)) < pinnedIndex;
}

/**
 * A checkpoint comes by itself with every few megabytes of changes. It is asked for where that is so
 * much that it alone keeps the log long.
 */
export const isCheckpointDue = (
  target: Index,
  { syncedIndex, limits }: Pick<CompactionBounds, "syncedIndex" | "limits">,
): boolean => target - syncedIndex > Math.max(16, limits.logEntriesMax / 2);
