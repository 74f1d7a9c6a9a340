/**
 * Whether there is room for what the cluster is asked to keep: what this node's own disk says, and what
 * the other voters say of theirs. Who leads refuses on the word of any of them, because an entry that
 * is committed has to find room on all of them in the end.
 */

import type { Limits } from "./limits.ts";
import type { Room } from "./peer-message.ts";
import type { DiskSpace } from "./ports.ts";
import { assert, unreachable } from "./raft/assert.ts";
import type { NodeId } from "./raft/entry.ts";
import type { StateMachine } from "./state-machine/port.ts";
import { takesRoom } from "./state-machine/codec.ts";

export interface DiskWatchOptions {
  readonly self: NodeId;
  readonly space: DiskSpace;
  readonly limits: Limits;
  readonly machine: Pick<StateMachine, "stateBytes" | "unsyncedBytes" | "reusableBytes">;
  readonly warn: (text: string) => void;
}

/** What is written, each by itself: no room for one says nothing of the others. */
export type DiskUse = "log" | "state" | "checkpoint" | "note";

/** A part of the whole disk that the watermark, and the reserve, are at the most. */
const watermarkPart = 1 / 8;
const reservePart = 1 / 32;
/** So much more than the watermark has to be free again: writes are not let in and shut out in turn. */
const easedFactor = 1.25;

/** Written in between two looks at the disk. */
const lookBytes = 256 << 10;

const worse = (a: Room, b: Room): Room => (rank(a) < rank(b) ? b : a);

function rank(room: Room): number {
  switch (room) {
    case "ok":
      return 0;
    case "low":
      return 1;
    case "full":
      return 2;
    default:
      return unreachable(room);
  }
}

export class DiskWatch {
  readonly #options: DiskWatchOptions;
  /** What others said, and when, by the monotonic clock. */
  readonly #reports = new Map<NodeId, { readonly room: Room; readonly atMs: number }>();
  #freeBytes = 0;
  /** Since the last look. */
  #wroteBytes = 0;
  #isLow = false;
  readonly #full = new Set<DiskUse>();
  #checkedMs = -Infinity;

  constructor(options: DiskWatchOptions) {
    this.#options = options;
    this.#measure();
  }

  get freeBytes(): number {
    return this.#freeBytes;
  }

  get own(): Room {
    if (this.#full.size > 0) return "full";
    return this.#isLow ? "low" : "ok";
  }

  /** Looks at the disk if it is time to; returns whether it was. */
  tick(nowMs: number): boolean {
    if (nowMs - this.#checkedMs < this.#options.limits.diskCheckMs) return false;
    this.#checkedMs = nowMs;
    const before = this.own;
    this.#measure();
    this.#tell(before);
    return true;
  }

  /** So many bytes went to the disk: many in a short time use up more than a look now and then sees. */
  wrote(bytes: number): void {
    this.#wroteBytes += bytes;
    if (this.#wroteBytes < lookBytes) return;
    const before = this.own;
    this.#measure();
    this.#tell(before);
  }

  /** There was no room. Returns whether some was made, so that it may be tried again at once. */
  foundFull(use: DiskUse): boolean {
    if (this.#options.space.release()) return true;
    const before = this.own;
    this.#full.add(use);
    this.#measure();
    this.#tell(before);
    return false;
  }

  /** What found no room is written now. */
  foundRoom(use: DiskUse): void {
    const before = this.own;
    if (this.#full.delete(use)) this.#tell(before);
  }

  report(from: NodeId, room: Room, nowMs: number): void {
    this.#reports.set(from, { room, atMs: nowMs });
  }

  /**
   * Which commands some voter has no room for; null where there is room for all. What makes room is
   * refused by a full disk only.
   */
  refusal(voters: readonly NodeId[], nowMs: number): ((command: Uint8Array) => boolean) | null {
    const room = this.#among(voters, nowMs);
    switch (room) {
      case "ok":
        return null;
      case "low":
        return takesRoom;
      case "full":
        return () => true;
      default:
        return unreachable(room);
    }
  }

  /** The worst that `voters` say, this node among them. Who has gone silent says nothing. */
  #among(voters: readonly NodeId[], nowMs: number): Room {
    const oldestMs = nowMs - this.#options.limits.leaderlessHoldMs;
    let room = this.own;
    for (const [id, report] of this.#reports) {
      if (report.atMs < oldestMs) this.#reports.delete(id);
      else if (voters.includes(id)) room = worse(room, report.room);
    }
    return room;
  }

  #measure(): void {
    const { space, limits, machine } = this.#options;
    this.#wroteBytes = 0;
    const { freeBytes, totalBytes } = space.measure();
    assert(freeBytes >= 0 && totalBytes >= 0, "a disk has a size");
    this.#freeBytes = freeBytes;
    const kept = Math.max(limits.diskFreeBytesMin, machine.stateBytes);
    const watermark = Math.min(kept, totalBytes * watermarkPart);
    const needed = this.#isLow ? watermark * easedFactor : watermark;
    // The next checkpoint brings to the state's file what waits in its log. Deleted rows leave room in
    // that file; the Raft log and the checkpoint need some outside of it all the same.
    const left = freeBytes - machine.unsyncedBytes;
    this.#isLow = left + machine.reusableBytes < needed || left < needed / 2;
    const reserve = Math.min(limits.diskReserveBytes, totalBytes * reservePart);
    if (this.#full.size === 0 && freeBytes >= 2 * reserve) space.reserve(Math.floor(reserve));
  }

  #tell(before: Room): void {
    const { own } = this;
    if (own === before) return;
    const free = `${Math.floor(this.#freeBytes / 1024)} KiB free`;
    const { warn } = this.#options;
    switch (own) {
      case "ok":
        warn(`the disk has room again (${free}): writes are taken`);
        break;
      case "low":
        warn(`the disk is nearly full (${free}): writes are refused, deletes and reads go on`);
        break;
      case "full":
        warn(`the disk is full (${free}): nothing can be written until there is room`);
        break;
      default:
        unreachable(own);
    }
  }
}
