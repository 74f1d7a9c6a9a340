/** What the leader knows about one follower's log, and how much it may send it. */

import { assert } from "./assert.ts";
import { index, type Index } from "./entry.ts";

/** Limits of what is on the way to one follower without an answer. */
export interface InflightLimits {
  readonly messagesMax: number;
  readonly bytesMax: number;
}

/**
 * - `probe`: the leader looks for the place where the logs agree; one message per answer or heartbeat.
 * - `replicate`: the place is known; messages are pipelined within the window.
 * - `snapshot`: the follower needs entries that are compacted; nothing is appended until a snapshot
 *   up to `pendingIndex` has arrived.
 */
export type Flow =
  | { readonly kind: "probe"; sent: boolean }
  | { readonly kind: "replicate"; readonly inflight: Inflight }
  | { readonly kind: "snapshot"; readonly pendingIndex: Index };

/** Appends on the way, oldest first: the last index and the size of each. */
export class Inflight {
  readonly #limits: InflightLimits;
  #messages: { last: Index; bytes: number }[] = [];
  #bytes = 0;

  constructor(limits: InflightLimits) {
    this.#limits = limits;
  }

  get isFull(): boolean {
    return (
      this.#messages.length >= this.#limits.messagesMax || this.#bytes >= this.#limits.bytesMax
    );
  }

  get count(): number {
    return this.#messages.length;
  }

  add(last: Index, bytes: number): void {
    assert(!this.isFull, "nothing is sent past a full window");
    this.#messages.push({ last, bytes });
    this.#bytes += bytes;
  }

  /** Everything up to `match` has been answered; an answer covers all earlier ones. */
  free(match: Index): void {
    let done = 0;
    for (const message of this.#messages) {
      if (message.last > match) break;
      this.#bytes -= message.bytes;
      done++;
    }
    if (done > 0) this.#messages.splice(0, done);
  }

  /** Lets one more message through, so that a lost answer cannot stall a full window for ever. */
  freeOldest(): void {
    const oldest = this.#messages.shift();
    if (oldest) this.#bytes -= oldest.bytes;
  }
}

/** Invariant: match < next. Everything up to `match` is on the follower's disk and equal to ours. */
export class Progress {
  readonly #limits: InflightLimits;
  match: Index = index(0);
  /** The next entry to send. */
  next: Index;
  /** The highest commit index this follower was told, bounded by what it had been sent then. */
  commitSent: Index = index(0);
  /** Ticks for which the follower may go without what `commitSent` lacks; 0: it is told now. */
  commitWait = 0;
  flow: Flow = { kind: "probe", sent: false };
  /** Heard from since the last quorum check. */
  recentlyActive: boolean;
  /** The newest read round it has confirmed. */
  readRound = 0;

  constructor(options: { next: Index; limits: InflightLimits; recentlyActive: boolean }) {
    this.next = options.next;
    this.#limits = options.limits;
    this.recentlyActive = options.recentlyActive;
  }

  get isPaused(): boolean {
    switch (this.flow.kind) {
      case "probe":
        return this.flow.sent;
      case "replicate":
        return this.flow.inflight.isFull;
      case "snapshot":
        return true;
    }
  }

  /** `next` where it is known better than one behind `match`: after a snapshot. */
  becomeProbe(next: Index = index(this.match + 1)): void {
    this.next = index(Math.max(next, this.match + 1));
    this.flow = { kind: "probe", sent: false };
    this.commitSent = index(0);
  }

  /**
   * The stream of the snapshot is over. What comes next waits for an answer or for a heartbeat's:
   * a stream that breaks at once would otherwise be started again at once, for ever.
   */
  snapshotEnded(arrived: boolean): void {
    if (this.flow.kind !== "snapshot") return;
    this.becomeProbe(arrived ? index(this.flow.pendingIndex + 1) : undefined);
    this.flow = { kind: "probe", sent: true };
  }

  /** The follower's log ends at `lastIndex` although it had acknowledged more: it begins anew. */
  lost(lastIndex: Index): void {
    if (this.match <= lastIndex) return;
    this.match = index(0);
    this.becomeProbe(index(lastIndex + 1));
  }

  becomeReplicate(): void {
    this.next = index(this.match + 1);
    this.flow = { kind: "replicate", inflight: new Inflight(this.#limits) };
  }

  becomeSnapshot(pendingIndex: Index): void {
    this.flow = { kind: "snapshot", pendingIndex };
  }

  /** Notes an append through `last`; optimistic in `replicate`, so the next one can follow at once. */
  sentAppend(last: Index, options: { entryCount: number; bytes: number }): void {
    switch (this.flow.kind) {
      case "probe":
        this.flow.sent = true;
        return;
      case "replicate":
        if (options.entryCount === 0) return;
        this.next = index(last + 1);
        this.flow.inflight.add(last, options.bytes);
        return;
      case "snapshot":
        assert(false, "nothing is appended while a snapshot is on the way");
    }
  }

  /** Returns whether the answer told something new. */
  accepted(match: Index): boolean {
    const isNews = match > this.match;
    if (isNews) this.match = match;
    if (this.next <= match) this.next = index(match + 1);
    return isNews;
  }

  /**
   * The follower refused the append after `rejected`. Returns false for a late refusal, which says
   * nothing any more (a reordered or duplicated message).
   */
  rejected(rejected: Index, agreeAtMost: Index): boolean {
    switch (this.flow.kind) {
      case "replicate":
        if (rejected <= this.match) return false;
        this.becomeProbe();
        return true;
      case "probe":
        if (rejected !== this.next - 1) return false;
        this.next = index(Math.max(Math.min(rejected, agreeAtMost + 1), this.match + 1));
        this.flow.sent = false;
        return true;
      case "snapshot":
        return false;
    }
  }
}
