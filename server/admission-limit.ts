/**
 * How many requests are taken at once, found from how long they take: a number that nobody has to know
 * beforehand. Time and delays in, decisions out; no clock of its own.
 */

import { assert } from "./raft/assert.ts";

export interface AdmissionLimits {
  /** How long requests may stand in a queue; beyond it fewer are taken. */
  readonly admissionDelayMs: number;
  /** How long they are watched before each decision. */
  readonly admissionIntervalMs: number;
  /** So many at once are never refused. */
  readonly admissionInFlightMin: number;
}

export const admissionLimits: AdmissionLimits = {
  admissionDelayMs: 250,
  admissionIntervalMs: 250,
  admissionInFlightMin: 64,
};

/** Of so few in flight none waits for the others. */
const calmInFlight = 16;
/** An interval with fewer answers says nothing, and is made longer. */
const answersMin = 8;
/** Intervals in a row with too long a delay before something is done: one may be a hiccup. */
const lateIntervals = 2;
/** Intervals in a row without a refusal after which there is no limit any more. */
const quietIntervals = 20;
/** The limit rises by this in an interval. */
const riseFactor = 1.1;
/** Below this share of the delay that is allowed there is room for more. */
const roomShare = 0.75;

/** A limit that leaves less than this share of the throughput has cost something. */
const keptShare = 0.75;
/** After so many in a row that cost something and left the delay too long, there is no queue. */
const costlyTrials = 2;

/**
 * The measure is the shortest delay in an interval: however unevenly requests come, and whatever single
 * ones suffer, somebody gets through without a queue unless there is one that never empties (CoDel,
 * RFC 8289 §3). Once it stands too long for two intervals, as many are left in as the allowed delay
 * is worth: in a queue, delay and number go together (Little's law), and the throughput stays.
 *
 * Where it does not go together, the delay is no queue's: a slow disk, a far majority. Then fewer requests
 * are as slow and only done less often, so the limit is taken back, and that delay is added to what
 * is allowed. The same is learned without a limit whenever few are in flight (as TCP Vegas does).
 */
export class AdmissionLimit {
  readonly #limits: AdmissionLimits;
  /** Infinity: whatever comes is taken. */
  #limit = Infinity;
  #inFlight = 0;
  /** What a request takes that waits for no other. */
  #ownMs = 0;
  /** Answers in a millisecond before the limit was lowered; null where it has shown its worth. */
  #perMsBefore: number | null = null;
  #costly = 0;
  #late = 0;
  #quiet = 0;
  #refusedTotal = 0;
  /** In flight at once since spare room was last asked for. */
  #mostUnasked = 0;
  #lastDelayMs = 0;

  /** More are in flight than the limit that was just set. */
  #isSettling = false;
  #countsFromMs = -Infinity;

  // Of the interval that runs.
  #beganMs: number;
  #smallestMs = Infinity;
  #answers = 0;
  #measured = 0;
  #most = 0;
  #refused = 0;

  constructor(limits: AdmissionLimits, nowMs: number) {
    this.#limits = limits;
    this.#beganMs = nowMs;
  }

  /** Requests at once; Infinity where none is refused. */
  get limit(): number {
    return this.#limit;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** How many more would have been taken at any time since it was asked before: those nobody came for. */
  takeSpare(): number {
    const spare = this.#limit - this.#mostUnasked;
    this.#mostUnasked = this.#inFlight;
    return spare;
  }

  get refusedTotal(): number {
    return this.#refusedTotal;
  }

  /** The shortest delay in the last interval that was judged. */
  get delayMs(): number {
    return this.#lastDelayMs;
  }

  /** Whether a request that has come is to be refused. */
  refuses(): boolean {
    if (this.#inFlight < this.#limit) return false;
    this.#refused++;
    this.#refusedTotal++;
    return true;
  }

  /** A request is taken; `ended` follows. */
  began(): void {
    this.#inFlight++;
    if (this.#inFlight > this.#most) this.#most = this.#inFlight;
    if (this.#inFlight > this.#mostUnasked) this.#mostUnasked = this.#inFlight;
  }

  /** `delayMs`: since it began, where it has waited for nothing but its turn; otherwise null. */
  ended(nowMs: number, delayMs: number | null): void {
    assert(this.#inFlight > 0, "a request ends once");
    this.#inFlight--;
    if (this.#isSettling) {
      // Whoever came before the limit was lowered says nothing of what it does.
      if (this.#inFlight > this.#limit) return;
      this.#isSettling = false;
      this.#begin(nowMs);
      this.#countsFromMs = nowMs;
      return;
    }
    this.#answers++;
    if (delayMs !== null && nowMs - delayMs >= this.#countsFromMs) {
      this.#measured++;
      if (delayMs < this.#smallestMs) this.#smallestMs = delayMs;
    }
    const elapsedMs = nowMs - this.#beganMs;
    if (elapsedMs < this.#limits.admissionIntervalMs || this.#measured < answersMin) return;
    this.#judge(elapsedMs);
    this.#begin(nowMs);
  }

  #begin(nowMs: number): void {
    this.#beganMs = nowMs;
    this.#smallestMs = Infinity;
    this.#answers = 0;
    this.#measured = 0;
    this.#most = this.#inFlight;
    this.#refused = 0;
  }

  #judge(elapsedMs: number): void {
    const { admissionDelayMs } = this.#limits;
    const delayMs = this.#smallestMs;
    this.#lastDelayMs = delayMs;
    if (this.#most <= calmInFlight) this.#ownMs = delayMs;
    else this.#ownMs = Math.min(this.#ownMs, delayMs);
    const allowedMs = this.#ownMs + admissionDelayMs;
    if (delayMs > allowedMs) {
      this.#late++;
      this.#quiet = 0;
      if (this.#late >= lateIntervals) this.#lower(delayMs, this.#answers / elapsedMs);
      return;
    }
    this.#late = 0;
    this.#perMsBefore = null;
    this.#costly = 0;
    if (this.#limit === Infinity) return;
    this.#quiet = this.#refused === 0 ? this.#quiet + 1 : 0;
    if (this.#quiet >= quietIntervals) this.#limit = Infinity;
    else if (this.#refused > 0 && delayMs < roomShare * allowedMs) {
      this.#limit = Math.ceil(this.#limit * riseFactor);
    }
  }

  #lower(delayMs: number, perMs: number): void {
    this.#late = 0;
    const { admissionDelayMs, admissionInFlightMin } = this.#limits;
    const isCostly = this.#perMsBefore !== null && perMs < keptShare * this.#perMsBefore;
    this.#costly = isCostly ? this.#costly + 1 : 0;
    if (this.#costly >= costlyTrials) {
      this.#perMsBefore = null;
      this.#costly = 0;
      this.#ownMs = delayMs;
      this.#limit = Infinity;
      return;
    }
    this.#perMsBefore = perMs;
    const worth = Math.ceil(perMs * (this.#ownMs + admissionDelayMs));
    this.#limit = Math.max(admissionInFlightMin, Math.min(this.#limit, worth));
    this.#isSettling = true;
  }
}
