/** How long one `fdatasync` takes on a disk: what every durable write has to wait for at least. */

import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";

const syncsPerProbe = 500;

/** Milliseconds of 4 KiB written over bytes that are there, then synced, again and again. */
export function syncTimes(directory: string): number[] {
  const path = join(directory, "sync-probe");
  const fd = openSync(path, "w+");
  const block = new Uint8Array(4096).fill(1);
  writeSync(fd, new Uint8Array(4096 * 64));
  fdatasyncSync(fd);
  const times: number[] = [];
  for (let i = 0; i < syncsPerProbe; i++) {
    const start = performance.now();
    writeSync(fd, block, 0, block.byteLength, 4096 * (i % 64));
    fdatasyncSync(fd);
    times.push(performance.now() - start);
  }
  closeSync(fd);
  rmSync(path);
  return times;
}

/** What `share` of the ascending numbers do not exceed. */
export const percentile = (sorted: ArrayLike<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
