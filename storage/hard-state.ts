/** Term and vote on disk: the two things a node must never forget (Raft figure 2). */

import { crc32 } from "node:zlib";
import { assert } from "../server/raft/assert.ts";
import { nodeId, term, type HardState } from "../server/raft/entry.ts";
import { readFully, writeFully, type Disk, type DiskFile } from "./disk.ts";
import { readUint64, writeUint64 } from "./record.ts";

/** In different sectors and different pages, so that one torn write cannot hit both. */
const slotOffsets = [0, 4096] as const;
const slotBytes = 40;

const magic = Buffer.from("kvhard\0\x01", "latin1");

interface Slot {
  readonly sequence: number;
  readonly state: HardState;
}

export type OpenHardState =
  | { readonly ok: true; readonly file: HardStateFile }
  | { readonly ok: false; readonly damage: { readonly path: string; readonly detail: string } };

/**
 * Every save writes both slots, the second after the first is synced, and returns after both are. So
 * one bad slot never takes the state back: either the save that wrote it never returned, and nobody
 * was told; or it went bad later, and the other one holds the same. (With slots used in turn, a bad
 * newest slot would silently bring back an older term, as in NATS issue 5975.)
 */
export class HardStateFile {
  readonly #file: DiskFile;
  #slot: Slot;
  #isBroken = false;

  private constructor(file: DiskFile, slot: Slot) {
    this.#file = file;
    this.#slot = slot;
  }

  /** Makes the file of a node that has not voted yet. The caller syncs the directory. */
  static create(disk: Disk, path: string): void {
    const file = disk.open(path, "create");
    const state: HardState = { term: term(0), vote: null };
    const created = new HardStateFile(file, { sequence: 0, state });
    created.save(state);
    file.close();
  }

  static open(disk: Disk, path: string): OpenHardState {
    const damaged = (detail: string): OpenHardState => ({ ok: false, damage: { path, detail } });
    if (!disk.exists(path)) return damaged("it is missing: this node would not know its votes");
    const file = disk.open(path, "readWrite");
    const slots = slotOffsets.map((offset) => readSlot(file, offset));
    const newest = slots.reduce((best, slot) =>
      slot && (!best || slot.sequence > best.sequence) ? slot : best,
    );
    if (!newest) {
      file.close();
      return damaged("both copies of term and vote are damaged");
    }
    const opened = new HardStateFile(file, newest);
    opened.#settle(slots);
    return { ok: true, file: opened };
  }

  /**
   * What was found becomes what both slots hold, before anybody is told of it. It may be in memory
   * only, left there by a process that died before its sync, so it is synced before the other slot is
   * touched; and the slot that holds it is written to last, or a crash could take the only copy. It is
   * written all the same: where that process's sync had failed, the system calls the page clean, and
   * syncing it writes nothing.
   */
  #settle(slots: readonly (Slot | null)[]): void {
    this.#file.sync();
    const found = encodeSlot(this.#slot);
    const isCurrent = (i: number): boolean => slots[i]?.sequence === this.#slot.sequence;
    for (const writesCurrent of [false, true]) {
      for (const [i, offset] of slotOffsets.entries()) {
        if (isCurrent(i) !== writesCurrent) continue;
        writeFully(this.#file, offset, found);
        this.#file.sync();
      }
    }
  }

  get current(): HardState {
    return this.#slot.state;
  }

  save(state: HardState): void {
    assert(!this.#isBroken, "a file that failed is not used again");
    assert(state.term >= this.#slot.state.term, "the term never goes back");
    const slot = { sequence: this.#slot.sequence + 1, state };
    const bytes = encodeSlot(slot);
    try {
      for (const offset of slotOffsets) {
        writeFully(this.#file, offset, bytes);
        this.#file.sync();
      }
    } catch (error) {
      this.#isBroken = true;
      throw error;
    }
    this.#slot = slot;
  }

  close(): void {
    this.#file.close();
  }
}

/** Bytes 0–7 magic, 8–15 sequence, 16–23 term, 24–31 vote (0 for none), 36–39 checksum of the rest. */
function encodeSlot({ sequence, state }: Slot): Buffer {
  const bytes = Buffer.alloc(slotBytes);
  magic.copy(bytes);
  writeUint64(bytes, sequence, 8);
  writeUint64(bytes, state.term, 16);
  writeUint64(bytes, state.vote ?? 0, 24);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 36)), 36);
  return bytes;
}

function readSlot(file: DiskFile, offset: number): Slot | null {
  const bytes = Buffer.alloc(slotBytes);
  if (readFully(file, offset, bytes) < slotBytes) return null;
  if (!bytes.subarray(0, 8).equals(magic)) return null;
  if (bytes.readUInt32LE(36) !== crc32(bytes.subarray(0, 36))) return null;
  const [sequence, inTerm, vote] = [8, 16, 24].map((at) => readUint64(bytes, at)) as [
    number,
    number,
    number,
  ];
  if (!Number.isSafeInteger(sequence) || !Number.isSafeInteger(inTerm) || vote >= 2 ** 32) {
    return null;
  }
  return { sequence, state: { term: term(inTerm), vote: vote === 0 ? null : nodeId(vote) } };
}
