/**
 * Where damaged files go while the node is mended, so that a person can still look at them: in the
 * group's directory, one of each name, until everything is whole again.
 */

import { basename } from "node:path";
import { writeFully, type Disk, type DiskFile } from "./disk.ts";
import { readWhole } from "./segment.ts";

export const setAsideDirectory = (group: string): string => `${group}/damaged`;

/** Moves a file of the group there. One that is there already came first and knows more: it stays. */
export function setAside(disk: Disk, group: string, path: string): void {
  const target = targetOf(disk, group, path);
  if (target === null) disk.remove(path);
  else disk.rename(path, target);
}

/** Copies a file there that is about to be cut. */
export function copyAside(disk: Disk, group: string, path: string): void {
  const target = targetOf(disk, group, path);
  if (target === null) return;
  const from = disk.open(path, "read");
  let to: DiskFile | null = null;
  try {
    to = disk.open(target, "create");
    writeFully(to, 0, readWhole(from));
    to.sync();
  } finally {
    from.close();
    to?.close();
  }
}

/** Everything is whole again: nobody needs to look at them any more. */
export function forgetSetAside(disk: Disk, group: string): void {
  const directory = setAsideDirectory(group);
  if (!disk.exists(directory)) return;
  for (const name of disk.list(directory)) disk.removeLarge(`${directory}/${name}`);
  disk.remove(directory);
}

function targetOf(disk: Disk, group: string, path: string): string | null {
  const directory = setAsideDirectory(group);
  disk.makeDirectory(directory);
  const target = `${directory}/${basename(path)}`;
  return disk.exists(target) ? null : target;
}
