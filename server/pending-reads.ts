/**
 * Linearizable reads on the node that took them: gathered while the question for those before them is on
 * its way, asked for together, answered once applied. The more there are, the more share one question.
 */

import type { Index } from "./raft/entry.ts";

export type ReadAnswer =
  | { readonly ok: true }
  | { readonly ok: false; readonly error: "noLeader" | "stale" | "overloaded" | "stopping" };

interface WaitingRead {
  readonly startMs: number;
  /** Called synchronously at the moment the applied state may be read. */
  readonly done: (answer: ReadAnswer) => void;
}

/** By the monotonic clock, and how long a read may wait: for a leader, and altogether. */
export interface ReadTimes {
  readonly nowMs: number;
  readonly leaderlessMs: number;
  readonly deadlineMs: number;
  readonly hasLeader: boolean;
}

/**
 * A question without an answer is waited for so long before the next one goes out: it may be lost, and
 * its reads are then asked for again by and by.
 */
const patienceMs = 10;

/** Reads that share one request for a read index. */
interface Batch {
  readonly requestId: number;
  reads: WaitingRead[];
  askedMs: number;
}

export class PendingReads {
  readonly #readsMax: number;
  #gathering: WaitingRead[] = [];
  /** Asked for and not answered, by request id, oldest first. */
  readonly #asked = new Map<number, Batch>();
  /** The read index is known, and not applied yet. */
  #confirmed: { readIndex: Index; reads: WaitingRead[] }[] = [];
  #lastRequestId: number;
  #lastAskedMs = -Infinity;
  #count = 0;
  /** As of a tick whose work is not done yet. */
  #due: ReadTimes | null = null;

  /**
   * `firstRequestId` is new in each life of the process: a late answer to a request of an earlier
   * life, with an index of then, must not answer one of now.
   */
  constructor(options: { readsMax: number; firstRequestId: number }) {
    this.#readsMax = options.readsMax;
    this.#lastRequestId = options.firstRequestId;
  }

  add(startMs: number, done: (answer: ReadAnswer) => void): boolean {
    if (this.#count >= this.#readsMax) return false;
    this.#count++;
    this.#gathering.push({ startMs, done });
    return true;
  }

  /** Nobody waits. */
  get isEmpty(): boolean {
    return this.#count === 0;
  }

  get hasGathered(): boolean {
    return this.#gathering.length > 0;
  }

  /** Reads are gathered, and no question is on its way that they had better wait for. */
  isDue(nowMs: number): boolean {
    if (this.#gathering.length === 0) return false;
    return this.#asked.size === 0 || nowMs - this.#lastAskedMs >= patienceMs;
  }

  /** Turns the gathered reads into one request and returns its id. */
  ask(nowMs: number): number {
    const requestId = this.nextId();
    this.#lastAskedMs = nowMs;
    this.#asked.set(requestId, { requestId, reads: this.#gathering, askedMs: nowMs });
    this.#gathering = [];
    return requestId;
  }

  /** An id for a request that is nobody's read. */
  nextId(): number {
    this.#lastRequestId++;
    return this.#lastRequestId;
  }

  /** Requests without an answer for `afterMs`: to be sent again (they are idempotent). */
  unanswered(nowMs: number, afterMs: number): number[] {
    const ids: number[] = [];
    for (const batch of this.#asked.values()) {
      if (nowMs - batch.askedMs < afterMs) continue;
      batch.askedMs = nowMs;
      ids.push(batch.requestId);
    }
    return ids;
  }

  /** The state at `readIndex` or later answers the reads of that request. */
  confirm(requestId: number, readIndex: Index): void {
    const batch = this.#asked.get(requestId);
    if (!batch) return;
    this.#asked.delete(requestId);
    this.#confirmed.push({ readIndex, reads: batch.reads });
  }

  /** What has waited too long by then is refused once all that has arrived is dealt with. */
  tick(times: ReadTimes): void {
    this.#due = times;
  }

  /** Answers every confirmed read whose index is applied, and then whatever has waited too long. */
  applied(appliedIndex: Index): void {
    if (this.#confirmed.length > 0) {
      const due = this.#confirmed.filter(({ readIndex }) => readIndex <= appliedIndex);
      this.#confirmed = this.#confirmed.filter(({ readIndex }) => readIndex > appliedIndex);
      for (const { reads } of due) this.#finish(reads, { ok: true });
    }
    if (this.#due === null) return;
    this.#expire(this.#due);
    this.#due = null;
  }

  /** With a leader that does not answer a read waits as long as for anything else: it is asked again. */
  #expire({ nowMs, deadlineMs, ...times }: ReadTimes): void {
    const leaderlessMs = times.hasLeader ? deadlineMs : times.leaderlessMs;
    const isLate = (ms: number) => (read: WaitingRead) => nowMs - read.startMs >= ms;
    this.#gathering = this.#drop(this.#gathering, isLate(leaderlessMs), "noLeader");
    for (const batch of this.#asked.values()) {
      const left = this.#drop(batch.reads, isLate(leaderlessMs), "noLeader");
      if (left.length === 0) this.#asked.delete(batch.requestId);
      else batch.reads = left;
    }
    for (const waiting of this.#confirmed) {
      waiting.reads = this.#drop(waiting.reads, isLate(deadlineMs), "stale");
    }
    this.#confirmed = this.#confirmed.filter(({ reads }) => reads.length > 0);
  }

  close(): void {
    const all = [
      this.#gathering,
      ...[...this.#asked.values()].map((batch) => batch.reads),
      ...this.#confirmed.map(({ reads }) => reads),
    ];
    this.#gathering = [];
    this.#asked.clear();
    this.#confirmed = [];
    for (const reads of all) this.#finish(reads, { ok: false, error: "stopping" });
  }

  #drop(
    reads: WaitingRead[],
    isLate: (read: WaitingRead) => boolean,
    error: "noLeader" | "stale",
  ): WaitingRead[] {
    // Reads stand in the order they came, so the first one in time ends the search.
    const oldest = reads[0];
    if (!oldest || !isLate(oldest)) return reads;
    this.#finish(reads.filter(isLate), { ok: false, error });
    return reads.filter((read) => !isLate(read));
  }

  #finish(reads: readonly WaitingRead[], answer: ReadAnswer): void {
    this.#count -= reads.length;
    for (const read of reads) read.done(answer);
  }
}
