/** How the file grows that the log is written to: its last segment. */

import { writeFully, type DiskFile } from "./disk.ts";

/**
 * So much in one write makes the file longer by itself: a sync that writes metadata, too, costs less than
 * zeros that take as much room on their way to the disk.
 */
const longWriteBytes = 128 << 10;

export class GrowingFile {
  readonly #zeros: Uint8Array;
  /** The file is this long; zeros from the last record on. */
  bytes: number;

  /** Zeros are written ahead in steps of `stepBytes`, so that steady appends do not change metadata. */
  constructor(stepBytes: number, bytes: number) {
    this.#zeros = new Uint8Array(stepBytes);
    this.bytes = bytes;
  }

  /** Behind what was written before. Where it throws, the file may have any length. */
  append(file: DiskFile, offset: number, data: Uint8Array): void {
    const end = offset + data.byteLength;
    if (data.byteLength < longWriteBytes) this.#reach(file, end);
    writeFully(file, offset, data);
    this.bytes = Math.max(this.bytes, end);
  }

  #reach(file: DiskFile, end: number): void {
    const stepBytes = this.#zeros.byteLength;
    while (this.bytes < end) {
      const target = (Math.floor(this.bytes / stepBytes) + 1) * stepBytes;
      writeFully(file, this.bytes, this.#zeros.subarray(0, target - this.bytes));
      this.bytes = target;
    }
  }
}
