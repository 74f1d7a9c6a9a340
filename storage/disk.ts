/**
 * The disk as the storage code sees it: synchronous, positional, and honest about short writes and
 * syncs. The real one is `node-disk.ts`; a simulated one can lose, tear and damage what was not synced.
 */

/** Any failed call: names the file, the operation and the system's error code (`EIO`, `ENOSPC`, …). */
export class DiskError extends Error {
  override name = "DiskError";
  readonly path: string;
  readonly operation: string;
  readonly code: string;

  constructor(path: string, operation: string, code: string, detail: string) {
    super(`${operation} ${path}: ${detail}`);
    this.path = path;
    this.operation = operation;
    this.code = code;
  }
}

/** Only of a write: after a failed sync nobody knows what is on the disk, whatever the reason was. */
export const isFullDisk = (error: unknown): error is DiskError =>
  error instanceof DiskError &&
  error.code === "ENOSPC" &&
  (error.operation === "write" || error.operation === "open");

export interface DiskFile {
  readonly path: string;
  /** Bytes in the file now. */
  size(): number;
  /** Reads up to `target.byteLength` bytes at `offset`; returns how many, 0 at the end. May be short. */
  read(offset: number, target: Uint8Array): number;
  /** Writes at `offset`; returns how many bytes were taken. May be short, above all on a full disk. */
  write(offset: number, bytes: Uint8Array): number;
  /** fdatasync: what was written before survives a power loss once this returns. */
  sync(): void;
  /**
   * Brings what is written to the disk by and by, from now on: a large file, of which whole seconds' worth
   * would otherwise be written at once. Promises nothing.
   */
  writeBack(): void;
  /** So much waits to be written back that it is better to write nothing more for now. */
  readonly isBehind: boolean;
  /** Cuts or extends (with zeros) to `bytes`. */
  truncate(bytes: number): void;
  close(): void;
  /** The same of a large file without a name: its room is given back later. */
  closeLarge(): void;
}

/** `create`: must not exist yet. `readWrite`, `read`: must exist. */
export type OpenMode = "create" | "readWrite" | "read";

export interface Disk {
  open(path: string, mode: OpenMode): DiskFile;
  exists(path: string): boolean;
  /** Names of the files and directories in `path`, sorted. */
  list(path: string): string[];
  /** Creates `path` and its parents where missing. The caller syncs the directories. */
  makeDirectory(path: string): void;
  rename(from: string, to: string): void;
  remove(path: string): void;
  /** A file, whose room is given back later. */
  removeLarge(path: string): void;
  /** Makes creations, renames and removals in `path` survive a power loss. */
  syncDirectory(path: string): void;
  /** The disk that holds `path`: what an unprivileged process may still write, and all there is. */
  space(path: string): { readonly freeBytes: number; readonly totalBytes: number };
}

/** Writes all of `bytes`, however short the single writes are. Throws `DiskError` when nothing more fits. */
export function writeFully(file: DiskFile, offset: number, bytes: Uint8Array): void {
  let done = 0;
  while (done < bytes.byteLength) {
    const taken = file.write(offset + done, done === 0 ? bytes : bytes.subarray(done));
    if (taken <= 0) throw new DiskError(file.path, "write", "ENOSPC", "no bytes were taken");
    done += taken;
  }
}

/** Reads exactly `target.byteLength` bytes, or returns how many the file had. */
export function readFully(file: DiskFile, offset: number, target: Uint8Array): number {
  let done = 0;
  while (done < target.byteLength) {
    const got = file.read(offset + done, done === 0 ? target : target.subarray(done));
    if (got === 0) break;
    done += got;
  }
  return done;
}
