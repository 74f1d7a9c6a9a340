/**
 * The leader's side of snapshots: has one made when a follower needs entries that are compacted, and
 * carries its file over in pieces, no more of them on the way than a window holds.
 */

import type { Limits } from "./limits.ts";
import type { PeerMessage, SnapshotProgress } from "./peer-message.ts";
import type { Clock, SnapshotInfo, SnapshotStore } from "./ports.ts";
import { assert } from "./raft/assert.ts";
import type { Index, NodeId } from "./raft/entry.ts";
import type { Snapshot } from "./raft/message.ts";

export interface SnapshotSenderOptions {
  readonly store: SnapshotStore;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly send: (to: NodeId, message: PeerMessage) => boolean;
  /** The transfer is over; nothing more of it is sent. */
  readonly finished: (to: NodeId, arrived: boolean) => void;
  /** A sentence for the log. */
  readonly warn: (text: string) => void;
  /** How fast to go on with so much of the way (0…1) gone, from the state here to the one there. */
  readonly pace: (gone: number) => Pace;
}

/**
 * - `full`: nobody writes, or the log behind the snapshot has no more room.
 * - `brisk`: that is to come.
 * - `leisure`: others write, and there is time.
 * - `yielding`: and they wait.
 */
export type Pace = "full" | "brisk" | "leisure" | "yielding";

/** Pieces in a tick; at leisure one, and while it yields, one in so many ticks. */
const briskPieces = 2;
const yieldedTicks = 4;

/** Whoever had no room is asked again after `snapshotTimeoutMs`, and then twice as late each time. */
const doublingsMax = 3;

/** Invariant: acknowledged ≤ sent ≤ info.bytes. */
interface Transfer {
  readonly offer: PeerMessage;
  readonly info: SnapshotInfo;
  /** The receiver has answered the offer. */
  isTaken: boolean;
  acknowledged: number;
  sent: number;
  heardMs: number;
  /** When something was sent anew, or the receiver got further. */
  movedMs: number;
}

export class SnapshotSender {
  readonly #options: SnapshotSenderOptions;
  readonly #transfers = new Map<NodeId, Transfer>();
  #isWanted = false;
  /** Before this none is begun: the disk had no room for the last one. */
  #notBeforeMs = 0;
  /** When it was made, or somebody last had more of it than before. */
  #usedMs = 0;
  /** Who had no room for it, how often, and until when they are left alone. */
  readonly #refusals = new Map<NodeId, { readonly count: number; readonly untilMs: number }>();
  /** Bytes that may still be sent before the next tick. */
  #budget = 0;
  /** Pieces of work on what is made that this tick has time for. */
  #steps = 0;
  /** In which nothing was done, one after the other. */
  #ticksYielded = 0;

  constructor(options: SnapshotSenderOptions) {
    this.#options = options;
  }

  /** What may not be compacted: a follower will go on behind this index. */
  get pinnedIndex(): Index | null {
    const { store } = this.#options;
    return store.newest?.lastIndex ?? store.makingIndex;
  }

  get isIdle(): boolean {
    return !this.#isWanted && this.#transfers.size === 0 && this.pinnedIndex === null;
  }

