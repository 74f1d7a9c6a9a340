/**
 * A disk in memory that forgets what was not synced, the way real ones do: sector by sector, in any
 * order; and that fails where a test says so.
 */

import { DiskError, type Disk, type DiskFile, type OpenMode } from "../../storage/disk.ts";
import { must } from "../../server/raft/assert.ts";

const sectorBytes = 512;

interface Inode {
  bytes: Uint8Array;
  /** What a power loss surely leaves. */
  durable: Uint8Array;
}

/** Numbers in [0, 1) from a seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class MemoryDisk implements Disk {
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  readonly #directories = new Set<string>();
  /** Operations that change something, so far; `beforeOperation` sees each. */
  operations = 0;
  bytesRead = 0;
  capacityBytes = Infinity;
  /** May throw, to fail the operation before it happens. */
  beforeOperation: (operation: string, path: string) => void = () => {};
  /** How many of so many bytes a write takes. */
  shorten: (bytes: number) => number = (bytes) => bytes;

  open(path: string, mode: OpenMode): DiskFile {
    if (mode === "create") {
      if (this.#names.has(path)) throw new DiskError(path, "open", "EEXIST", "it exists");
      this.#operation("create", path);
      this.#names.set(path, { bytes: new Uint8Array(0), durable: new Uint8Array(0) });
    }
    const inode = this.#names.get(path);
    if (!inode) throw new DiskError(path, "open", "ENOENT", "there is no such file");
    return this.#file(path, inode);
  }

  exists(path: string): boolean {
    return this.#names.has(path) || this.#directories.has(path);
  }

  list(path: string): string[] {
    const start = `${path}/`;
    const names = [...this.#names.keys()].filter((name) => name.startsWith(start));
    return names.map((name) => name.slice(start.length)).sort();
  }

  makeDirectory(path: string): void {
    this.#directories.add(path);
  }

  rename(from: string, to: string): void {
    this.#operation("rename", from);
    this.#names.set(to, must(this.#names.get(from), "the renamed file is there"));
    this.#names.delete(from);
  }

  remove(path: string): void {
    this.#operation("remove", path);
    this.#names.delete(path);
  }

  removeLarge(path: string): void {
    this.remove(path);
  }

  syncDirectory(path: string): void {
    this.#operation("syncDirectory", path);
    const isWithin = (name: string): boolean => name.startsWith(`${path}/`);
    for (const name of this.#durableNames.keys()) {
      if (isWithin(name) && !this.#names.has(name)) this.#durableNames.delete(name);
    }
    for (const [name, inode] of this.#names) {
      if (isWithin(name)) this.#durableNames.set(name, inode);
    }
  }

  space(): { freeBytes: number; totalBytes: number } {
    const freeBytes = Math.max(0, this.capacityBytes - this.usedBytes);
    return { freeBytes, totalBytes: this.capacityBytes };
  }

  /** The whole file, to look at or to damage. Changes count as durable. */
  edit(path: string, change: (bytes: Uint8Array) => Uint8Array | void): void {
    const inode = must(this.#names.get(path), `${path} is there`);
    const bytes = inode.bytes.slice();
    inode.bytes = change(bytes) ?? bytes;
    inode.durable = inode.bytes.slice();
  }

  bytes(path: string): Uint8Array {
    return must(this.#names.get(path), `${path} is there`).bytes;
  }

  /** Power loss: of what was not synced, each sector, size and name stays or goes by itself. */
  crash(random: () => number): void {
    for (const inode of new Set([...this.#names.values(), ...this.#durableNames.values()])) {
      inode.bytes = survivor(inode, random);
      inode.durable = inode.bytes.slice();
    }
    const names = new Map<string, Inode>();
    for (const name of new Set([...this.#names.keys(), ...this.#durableNames.keys()])) {
      const now = this.#names.get(name);
      const durable = this.#durableNames.get(name);
      const kept = now === durable || random() < 0.5 ? now : durable;
      if (kept) names.set(name, kept);
    }
    this.#names = names;
    this.#durableNames = new Map(names);
    this.beforeOperation = () => {};
  }

  /** What the system does by itself at any time: data, but not yet names, reach the disk. */
  writeBack(path: string): void {
    const inode = must(this.#names.get(path), `${path} is there`);
    inode.durable = inode.bytes.slice();
  }

  /** Power loss on a disk that leaves rubbish in every sector that was being written. */
  tear(path: string): void {
    const inode = must(this.#names.get(path), `${path} is there`);
    for (let start = 0; start < inode.bytes.byteLength; start += sectorBytes) {
      const part = inode.bytes.subarray(start, start + sectorBytes);
      const durable = inode.durable.subarray(start, start + sectorBytes);
      if (Buffer.compare(part, durable) !== 0) part.fill(0xaa);
    }
    inode.durable = inode.bytes.slice();
  }

  #file(path: string, inode: Inode): DiskFile {
    return {
      path,
      size: () => inode.bytes.byteLength,
      read: (offset, target) => {
        const part = inode.bytes.subarray(offset, offset + target.byteLength);
        target.set(part);
        this.bytesRead += part.byteLength;
        return part.byteLength;
      },
      write: (offset, bytes) => this.#write(path, inode, { offset, bytes }),
      sync: () => {
        this.#operation("sync", path);
        inode.durable = inode.bytes.slice();
      },
      truncate: (bytes) => {
        this.#operation("truncate", path);
        inode.bytes = resized(inode.bytes, bytes);
      },
      writeBack: () => {},
      isBehind: false,
      close: () => {},
      closeLarge: () => {},
    };
  }

  #write(path: string, inode: Inode, options: { offset: number; bytes: Uint8Array }): number {
    const { offset, bytes } = options;
    this.#operation("write", path);
    const growth = Math.max(0, offset + bytes.byteLength - inode.bytes.byteLength);
    const room = Math.max(0, this.capacityBytes - this.usedBytes);
    const fitting = growth <= room ? bytes.byteLength : bytes.byteLength - (growth - room);
    if (fitting <= 0) throw new DiskError(path, "write", "ENOSPC", "the disk is full");
    const taken = this.shorten(fitting);
    const end = offset + taken;
    if (end > inode.bytes.byteLength) inode.bytes = resized(inode.bytes, end);
    inode.bytes.set(bytes.subarray(0, taken), offset);
    return taken;
  }

  #operation(operation: string, path: string): void {
    this.operations++;
    this.beforeOperation(operation, path);
  }

  get usedBytes(): number {
    let used = 0;
    for (const { bytes } of this.#names.values()) used += bytes.byteLength;
    return used;
  }
}

function resized(bytes: Uint8Array, size: number): Uint8Array {
  const result = new Uint8Array(size);
  result.set(bytes.subarray(0, size));
  return result;
}

function survivor({ bytes, durable }: Inode, random: () => number): Uint8Array {
  const size = random() < 0.5 ? bytes.byteLength : durable.byteLength;
  const result = resized(durable, size);
  for (let start = 0; start < size; start += sectorBytes) {
    if (random() < 0.5) continue;
    const end = Math.min(start + sectorBytes, size);
    const part = bytes.subarray(start, end);
    result.fill(0, start, end);
    result.set(part, start);
  }
  return result;
}
