/**
 * Brings what is written to a large file to the disk as it comes, on another thread: a disk that gets all
 * of it at once, whenever the system or somebody's sync thinks of it, keeps the log waiting meanwhile.
 */

import { close, fdatasync, fdatasyncSync } from "node:fs";

/** Not synced, before a sync is begun. */
const stepBytes = 1 << 20;
/** Not synced, before whoever writes waits for it. */
const waitingBytesMax = 16 << 20;

export class WriteBack {
  readonly #fd: number;
  #bytes = 0;
  #isUnderWay = false;
  #isClosed = false;
  #error: Error | null = null;

  /** The descriptor belongs to this from now on. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Throws what an earlier sync failed with: the system says so once. */
  wrote(bytes: number): void {
    this.#throwFailure();
    this.#bytes += bytes;
    if (this.#bytes < stepBytes) return;
    if (!this.#isUnderWay) this.#begin();
    else if (this.#bytes >= waitingBytesMax) this.sync();
  }

  /** All that was written is on the disk when it returns. */
  sync(): void {
    this.#throwFailure();
    this.#bytes = 0;
    fdatasyncSync(this.#fd);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (!this.#isUnderWay) close(this.#fd, () => {});
  }

  #begin(): void {
    this.#bytes = 0;
    this.#isUnderWay = true;
    fdatasync(this.#fd, (error) => {
      this.#isUnderWay = false;
      this.#error ??= error;
      if (this.#isClosed) close(this.#fd, () => {});
    });
  }

  #throwFailure(): void {
    if (this.#error !== null) throw this.#error;
  }
}
