/** How many files and sockets this process may have open, so that connections leave room for the disk. */

import { readFileSync } from "node:fs";

/** For the log, the database, the peers, and what the runtime keeps for itself. */
const reservedMax = 128;
/** However few descriptors there are. */
const connectionsMin = 16;

/** The system's limit for this process; null where it does not tell. */
function descriptorsMax(): number | null {
  try {
    const match = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
    return match ? Number(match[1]) : null;
  } catch {
    return null;
  }
}

/**
 * Connections that may be open at once: `wanted`, or fewer where descriptors are short. Without one
 * left the process could take no connection at all, and a file of the log that cannot be opened would
 * end it.
 */
export function connectionsWithin(wanted: number, descriptors = descriptorsMax()): number {
  if (descriptors === null) return wanted;
  return Math.max(connectionsMin, Math.min(wanted, descriptors - reservedMax));
}
