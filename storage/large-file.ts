/** Giving back the room of large files: that takes the system a while, and nobody has to wait for it. */

import { close, closeSync, fstat, ftruncate, openSync, rmSync } from "node:fs";

/** In one step. Between two of them the disk gets to what others want of it. */
const stepBytes = 64 << 20;

/** The name is free when it returns; there may have been no such file. */
export function removeLarge(path: string): void {
  replaceLarge(path, () => rmSync(path, { force: true }));
}

/** Runs what takes the name away from the file at `path`, and then gives its room back. */
export function replaceLarge(path: string, replace: () => void): void {
  const fd = openOrNull(path);
  try {
    replace();
  } catch (error) {
    if (fd !== null) closeSync(fd);
    throw error;
  }
  if (fd !== null) giveBack(fd);
}

/** Of a file that has no name any more, and no other descriptor. An error leaves it to the system. */
export function giveBack(fd: number): void {
  const finish = (): void => close(fd, () => {});
  fstat(fd, (error, stats) => {
    // Whoever has made another name for it keeps it.
    if (error === null && stats.nlink === 0) cut(fd, stats.size, finish);
    else finish();
  });
}

function cut(fd: number, bytes: number, finish: () => void): void {
  if (bytes <= stepBytes) {
    finish();
    return;
  }
  const left = bytes - stepBytes;
  ftruncate(fd, left, (error) => {
    if (error === null) cut(fd, left, finish);
    else finish();
  });
}

function openOrNull(path: string): number | null {
  try {
    return openSync(path, "r+");
  } catch {
    // It is not there, or is nobody's to be cut: then it goes as it is.
    return null;
  }
}
