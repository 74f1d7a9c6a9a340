/**
 * A disk that is read and never written to: what is changed is changed for this process alone. So the
 * code of a start, which settles what a crash has left, can tell what it would find and do.
 */

import { Buffer } from "node:buffer";
import { DiskError, readFully, type Disk, type DiskFile, type OpenMode } from "./disk.ts";

/** A file as this process believes it to be. */
interface Copy {
  bytes: Uint8Array;
}

export class UntouchedDisk implements Disk {
  readonly #real: Disk;
  /** Null: removed. */
  readonly #changes = new Map<string, Copy | null>();

  constructor(real: Disk) {
    this.#real = real;
  }

  /** Whether it would be another than it is, or none: the same bytes written again are no change. */
  isChanged(path: string): boolean {
    const change = this.#changes.get(path);
    if (change === undefined) return false;
    if (change === null || !this.#real.exists(path)) return true;
    return Buffer.compare(change.bytes, this.#read(path)) !== 0;
  }

  open(path: string, mode: OpenMode): DiskFile {
    if (mode === "create") {
      if (this.exists(path)) throw new DiskError(path, "open", "EEXIST", "it exists");
      this.#changes.set(path, { bytes: new Uint8Array(0) });
    }
    if (!this.exists(path)) throw new DiskError(path, "open", "ENOENT", "there is no such file");
    const real = this.#changes.has(path) ? null : this.#real.open(path, "read");
    return new UntouchedFile(path, { real, copy: () => this.#copy(path) });
  }

  exists(path: string): boolean {
    const change = this.#changes.get(path);
    return change === undefined ? this.#real.exists(path) : change !== null;
  }

  list(path: string): string[] {
    const names = new Set(this.#real.list(path));
    for (const [changed, copy] of this.#changes) {
      const name = changed.slice(path.length + 1);
      if (!changed.startsWith(`${path}/`) || name.includes("/")) continue;
      if (copy === null) names.delete(name);
      else names.add(name);
    }
    return [...names].sort();
  }

  makeDirectory(): void {}

  rename(from: string, to: string): void {
    this.#changes.set(to, { bytes: this.#copy(from).bytes });
    this.#changes.set(from, null);
  }

  remove(path: string): void {
    this.#changes.set(path, null);
  }

  removeLarge(path: string): void {
    this.remove(path);
  }

  syncDirectory(): void {}

  space(path: string): { readonly freeBytes: number; readonly totalBytes: number } {
    return this.#real.space(path);
  }

  #copy(path: string): Copy {
    const known = this.#changes.get(path);
    if (known) return known;
    const copy = { bytes: this.#read(path) };
    this.#changes.set(path, copy);
    return copy;
  }

  #read(path: string): Uint8Array {
    const file = this.#real.open(path, "read");
    try {
      const bytes = new Uint8Array(file.size());
      readFully(file, 0, bytes);
      return bytes;
    } finally {
      file.close();
    }
  }
}

class UntouchedFile implements DiskFile {
  readonly path: string;
  readonly #real: DiskFile | null;
  readonly #makeCopy: () => Copy;
  #copied: Copy | null;

  constructor(path: string, { real, copy }: { real: DiskFile | null; copy: () => Copy }) {
    this.path = path;
    this.#real = real;
    this.#makeCopy = copy;
    this.#copied = real === null ? copy() : null;
  }

  size(): number {
    return this.#copied === null ? (this.#real?.size() ?? 0) : this.#copied.bytes.byteLength;
  }

  read(offset: number, target: Uint8Array): number {
    if (this.#copied === null) return this.#real?.read(offset, target) ?? 0;
    const part = this.#copied.bytes.subarray(offset, offset + target.byteLength);
    target.set(part);
    return part.byteLength;
  }

  write(offset: number, bytes: Uint8Array): number {
    const copy = this.#own();
    const end = offset + bytes.byteLength;
    if (end > copy.bytes.byteLength) this.truncate(end);
    copy.bytes.set(bytes, offset);
    return bytes.byteLength;
  }

  sync(): void {}

  writeBack(): void {}

  readonly isBehind = false;

  truncate(bytes: number): void {
    const copy = this.#own();
    const next = new Uint8Array(bytes);
    next.set(copy.bytes.subarray(0, bytes));
    copy.bytes = next;
  }

  close(): void {
    this.#real?.close();
  }

  closeLarge(): void {
    this.close();
  }

  #own(): Copy {
    this.#copied ??= this.#makeCopy();
    return this.#copied;
  }
}
