/**
 * A disk with a durable image of every file and a list of what was written since: a power loss keeps
 * each 512-byte piece of each unsynced write by chance, and each unsynced name. It fails, fills up,
 * stalls, rots and writes to the wrong place where the simulation says so.
 */

import { must } from "../../server/raft/assert.ts";
import { DiskError, type Disk, type DiskFile, type OpenMode } from "../../storage/disk.ts";
import type { Random } from "../raft/random.ts";

const pieceBytes = 512;

type Pending =
  | {
      readonly kind: "write";
      readonly offset: number;
      readonly bytes: Uint8Array;
      /** It is the rest of a write of which the disk had taken less than was asked for. */
      readonly isRest: boolean;
    }
  | { readonly kind: "size"; readonly bytes: number };

interface Inode {
  /** What a reader sees. Only the first `size` bytes count; the rest is room to grow. */
  bytes: Uint8Array;
  size: number;
  /** What a power loss surely leaves. */
  durable: Uint8Array;
  durableSize: number;
  /** Oldest first. */
  pending: Pending[];
  /** Where the rest of a write would go on that was only taken in part; -1: none was. */
  restOffset: number;
  /** What is not as it was written, until it is written again and synced. */
  damage: Damage[];
}

interface Damage {
  readonly start: number;
  readonly end: number;
  /** It is written again, or cut off; a sync makes that durable. */
  isCovered: boolean;
}

type NameChange =
  | { readonly kind: "set"; readonly name: string; readonly inode: Inode }
  | { readonly kind: "remove"; readonly name: string }
  /** It is this file that moves, whatever else a power loss may leave at its old name. */
  | { readonly kind: "rename"; readonly from: string; readonly to: string; readonly inode: Inode };

/** The machine lost its power, or the process was killed, in the middle of an operation. */
export class SimulatedCrash extends Error {
  override name = "SimulatedCrash";
}

export type DiskOperation =
  | "create"
  | "write"
  | "sync"
  | "truncate"
  | "rename"
  | "remove"
  | "syncDirectory";

/** What the simulation wants to happen to an operation, before it does. */
export type Interference =
  | { readonly kind: "none" }
  /** The process is gone: this operation and all after it do not happen. */
  | { readonly kind: "crash" }
  | { readonly kind: "error"; readonly code: "EIO" }
  /** A write goes to another place of the same file. */
  | { readonly kind: "misdirect"; readonly offset: number }
  /** One bit of what is written is another. */
  | { readonly kind: "flip"; readonly bit: number };

export class SimDisk implements Disk {
  readonly #random: Random;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  #nameChanges: NameChange[] = [];
  readonly #directories = new Set<string>();
  /** Files that may have something pending. */
  readonly #dirty = new Set<string>();
  capacityBytes = Infinity;
  /** At the most so many bytes of a write are taken at once, or the rest of a sector. */
  writeBytesMax = Infinity;
  /** A handle of an earlier life of the process does nothing any more. */
  #life = 0;
  interfere: (operation: DiskOperation, path: string) => Interference = () => ({ kind: "none" });

  constructor(random: Random) {
    this.#random = random;
  }

  // ------------------------------------------------------------------ the port

