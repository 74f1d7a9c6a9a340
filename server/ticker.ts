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
  /** Since when those ticks are passing that are left of a rest; null: it does not rest. */
  #sinceMs: number | null = null;
  #left = 0;

  constructor(options: TickerOptions) {
    this.#options = options;
  }

  start(): void {
    const { clock, tickMs } = this.#options;
    this.#timer = clock.every(tickMs, () => this.#run(1));
  }

  /**
   * Ticks of a rest that have passed and were not told of yet: for whoever hears something before its end.
   * The last one is never among them, however long the process stood still: a stall is one tick.
   */
  takePassed(): number {
    if (this.#sinceMs === null || this.#left === 1) return 0;
    const { clock, tickMs } = this.#options;
    const passed = Math.floor((clock.monotonicMs() - this.#sinceMs) / tickMs);
    const taken = Math.min(passed, this.#left - 1);
    this.#left -= taken;
    this.#sinceMs += taken * tickMs;
    return taken;
  }

  /**
   * The process is awake anyway, and nobody waits: what has passed of a rest is ticked now, and another rest
   * begins. Returns whether anything had passed.
   */
  tickEarly(): boolean {
    if (this.#sinceMs === null) return false;
    const { clock, tickMs } = this.#options;
    const nowMs = clock.monotonicMs();
    const count = Math.min(Math.floor((nowMs - this.#sinceMs) / tickMs), this.#left);
    if (count === 0) return false;
    this.#timer?.cancel();
    // What is left of a tick counts for the next one; of a stall nothing does.
    this.#run(count, Math.max(this.#sinceMs + count * tickMs, nowMs - tickMs));
    return true;
  }

  /** There is something to do again: the next tick is no further away than any. */
  wake(): void {
    if (this.#sinceMs === null || this.#left === 1) return;
    const { clock, tickMs } = this.#options;
    this.#left = 1;
    this.#timer?.cancel();
    const endMs = this.#sinceMs + tickMs;
    this.#timer = clock.after(Math.max(0, endMs - clock.monotonicMs()), () => this.#endRest());
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#sinceMs = null;
  }

  /** `sinceMs`: when a rest that follows has begun. */
  #run(count: number, sinceMs?: number): void {
    const timer = this.#timer;
    const hasRested = this.#sinceMs !== null;
    this.#sinceMs = null;
    this.#options.tick(count);
    // Cancelled by what it did.
    if (this.#timer !== timer) return;
    const restTicks = this.#options.restTicks();
    if (restTicks > 1) this.#rest(restTicks, sinceMs);
    else if (hasRested) this.start();
  }

  #endRest(): void {
    this.#run(this.#left);
  }

  #rest(ticks: number, sinceMs = this.#options.clock.monotonicMs()): void {
    const { clock, tickMs } = this.#options;
    this.cancel();
    this.#left = ticks;
    this.#sinceMs = sinceMs;
    const endMs = sinceMs + ticks * tickMs;
    this.#timer = clock.after(endMs - clock.monotonicMs(), () => this.#endRest());
  }
}