  /**
   * The follower `to` needs a snapshot that ends at `firstNeeded` or later: gives it, or sees to it that
   * there will be one.
   */
  want(to: NodeId, firstNeeded: Index, nowMs: number): Omit<Snapshot, "type" | "term"> | null {
    if (nowMs < (this.#refusals.get(to)?.untilMs ?? 0)) return null;
    const { newest } = this.#options.store;
    if (newest && newest.lastIndex >= firstNeeded) {
      const { lastIndex, lastTerm, configuration } = newest;
      return { lastIndex, lastTerm, configuration };
    }
    this.#isWanted = true;
    return null;
  }

  start(to: NodeId, message: Snapshot, nowMs: number): void {
    const { limits, finished, send, store } = this.#options;
    const info = store.newest;
    const isFull = !this.#transfers.has(to) && this.#transfers.size >= limits.snapshotTransfersMax;
    if (info?.lastIndex !== message.lastIndex || isFull) {
      finished(to, false);
      return;
    }
    const { term, lastIndex, lastTerm, configuration } = message;
    const { id, bytes } = info;
    const place = { term, lastIndex, lastTerm, configuration };
    const offer = { type: "snapshotOffer", ...place, id, bytes } as const;
    const places = { isTaken: false, acknowledged: 0, sent: 0, heardMs: nowMs, movedMs: nowMs };
    this.#transfers.set(to, { offer, info, ...places });
    send(to, offer);
  }

  progress(from: NodeId, message: SnapshotProgress, nowMs: number): void {
    const transfer = this.#transfers.get(from);
    if (transfer?.info.id !== message.id || message.offset > transfer.info.bytes) return;
    transfer.heardMs = nowMs;
    switch (message.phase) {
      case "installed":
        this.#usedMs = nowMs;
        this.#refusals.delete(from);
        this.#finish(from, true);
        return;
      case "refused":
        this.#finish(from, false);
        return;
      case "noRoom":
        this.#leaveAlone(from, nowMs);
        this.#finish(from, false);
        return;
      case "damaged":
        // The file is not what it was: nobody gets it.
        this.abandon();
        return;
      case "building":
        // What was sent has arrived, and nothing has to be sent again.
        transfer.movedMs = nowMs;
        this.#acknowledge(transfer, message.offset, nowMs);
        this.#fill(from, transfer);
        return;
      case "receiving":
        this.#acknowledge(transfer, message.offset, nowMs);
        this.#fill(from, transfer);
    }
  }

  /** Only while this node leads. */
  tick(nowMs: number): void {
    const { limits, pace } = this.#options;
    this.#setPace(pace(this.#gone));
    if (this.#steps > 0) this.#make(nowMs);
    for (const [to, transfer] of this.#transfers) {
      if (nowMs - transfer.heardMs >= limits.snapshotTimeoutMs) {
        this.#finish(to, false);
        continue;
      }
      if (nowMs - transfer.movedMs >= limits.snapshotRetryMs) this.#sendAgain(to, transfer, nowMs);
      this.#fill(to, transfer);
    }
    const { newest } = this.#options.store;
    if (this.#transfers.size > 0) return;
    if (newest && nowMs - this.#usedMs >= limits.snapshotKeptMs) this.#options.store.discard();
  }

  /** This node does not lead any more, or leads another term: transfers begin anew, if at all. */
  stop(): void {
    this.#transfers.clear();
    this.#refusals.clear();
    this.#isWanted = false;
    if (this.pinnedIndex !== null) this.#options.store.discard();
  }

  /** Nobody gets it, and the next one who asks has a new one made. */
  abandon(): void {
    for (const to of this.#transfers.keys()) this.#finish(to, false);
    if (this.pinnedIndex !== null) this.#options.store.discard();
  }

  #setPace(pace: Pace): void {
    const { snapshotLeisureBytes, snapshotTickBytes, snapshotTickSteps } = this.#options.limits;
    let pieces = pace === "brisk" ? briskPieces : 1;
    if (pace === "yielding" && this.#ticksYielded < yieldedTicks - 1) pieces = 0;
    this.#ticksYielded = pieces === 0 ? this.#ticksYielded + 1 : 0;
    const isFull = pace === "full";
    this.#steps = isFull ? snapshotTickSteps : Math.min(snapshotTickSteps, pieces);
    this.#budget = isFull
      ? snapshotTickBytes
      : Math.min(snapshotTickBytes, pieces * snapshotLeisureBytes);
  }

  /** Half of the way is making it, half is sending it to the one that has least of it. */
  get #gone(): number {
    const { makingShare, newest } = this.#options.store;
    if (makingShare !== null) return makingShare / 2;
    let sentShare = 1;
    for (const { acknowledged, info } of this.#transfers.values()) {
      sentShare = Math.min(sentShare, acknowledged / info.bytes);
    }
    return newest === null ? 0 : (1 + sentShare) / 2;
  }

  // ------------------------------------------------------------------ making

  #make(nowMs: number): void {
    const { clock, limits, store } = this.#options;
    if (store.makingIndex === null) {
      const isBusy = this.#transfers.size > 0 || nowMs < this.#notBeforeMs;
      if (!this.#isWanted || isBusy) return;
      store.make();
      if (store.makingIndex === null) {
        this.#notBeforeMs = nowMs + limits.snapshotTimeoutMs;
        return;
      }
    }
    for (let step = 0; step < this.#steps; step++) {
      const result = store.work();
      if (result === "more") {
        if (clock.monotonicMs() - nowMs >= limits.snapshotTickMs) return;
        continue;
      }
      if (result === "full") this.#notBeforeMs = nowMs + limits.snapshotTimeoutMs;
      // Whoever asked while it was being made is served as well.
      this.#isWanted = false;
      this.#usedMs = nowMs;
      return;
    }
  }

  // ------------------------------------------------------------------ sending

  #leaveAlone(peer: NodeId, nowMs: number): void {
    const { limits, warn } = this.#options;
    const count = this.#refusals.get(peer)?.count ?? 0;
    const pauseMs = limits.snapshotTimeoutMs * 2 ** Math.min(count, doublingsMax);
    this.#refusals.set(peer, { count: count + 1, untilMs: nowMs + pauseMs });
    if (count === 0) warn(`node ${peer} has no room on its disk for a snapshot of the state`);
  }

  /** The receiver has everything before `offset`: less than it once had, where it has started anew. */
  #acknowledge(transfer: Transfer, offset: number, nowMs: number): void {
    if (!transfer.isTaken || offset !== transfer.acknowledged) transfer.movedMs = nowMs;
    if (!transfer.isTaken || offset < transfer.acknowledged) transfer.sent = offset;
    if (offset > transfer.acknowledged || offset === transfer.info.bytes) this.#usedMs = nowMs;
    transfer.isTaken = true;
    transfer.acknowledged = offset;
    transfer.sent = Math.max(transfer.sent, offset);
  }

  #sendAgain(to: NodeId, transfer: Transfer, nowMs: number): void {
    transfer.movedMs = nowMs;
    if (transfer.isTaken) transfer.sent = transfer.acknowledged;
    else this.#options.send(to, transfer.offer);
  }

  #fill(to: NodeId, transfer: Transfer): void {
    if (!transfer.isTaken) return;
    const { limits, send, store } = this.#options;
    const { id, bytes } = transfer.info;
    assert(store.newest?.id === id, "a snapshot stays while it is sent");
    while (transfer.sent < bytes && this.#budget > 0) {
      if (transfer.sent - transfer.acknowledged >= limits.snapshotWindowBytes) return;
      const data = store.read(transfer.sent, limits.snapshotChunkBytes);
      const chunk = { type: "snapshotChunk", id, offset: transfer.sent, data } as const;
      if (!send(to, chunk)) return;
      transfer.sent += data.byteLength;
      this.#budget -= data.byteLength;
    }
  }

  #finish(to: NodeId, arrived: boolean): void {
    this.#transfers.delete(to);
    this.#options.finished(to, arrived);
  }
}
