/** A log with small segments on a disk that forgets, and entries to fill it with. */

import { index, term, type Entry } from "../../server/raft/entry.ts";
import type { LogBase } from "../../storage/log-reset.ts";
import { RaftLog, type OpenLogResult } from "../../storage/raft-log.ts";
import { MemoryDisk, seeded } from "./memory-disk.ts";

export const directory = "log";

const sizes = { segmentBytes: 4096, preallocateBytes: 1024, cacheBytes: 600 };

export const entry = (at: number, ofTerm = 1): Entry => ({
  index: index(at),
  term: term(ofTerm),
  kind: "command",
  timeMs: at * 10,
  data: new TextEncoder().encode(`entry ${at} of term ${ofTerm}`),
});

export const entries = (from: number, through: number, ofTerm = 1): Entry[] =>
  Array.from({ length: through - from + 1 }, (_, count) => entry(from + count, ofTerm));

export const base = (lastIndex: number, lastTerm: number): LogBase => ({
  lastIndex: index(lastIndex),
  lastTerm: term(lastTerm),
});

/** As a start does it with a state machine that has applied everything up to `applied`. */
export function open(disk: MemoryDisk, applied = 0): OpenLogResult {
  const drawSalt = (): number => Math.floor(seeded(disk.operations + 7)() * 2 ** 32);
  const options = { ...sizes, disk, directory, group: 0, drawSalt };
  return RaftLog.open({ ...options, replayFrom: index(applied + 1) });
}

export function opened(disk: MemoryDisk, applied = 0): RaftLog {
  const result = open(disk, applied);
  if (!result.ok) throw new Error(`damaged: ${JSON.stringify(result.damage)}`);
  return result.log;
}

export function append(log: RaftLog, batch: readonly Entry[]): void {
  log.append(batch);
  log.sync();
}

/** With entries 1 … `through` in it, synced. */
export function filled(through: number): { disk: MemoryDisk; log: RaftLog } {
  const disk = new MemoryDisk();
  disk.makeDirectory(directory);
  RaftLog.create({ disk, directory, group: 0, drawSalt: () => 12_345 });
  const log = opened(disk);
  for (let from = 1; from <= through; from += 5) {
    append(log, entries(from, Math.min(from + 4, through)));
  }
  return { disk, log };
}

export const all = (log: RaftLog): Entry[] =>
  log.lastIndex < log.firstIndex ? [] : log.entries(log.firstIndex, log.lastIndex, Infinity);

class Kill extends Error {}

/** Kills the process before its `count`th operation from now on; what it wrote stays in the cache. */
export function killAt(disk: MemoryDisk, count: number, run: () => void): boolean {
  const start = disk.operations;
  disk.beforeOperation = () => {
    if (disk.operations - start >= count) throw new Kill();
  };
  try {
    run();
    return false;
  } catch (error) {
    if (!(error instanceof Kill)) throw error;
    return true;
  } finally {
    disk.beforeOperation = () => {};
  }
}
