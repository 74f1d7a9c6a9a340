/**
 * Brings what is written to a large file to the disk as it comes, on another thread: a disk that gets all
 * of it at once, whenever the system or somebody's sync thinks of it, keeps the log waiting meanwhile.
 */

import { close, fdatasync } from "node:fs";

/** Not synced, before a sync is begun. */
const stepBytes = 1 << 20;
/** Not synced, while whoever can wait does. */
const behindBytes = 16 << 20;

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
    if (this.#error !== null) throw this.#error;
    this.#bytes += bytes;
    // A disk that is slower than that gathers more: nobody waits for it here but the other thread.
    if (this.#bytes >= stepBytes && !this.#isUnderWay) this.#begin();
  }

  /** The disk is slower than whoever writes. */
  get isBehind(): boolean {
    return this.#bytes >= behindBytes;
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
}
