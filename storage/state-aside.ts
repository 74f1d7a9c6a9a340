/** Moves a damaged state file out of the way, and sees to it that nothing of it meets the new one. */

import { existsSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { syncDirectory } from "./state-schema.ts";

const companions = ["-wal", "-shm", "-journal"] as const;

/**
 * The database goes first: without it, what a crash leaves beside is of no meaning and removed at the
 * next opening. One that is in `directory` already came first and stays.
 */
export function setStateAside(path: string, directory: string): void {
  move(path, directory);
  syncDirectory(dirname(path));
  for (const end of companions) move(path + end, directory);
  syncDirectory(dirname(path));
}

/** A write-ahead log without its database would be taken for the next one's. */
export function removeOrphans(path: string): void {
  if (existsSync(path)) return;
  for (const end of companions) rmSync(path + end, { force: true });
}

function move(path: string, directory: string): void {
  if (!existsSync(path)) return;
  const target = join(directory, basename(path));
  if (existsSync(target)) rmSync(path);
  else renameSync(path, target);
}
