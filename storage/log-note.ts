/**
 * A small note beside the log's segments, for changes that are not one step on the disk: the note is
 * made durable first, what it says is done (again, after a crash), and then it is removed.
 */

import { crc32 } from "node:zlib";
import { readFully, writeFully, type Disk } from "./disk.ts";
import { readUint64, writeUint64 } from "./record.ts";

/** Begins from the name, because some plain patterns of bytes are their own bare checksum. */
const checksumOf = (name: string, bytes: Buffer): number =>
  crc32(bytes.subarray(0, -4), crc32(`kv ${name}`));

/** Durable when it returns. A full disk throws and leaves no note. */
export function writeNote(disk: Disk, directory: string, name: string, ...numbers: number[]): void {
  const bytes = Buffer.alloc(8 * numbers.length + 4);
  for (const [i, number] of numbers.entries()) writeUint64(bytes, number, 8 * i);
  bytes.writeUInt32LE(checksumOf(name, bytes), bytes.byteLength - 4);
  const file = disk.open(`${directory}/${name}`, "create");
  try {
    writeFully(file, 0, bytes);
  } catch (error) {
    // A full disk: the log goes on, and has to find the name free the next time.
    file.close();
    removeNote(disk, directory, name);
    throw error;
  }
  file.sync();
  file.close();
  disk.syncDirectory(directory);
}

/** The `count` numbers of the note; null where there is none. */
export function readNote(
  disk: Disk,
  directory: string,
  name: string,
  count: number,
): number[] | null {
  const path = `${directory}/${name}`;
  if (!disk.exists(path)) return null;
  const file = disk.open(path, "read");
  const bytes = Buffer.alloc(8 * count + 4);
  const length = readFully(file, 0, bytes);
  file.close();
  // A note that is not whole was never durable, so nothing has been done on its word.
  const isWhole =
    length === bytes.byteLength && bytes.readUInt32LE(8 * count) === checksumOf(name, bytes);
  return isWhole ? Array.from({ length: count }, (_, i) => readUint64(bytes, 8 * i)) : null;
}

/** What the note says is done and durable. */
export function removeNote(disk: Disk, directory: string, name: string): void {
  const path = `${directory}/${name}`;
  if (!disk.exists(path)) return;
  disk.remove(path);
  disk.syncDirectory(directory);
}
