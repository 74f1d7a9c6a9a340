/** How fast a leader feeds followers what is committed without them, while others write. */

import type { Index } from "./entry.ts";

/** So many times what is written; the rest of the machine belongs to the writers. */
const share = 2;
/** The same while they wait: what lags behind still gains on them. */
const strainedShare = 1.5;
/** And so much less at the least. */
const strainedPart = 1 / 4;
/** Over how many ticks the rate of the writes is taken. */
const smoothingTicks = 16;
/** Without a commit for so long nobody is held up, or only by those who lag: then they are fed at once. */
const quietTicks = 8;

/**
 * Nobody waits for an entry that is committed already, but the leader's processor and everybody's disks
 * are the ones that those who write wait for.
 */
export class CatchUp {
  readonly #bytesMin: number;
  #budget = Infinity;
  #appendedBytes = 0;
  #bytesPerTick = 0;
  #commitIndex = 0;
  /** As of the last tick. */
  #lastIndex = 0;
  #isStrained = false;
  #ticksSinceCommit = quietTicks;

  /** Of a tick, however little is written. */
  constructor(bytesMin: number) {
    this.#bytesMin = bytesMin;
  }

  /** Entry bytes that may still be sent before the next tick. */
  get budget(): number {
    return this.#budget;
  }

  /** Nothing was committed of late: nobody writes, or nobody can. */
  get isQuiet(): boolean {
    return this.#ticksSinceCommit >= quietTicks;
  }

  /** What was proposed before the last tick is not committed yet: somebody waits for the disks, or for us. */
  get isStrained(): boolean {
    return this.#isStrained;
  }

  appended(bytes: number): void {
    this.#appendedBytes += bytes;
  }

  sent(bytes: number): void {
    this.#budget -= bytes;
  }

  tick(commitIndex: Index, lastIndex: Index): void {
    this.#bytesPerTick += (this.#appendedBytes - this.#bytesPerTick) / smoothingTicks;
    this.#appendedBytes = 0;
    this.#ticksSinceCommit = commitIndex > this.#commitIndex ? 0 : this.#ticksSinceCommit + 1;
    this.#commitIndex = commitIndex;
    this.#isStrained = commitIndex < this.#lastIndex;
    this.#lastIndex = lastIndex;
    // A large entry goes whole, and what comes behind it waits for it.
    this.#budget = Math.min(0, this.#budget) + this.#nextBudget();
  }

  #nextBudget(): number {
    if (this.isQuiet) return Infinity;
    if (!this.#isStrained) return Math.max(this.#bytesMin, share * this.#bytesPerTick);
    return Math.max(strainedPart * this.#bytesMin, strainedShare * this.#bytesPerTick);
  }
}
