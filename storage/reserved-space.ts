/**
 * The room on a node's disk, some of it kept in a file of zeros that is removed when a full disk stands
 * in the way. Where the file system stores zeros as nothing, the file reserves nothing and does no harm.
 */

import type { DiskSpace } from "../server/ports.ts";
import { DiskError, writeFully, type Disk } from "./disk.ts";

const stepBytes = 1 << 20;

export class ReservedSpace implements DiskSpace {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #path: string;
  /** The file is known to be whole. */
  #isReserved = false;

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
    this.#path = `${directory}/reserve`;
  }

  measure(): { freeBytes: number; totalBytes: number } {
    return this.#disk.space(this.#directory);
  }

  reserve(bytes: number): "reserved" | "full" {
    if (this.#isReserved || bytes === 0) return "reserved";
    if (this.#sizeFound() !== bytes) {
      this.release();
      if (!this.#write(bytes)) return "full";
    }
    this.#isReserved = true;
    return "reserved";
  }

  release(): boolean {
    this.#isReserved = false;
    if (!this.#disk.exists(this.#path)) return false;
    this.#disk.remove(this.#path);
    return true;
  }

  /** A crash may have left a part of it. */
  #sizeFound(): number {
    if (!this.#disk.exists(this.#path)) return 0;
    const file = this.#disk.open(this.#path, "read");
    const bytes = file.size();
    file.close();
    return bytes;
  }

  #write(bytes: number): boolean {
    try {
      const file = this.#disk.open(this.#path, "create");
      try {
        const zeros = new Uint8Array(Math.min(bytes, stepBytes));
        for (let at = 0; at < bytes; at += zeros.byteLength) {
          writeFully(file, at, zeros.subarray(0, Math.min(zeros.byteLength, bytes - at)));
        }
      } finally {
        file.close();
      }
      return true;
    } catch (error) {
      if (!(error instanceof DiskError) || error.code !== "ENOSPC") throw error;
      this.release();
      return false;
    }
  }
}
