/**
 * When the node ticks: evenly while there is something to do; while there is nothing, several ticks pass
 * at once, since to wake up costs an idle node more than all that it does then.
 */

import type { Clock, Timer } from "./ports.ts";

export interface TickerOptions {
  readonly clock: Clock;
  readonly tickMs: number;
  /** So many ticks have passed, one at the least. */
  readonly tick: (count: number) => void;
  /** How many ticks may pass before the next call of `tick`; 1 while there is something to do. */
  readonly restTicks: () => number;
}

export class Ticker {
  readonly #options: TickerOptions;
  #timer: Timer | null = null;
  /** Since when it has been resting; null: it is not. */
  #restingSinceMs: number | null = null;
  /** Ticks of a rest that ended early. */
  #owed = 0;

  constructor(options: TickerOptions) {
    this.#options = options;
  }

  start(): void {
    const { clock, tickMs } = this.#options;
    this.#timer = clock.every(tickMs, () => {
      const count = 1 + this.#owed;
      this.#owed = 0;
      this.#run(count);
    });
  }

  /** There is something to do again: the next tick is no further away than any. */
  wake(): void {
    if (this.#restingSinceMs === null) return;
    const { clock, tickMs } = this.#options;
    this.#owed += Math.floor((clock.monotonicMs() - this.#restingSinceMs) / tickMs);
    this.cancel();
    this.start();
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#restingSinceMs = null;
  }

  #run(count: number): void {
    const timer = this.#timer;
    const hasRested = this.#restingSinceMs !== null;
    this.#restingSinceMs = null;
    this.#options.tick(count);
    // Cancelled by what it did.
    if (this.#timer !== timer) return;
    const restTicks = this.#options.restTicks();
    if (restTicks > 1) this.#rest(restTicks);
    else if (hasRested) this.start();
  }

  #rest(ticks: number): void {
    const { clock, tickMs } = this.#options;
    this.cancel();
    this.#restingSinceMs = clock.monotonicMs();
    this.#timer = clock.after(ticks * tickMs, () => this.#run(ticks));
  }
}
