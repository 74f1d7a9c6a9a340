/** Moves a damaged state file out of the way of a new one. */

import { existsSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { syncDirectory } from "./state-schema.ts";

const companions = ["-wal", "-shm", "-journal"] as const;

/**
 * The database goes first: what a crash leaves beside it, SQLite does not take into a new one. One that
 * is in `directory` already came first and stays.
 */
export function setStateAside(path: string, directory: string): void {
  move(path, directory);
  syncDirectory(dirname(path));
  for (const end of companions) move(path + end, directory);
  syncDirectory(dirname(path));
}

function move(path: string, directory: string): void {
  if (!existsSync(path)) return;
  const target = join(directory, basename(path));
  if (existsSync(target)) rmSync(path);
  else renameSync(path, target);
}
