/** Where the bytes of a snapshot or a history come from: a file, or whoever sends them. */

import { readFully, type Disk, type DiskFile } from "./disk.ts";

export interface ByteSource {
  /** Of everything. */
  readonly size: number;
  /** The next bytes, exactly so many; null where they are not here, and nothing is taken then. */
  take(count: number): Buffer | null;
  close(): void;
}

export class FileSource implements ByteSource {
  readonly size: number;
  readonly #file: DiskFile;
  #offset = 0;

  constructor(disk: Disk, path: string) {
    this.#file = disk.open(path, "read");
    this.size = this.#file.size();
  }

  take(count: number): Buffer | null {
    const bytes = Buffer.alloc(count);
    if (readFully(this.#file, this.#offset, bytes) < count) return null;
    this.#offset += count;
    return bytes;
  }

  close(): void {
    this.#file.close();
  }
}

/** Whoever pushes sees to it that what was not taken yet stays bounded. */
export class ArrivingBytes implements ByteSource {
  readonly size: number;
  /** Oldest first. */
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(size: number) {
    this.size = size;
  }

  has(count: number): boolean {
    return this.#bytes >= count;
  }

  push(bytes: Uint8Array): void {
    this.#parts.push(Buffer.from(bytes));
    this.#bytes += bytes.byteLength;
  }

  take(count: number): Buffer | null {
    if (this.#bytes < count) return null;
    const taken = Buffer.alloc(count);
    let at = 0;
    let done = 0;
    for (const part of this.#parts) {
      if (at === count) break;
      const copied = part.copy(taken, at);
      at += copied;
      if (copied === part.byteLength) done++;
      else this.#parts[done] = part.subarray(copied);
    }
    this.#parts.splice(0, done);
    this.#bytes -= count;
    return taken;
  }

  close(): void {
    this.#parts = [];
    this.#bytes = 0;
  }
}
