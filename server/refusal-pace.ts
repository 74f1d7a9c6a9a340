/**
 * How long a refused client is kept waiting before he is heard again. To refuse costs a good part of what
 * doing would: clients that come back at once could fill the node with refusals alone.
 */

/** Refusals for an answer: so much of the node's work may go into saying no. */
const refusalsPerAnswer = 1 / 8;
/** However little is answered. */
const refusalsPerSecondMin = 100;
const restMsMax = 10_000;
/** Answers are counted for so long before their rate is believed. */
const rateMs = 250;

/**
 * Whoever is refused gets the next free moment of a row of moments that are far enough apart. The first
 * come at once; the more there are, the longer the rest. A client that waits as long as it is told
 * never notices.
 */
export class RefusalPace {
  #answers = 0;
  #sinceMs: number;
  #gapMs = 1_000 / refusalsPerSecondMin;
  #lastMs = -Infinity;

  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
  }

  /** Something was done for a client. */
  answered(nowMs: number): void {
    this.#answers++;
    const elapsedMs = nowMs - this.#sinceMs;
    if (elapsedMs < rateMs) return;
    const perSecond = (1_000 * this.#answers * refusalsPerAnswer) / elapsedMs;
    this.#gapMs = 1_000 / Math.max(refusalsPerSecondMin, perSecond);
    this.#answers = 0;
    this.#sinceMs = nowMs;
  }

  /** Somebody is refused: when he is heard again, never before those who were refused before. */
  refused(nowMs: number): number {
    const dueMs = Math.max(nowMs, this.#lastMs + this.#gapMs);
    this.#lastMs = Math.min(dueMs, nowMs + restMsMax);
    return this.#lastMs;
  }
}
