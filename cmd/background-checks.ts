/** Looks at what nobody asks for: old parts of the log, and all rows, so that damage does not lie hidden. */

import type { Clock, Timer } from "../server/ports.ts";

/** One segment of the log at a time. */
const logEveryMs = 2_000;
/** Rows: so much at a time, and no more than that on average however large a value is. */
const stateEveryMs = 100;
const stateBytesMax = 64 << 10;
/** From the end of one reading of all rows to the beginning of the next. */
const stateRestMs = 600_000;

export interface BackgroundCheckOptions {
  readonly clock: Clock;
  readonly log: { scrub(): "more" | "done" };
  readonly machine: { verify(bytesMax: number): { bytes: number; isEnd: boolean } };
  /** Is told what was found. Nothing is looked at any more then. */
  readonly failed: (error: unknown) => void;
}

export class BackgroundChecks {
  readonly #options: BackgroundCheckOptions;
  readonly #timers: Timer[];
  /** Bytes read beyond what the time that has passed allows. */
  #debt = 0;
  #restsUntilMs = 0;

  constructor(options: BackgroundCheckOptions) {
    const { clock } = options;
    this.#options = options;
    this.#timers = [
      clock.every(logEveryMs, () => this.#guarded(() => void options.log.scrub())),
      clock.every(stateEveryMs, () => this.#guarded(() => this.#verify())),
    ];
  }

  stop(): void {
    for (const timer of this.#timers) timer.cancel();
  }

  #verify(): void {
    const { clock, machine } = this.#options;
    this.#debt = Math.max(0, this.#debt - stateBytesMax);
    if (this.#debt > 0 || clock.monotonicMs() < this.#restsUntilMs) return;
    const { bytes, isEnd } = machine.verify(stateBytesMax);
    this.#debt = bytes;
    if (isEnd) this.#restsUntilMs = clock.monotonicMs() + stateRestMs;
  }

  #guarded(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.stop();
      this.#options.failed(error);
    }
  }
}