  open(path: string, mode: OpenMode): DiskFile {
    if (mode === "create") {
      if (this.#names.has(path)) throw new DiskError(path, "open", "EEXIST", "it exists");
      this.#before("create", path);
      if (this.capacityBytes !== Infinity && this.space().freeBytes === 0)
        throw fullDisk(path, "open");
      const inode = emptyInode();
      this.#names.set(path, inode);
      this.#nameChanges.push({ kind: "set", name: path, inode });
    }
    const inode = this.#names.get(path);
    if (!inode) throw new DiskError(path, "open", "ENOENT", "there is no such file");
    return new SimFile(path, inode, this, this.#life);
  }

  exists(path: string): boolean {
    return this.#names.has(path) || this.#directories.has(path);
  }

  list(path: string): string[] {
    const start = `${path}/`;
    const found = new Set<string>();
    for (const name of this.#names.keys()) {
      if (name.startsWith(start)) found.add(must(name.slice(start.length).split("/")[0], "a part"));
    }
    return [...found].sort();
  }

  makeDirectory(path: string): void {
    this.#directories.add(path);
  }

  rename(from: string, to: string): void {
    this.#before("rename", from);
    const inode = must(this.#names.get(from), "the renamed file is there");
    this.#names.set(to, inode);
    this.#names.delete(from);
    this.#dirty.add(to);
    this.#nameChanges.push({ kind: "rename", from, to, inode });
  }

  remove(path: string): void {
    this.#before("remove", path);
    const within = `${path}/`;
    for (const name of [...this.#names.keys()]) {
      if (name !== path && !name.startsWith(within)) continue;
      this.#names.delete(name);
      this.#nameChanges.push({ kind: "remove", name });
    }
    this.#directories.delete(path);
  }

  removeLarge(path: string): void {
    this.remove(path);
  }

  syncDirectory(path: string): void {
    this.#before("syncDirectory", path);
    let kept: NameChange[] = [];
    for (const change of this.#nameChanges) {
      if (!directoriesOf(change).includes(path)) {
        kept.push(change);
        continue;
      }
      applyChange(this.#durableNames, change);
      kept = withoutEarlier(kept, change);
    }
    this.#nameChanges = kept;
  }

  space(): { freeBytes: number; totalBytes: number } {
    const freeBytes = Math.max(0, this.capacityBytes - this.usedBytes);
    return { freeBytes, totalBytes: this.capacityBytes };
  }

  get usedBytes(): number {
    let used = 0;
    for (const { size } of this.#names.values()) used += size;
    return used;
  }

  // ------------------------------------------------------------------ for open files

  write(
    inode: Inode,
    target: { path: string; life: number; offset: number; bytes: Uint8Array },
  ): number {
    const { path, life, bytes } = target;
    this.#checkLife(life);
    const interference = this.#before("write", path);
    const offset = interference.kind === "misdirect" ? interference.offset : target.offset;
    const growth = Math.max(0, offset + bytes.byteLength - inode.size);
    const room = this.capacityBytes === Infinity ? Infinity : this.space().freeBytes;
    const fitting = bytes.byteLength - Math.max(0, growth - room);
    if (fitting < bytes.byteLength && lastPieceEnd(offset + fitting) <= offset)
      throw fullDisk(path, "write");
    const taken = takenOf(bytes.byteLength, offset, Math.min(fitting, this.writeBytesMax));
    coverDamage(inode, offset, offset + taken);
    if (interference.kind === "misdirect") {
      const length = bytes.byteLength;
      for (const start of [offset, target.offset]) {
        inode.damage.push({ start, end: start + length, isCovered: false });
      }
    }
    const copy = bytes.slice(0, taken);
    if (interference.kind === "flip") {
      const at = (interference.bit >> 3) % taken;
      copy[at] = (copy[at] ?? 0) ^ (1 << (interference.bit & 7));
    }
    this.#dirty.add(path);
    const end = offset + taken;
    if (end > inode.size) {
      grow(inode, end);
      inode.pending.push({ kind: "size", bytes: end });
    }
    inode.bytes.set(copy, offset);
    const isRest = offset === inode.restOffset;
    inode.pending.push({ kind: "write", offset, bytes: copy, isRest });
    inode.restOffset = taken < bytes.byteLength ? end : -1;
    return taken;
  }

  truncate(inode: Inode, target: { path: string; life: number; bytes: number }): void {
    this.#checkLife(target.life);
    this.#before("truncate", target.path);
    this.#dirty.add(target.path);
    if (target.bytes > inode.size) grow(inode, target.bytes);
    else inode.bytes.fill(0, target.bytes, inode.size);
    inode.size = target.bytes;
    coverDamage(inode, target.bytes, Infinity);
    inode.pending.push({ kind: "size", bytes: target.bytes });
  }

  sync(inode: Inode, target: { path: string; life: number }): void {
    this.#checkLife(target.life);
    try {
      this.#before("sync", target.path);
    } catch (error) {
      if (error instanceof DiskError) this.#failWriteback(inode);
      throw error;
    }
    inode.damage = inode.damage.filter(({ isCovered }) => !isCovered);
    this.#persistSome(inode, 1);
  }

  // ------------------------------------------------------------------ for the simulation

  /** The process ended: what it wrote is in the system's memory still. */
  kill(): void {
    this.#life++;
    this.interfere = () => ({ kind: "none" });
  }

  /** Of what was not synced each piece and each name survives with this probability. */
  losePower(keep: number): void {
    this.kill();
    const inodes = new Set([...this.#names.values(), ...this.#durableNames.values()]);
    for (const change of this.#nameChanges) {
      if (change.kind !== "remove") inodes.add(change.inode);
      if (this.#random.float() < keep) applyChange(this.#durableNames, change);
    }
    this.#nameChanges = [];
    for (const inode of inodes) {
      this.#persistSome(inode, keep);
      for (const damage of inode.damage) damage.isCovered = false;
      inode.bytes = inode.durable.slice(0, inode.durableSize);
      inode.size = inode.durableSize;
    }
    this.#names = new Map(this.#durableNames);
  }

  /** Nothing is left of it. */
  wipe(): void {
    this.kill();
    this.#names.clear();
    this.#durableNames.clear();
    this.#nameChanges = [];
    this.#directories.clear();
  }

  /** Whether everything written to the files below `path` would survive a power loss. */
  isSynced(path: string): boolean {
    for (const name of this.#dirty) {
      if (!name.startsWith(path)) continue;
      if ((this.#names.get(name)?.pending.length ?? 0) > 0) return false;
      this.#dirty.delete(name);
    }
    return true;
  }

  /** Whether something on it still is not as it was written. */
  get isDamaged(): boolean {
    for (const names of [this.#names, this.#durableNames]) {
      for (const { damage } of names.values()) if (damage.length > 0) return true;
    }
    return false;
  }

  get files(): string[] {
    return [...this.#names.keys()].sort();
  }

  sizeOf(path: string): number {
    return this.#names.get(path)?.size ?? 0;
  }

  /** The file up to the zeros at its end. */
  writtenBytes(path: string): number {
    const { bytes, size } = must(this.#names.get(path), "the file is there");
    return bytes.subarray(0, size).findLastIndex((byte) => byte !== 0) + 1;
  }

  /** Flips a bit, in memory and on the platter. */
  rot(path: string, offset: number, bit: number): void {
    const inode = must(this.#names.get(path), "the file is there");
    inode.damage.push({ start: offset, end: offset + 1, isCovered: false });
    for (const bytes of [inode.bytes, inode.durable]) {
      if (offset < bytes.byteLength) bytes[offset] = (bytes[offset] ?? 0) ^ (1 << bit);
    }
  }

  #before(operation: DiskOperation, path: string): Interference {
    const interference = this.interfere(operation, path);
    if (interference.kind === "crash") {
      this.#life++;
      this.interfere = () => ({ kind: "crash" });
      throw new SimulatedCrash(`in ${operation} ${path}`);
    }
    if (interference.kind === "error") {
      throw new DiskError(path, operation, interference.code, "the disk failed");
    }
    return interference;
  }

  #checkLife(life: number): void {
    if (life !== this.#life) throw new SimulatedCrash("the process is gone");
  }

  /**
   * As Linux does: pages that could not be written are called clean, and never tried again. How long
   * the file is, is another matter, and goes with the next sync.
   */
  #failWriteback(inode: Inode): void {
    const sizes = inode.pending.filter(({ kind }) => kind === "size");
    this.#persistSome(inode, this.#random.pick([0, 0.5]));
    inode.pending = sizes;
    for (const damage of inode.damage) damage.isCovered = false;
  }

  /**
   * Brings what is pending onto the platter, each piece with probability `keep`, and forgets the rest.
   * A piece is written as the system's memory holds it: with all earlier writes to it, or not at all.
   * What one write after the other brings of the same bytes, because the disk took them in parts, is
   * not parted within a piece: see `interfere` for why.
   */
  #persistSome(inode: Inode, keep: number): void {
    const lost = new Set<number>();
    for (const change of inode.pending) {
      if (change.kind === "write") this.#persistPieces(inode, change, { keep, lost });
      else if (keep === 1 || this.#random.float() < keep) resizeDurable(inode, change.bytes);
    }
    inode.pending = [];
  }

  #persistPieces(
    inode: Inode,
    write: Pending & { kind: "write" },
    { keep, lost }: { keep: number; lost: Set<number> },
  ): void {
    const end = write.offset + write.bytes.byteLength;
    if (keep === 1 && end <= inode.durableSize) {
      inode.durable.set(write.bytes, write.offset);
      return;
    }
    for (let start = write.offset; start < end;) {
      const piece = Math.floor(start / pieceBytes);
      const next = Math.min(end, (piece + 1) * pieceBytes);
      const fits = Math.min(next, inode.durableSize);
      const isParted = write.isRest && start === write.offset && start % pieceBytes !== 0;
      if (keep < 1 && !isParted && this.#random.float() >= keep) lost.add(piece);
      if (fits > start && !lost.has(piece)) {
        inode.durable.set(write.bytes.subarray(start - write.offset, fits - write.offset), start);
      }
      start = next;
    }
  }
}

class SimFile implements DiskFile {
  readonly path: string;
  readonly #inode: Inode;
  readonly #disk: SimDisk;
  readonly #life: number;

  constructor(path: string, inode: Inode, disk: SimDisk, life: number) {
    this.path = path;
    this.#inode = inode;
    this.#disk = disk;
    this.#life = life;
  }

  size(): number {
    return this.#inode.size;
  }

  read(offset: number, target: Uint8Array): number {
    const { bytes, size } = this.#inode;
    const part = bytes.subarray(offset, Math.min(size, offset + target.byteLength));
    target.set(part);
    return part.byteLength;
  }

  write(offset: number, bytes: Uint8Array): number {
    return this.#disk.write(this.#inode, { path: this.path, life: this.#life, offset, bytes });
  }

  sync(): void {
    this.#disk.sync(this.#inode, { path: this.path, life: this.#life });
  }

  truncate(bytes: number): void {
    this.#disk.truncate(this.#inode, { path: this.path, life: this.#life, bytes });
  }

  writeBack(): void {}

  readonly isBehind = false;

  close(): void {}

  closeLarge(): void {}
}

const lastPieceEnd = (offset: number): number => Math.floor(offset / pieceBytes) * pieceBytes;

/**
 * How many of `length` bytes a write takes that may take `bytesMax`. A file system gives up, for want of
 * room or whatever else, between two of its blocks: what is taken of a longer write ends with a sector.
 * (So no crash and no error between the parts of a record leaves a part of one sector, which no log
 * could tell from damage.)
 */
function takenOf(length: number, offset: number, bytesMax: number): number {
  if (bytesMax >= length) return length;
  const end = lastPieceEnd(offset + bytesMax);
  return Math.min(length, (end > offset ? end : lastPieceEnd(offset) + pieceBytes) - offset);
}

const emptyInode = (): Inode => ({
  bytes: new Uint8Array(0),
  size: 0,
  durable: new Uint8Array(0),
  durableSize: 0,
  pending: [],
  restOffset: -1,
  damage: [],
});

/** Whatever damage lies within is written over, or cut off. */
function coverDamage(inode: Inode, start: number, end: number): void {
  for (const damage of inode.damage) {
    if (damage.start >= start && damage.end <= end) damage.isCovered = true;
  }
}

const parent = (name: string): string => name.slice(0, name.lastIndexOf("/"));

/** A rename is one change of both: the sync of either makes it durable as a whole. */
const directoriesOf = (change: NameChange): string[] =>
  change.kind === "rename" ? [parent(change.from), parent(change.to)] : [parent(change.name)];

/** What was to become of the same names in the other directory is over with `change`. */
function withoutEarlier(changes: readonly NameChange[], change: NameChange): NameChange[] {
  if (change.kind !== "rename") return [...changes];
  return changes.flatMap((earlier): NameChange[] => {
    const name = earlier.kind === "rename" ? earlier.to : earlier.name;
    if (name !== change.from && name !== change.to) return [earlier];
    return earlier.kind === "rename" ? [{ kind: "remove", name: earlier.from }] : [];
  });
}

const fullDisk = (path: string, operation: string): DiskError =>
  new DiskError(path, operation, "ENOSPC", "the disk is full");

function applyChange(names: Map<string, Inode>, change: NameChange): void {
  switch (change.kind) {
    case "set":
      names.set(change.name, change.inode);
      break;
    case "remove":
      names.delete(change.name);
      break;
    case "rename":
      names.delete(change.from);
      names.set(change.to, change.inode);
      break;
  }
}

function grow(inode: Inode, size: number): void {
  if (size > inode.bytes.byteLength) {
    const bytes = new Uint8Array(Math.max(size, 2 * inode.bytes.byteLength));
    bytes.set(inode.bytes.subarray(0, inode.size));
    inode.bytes = bytes;
  }
  inode.size = size;
}

function resizeDurable(inode: Inode, size: number): void {
  if (size > inode.durable.byteLength) {
    const bytes = new Uint8Array(Math.max(size, 2 * inode.durable.byteLength));
    bytes.set(inode.durable.subarray(0, inode.durableSize));
    inode.durable = bytes;
  } else if (size < inode.durableSize) inode.durable.fill(0, size, inode.durableSize);
  inode.durableSize = size;
}
