/** The real disk, over the synchronous calls of `node:fs`. */

import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  statfsSync,
  writeSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { DiskError, type Disk, type DiskFile, type OpenMode } from "./disk.ts";
import { giveBack, removeLarge } from "./large-file.ts";
import { WriteBack } from "./write-back.ts";

const flags: Readonly<Record<OpenMode, string>> = { create: "wx+", readWrite: "r+", read: "r" };

function call<T>(path: string, operation: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw diskError(path, operation, { code, message: error.message });
  }
}

/** Whose quota is used up has a full disk, whatever others may still write to it. */
export function diskError(
  path: string,
  operation: string,
  { code = "UNKNOWN", message }: { code: string | undefined; message: string },
): DiskError {
  return new DiskError(path, operation, code === "EDQUOT" ? "ENOSPC" : code, message);
}

class NodeDiskFile implements DiskFile {
  readonly path: string;
  readonly #fd: number;
  #writeBack: WriteBack | null = null;

  constructor(path: string, mode: OpenMode) {
    this.path = path;
    this.#fd = call(path, "open", () => openSync(path, flags[mode], 0o600));
  }

  size(): number {
    return call(this.path, "stat", () => fstatSync(this.#fd).size);
  }

  read(offset: number, target: Uint8Array): number {
    return call(this.path, "read", () => readSync(this.#fd, target, 0, target.byteLength, offset));
  }

  write(offset: number, bytes: Uint8Array): number {
    return call(this.path, "write", () => {
      const count = writeSync(this.#fd, bytes, 0, bytes.byteLength, offset);
      this.#writeBack?.wrote(count);
      return count;
    });
  }

  writeBack(): void {
    this.#writeBack ??= new WriteBack(this.#fd);
  }

  get isBehind(): boolean {
    return this.#writeBack?.isBehind ?? false;
  }

  sync(): void {
    call(this.path, "fdatasync", () => fdatasyncSync(this.#fd));
  }

  truncate(bytes: number): void {
    call(this.path, "truncate", () => ftruncateSync(this.#fd, bytes));
  }

  close(): void {
    if (this.#writeBack === null) call(this.path, "close", () => closeSync(this.#fd));
    else this.#writeBack.close();
  }

  closeLarge(): void {
    giveBack(this.#fd);
  }
}

export class NodeDisk implements Disk {
  open(path: string, mode: OpenMode): DiskFile {
    return new NodeDiskFile(path, mode);
  }

  /** A disk that cannot be read must not look like one on which nothing was there yet. */
  exists(path: string): boolean {
    try {
      return call(path, "stat", () => statSync(path, { throwIfNoEntry: false })) !== undefined;
    } catch (error) {
      if (error instanceof DiskError && error.code === "ENOTDIR") return false;
      throw error;
    }
  }

  list(path: string): string[] {
    return call(path, "list", () => readdirSync(path)).sort();
  }

  /** One by one: Node's own recursion does not end where the system answers ENOENT below a directory. */
  makeDirectory(path: string): void {
    const missing: string[] = [];
    for (let above = resolve(path); !this.exists(above); above = dirname(above)) {
      missing.unshift(above);
    }
    for (const directory of missing) {
      try {
        call(directory, "mkdir", () => mkdirSync(directory, { mode: 0o700 }));
      } catch (error) {
        // Another node of the same parent, started at the same moment, was first.
        const isThere = error instanceof DiskError && error.code === "EEXIST";
        if (!isThere || !this.exists(directory)) throw error;
      }
    }
  }

  rename(from: string, to: string): void {
    call(from, "rename", () => renameSync(from, to));
  }

  remove(path: string): void {
    call(path, "remove", () => rmSync(path, { recursive: true }));
  }

  removeLarge(path: string): void {
    call(path, "remove", () => removeLarge(path));
  }

  syncDirectory(path: string): void {
    const fd = call(path, "open", () => openSync(path, "r"));
    try {
      call(path, "fsync", () => fsyncSync(fd));
    } finally {
      closeSync(fd);
    }
  }

  space(path: string): { freeBytes: number; totalBytes: number } {
    const { bavail, blocks, bsize } = call(path, "statfs", () => statfsSync(path));
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  }
}
