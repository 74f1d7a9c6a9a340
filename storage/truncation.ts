/**
 * The note that a truncation is under way. Cutting a file is not one step on the disk: a crash may
 * leave the old length with zeros in the middle, which would look like damage.
 */

import type { Disk } from "./disk.ts";
import { readNote, removeNote, writeNote } from "./log-note.ts";

const name = "truncating";

/** Durable when it returns: everything from `from` on is going to be cut off. */
export const noteTruncation = (disk: Disk, directory: string, from: number): void =>
  writeNote(disk, directory, name, from);

/** From where a crash interrupted a truncation; null where none was begun. */
export const notedTruncation = (disk: Disk, directory: string): number | null =>
  readNote(disk, directory, name, 1)?.[0] ?? null;

/** The truncation is done and durable; nothing new may be appended before this returns. */
export const forgetTruncation = (disk: Disk, directory: string): void =>
  removeNote(disk, directory, name);
