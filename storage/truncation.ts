/**
 * The note that a truncation is under way. Cutting a file is not one step on the disk: a crash may
 * leave the old length with zeros in the middle, which would look like damage. So the note is made
 * durable first, what it says is done (again, after a crash), and then it is removed.
 */

import { crc32 } from "node:zlib";
import { readFully, writeFully, type Disk } from "./disk.ts";
import { readUint64, writeUint64 } from "./record.ts";

const noteBytes = 12;

/** Begins from a text, because some plain patterns of bytes are their own bare checksum. */
const checksumOf = (bytes: Buffer): number => crc32(bytes.subarray(0, 8), crc32("kv truncating"));

const notePath = (directory: string): string => `${directory}/truncating`;

/** Durable when it returns: everything from `from` on is going to be cut off. */
export function noteTruncation(disk: Disk, directory: string, from: number): void {
  const bytes = Buffer.alloc(noteBytes);
  writeUint64(bytes, from, 0);
  bytes.writeUInt32LE(checksumOf(bytes), 8);
  const file = disk.open(notePath(directory), "create");
  try {
    writeFully(file, 0, bytes);
  } catch (error) {
    // A full disk: the log goes on, and has to find the name free the next time.
    file.close();
    forgetTruncation(disk, directory);
    throw error;
  }
  file.sync();
  file.close();
  disk.syncDirectory(directory);
}

/** From where a crash interrupted a truncation; null where none was begun. */
export function notedTruncation(disk: Disk, directory: string): number | null {
  const path = notePath(directory);
  if (!disk.exists(path)) return null;
  const file = disk.open(path, "read");
  const bytes = Buffer.alloc(noteBytes);
  const length = readFully(file, 0, bytes);
  file.close();
  // A note that is not whole was never durable, so nothing has been cut on its word.
  const isWhole = length === noteBytes && bytes.readUInt32LE(8) === checksumOf(bytes);
  return isWhole ? readUint64(bytes, 0) : null;
}

/** The truncation is done and durable; nothing new may be appended before this returns. */
export function forgetTruncation(disk: Disk, directory: string): void {
  if (!disk.exists(notePath(directory))) return;
  disk.remove(notePath(directory));
  disk.syncDirectory(directory);
}
