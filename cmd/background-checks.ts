/** Looks at what nobody asks for: old parts of the log, and all rows, so that damage does not lie hidden. */

import type { Clock, Timer } from "../server/ports.ts";

/** One segment of the log at a time. */
const logEveryMs = 2_000;
/** Rows: so much at a time, and no more than that on average however large a value is. */
const stateEveryMs = 1_000;
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
  readonly #scrubber: Timer;
  #verifier: Timer;
  /** Bytes read beyond what the time that has passed allows. */
  #debt = 0;

  constructor(options: BackgroundCheckOptions) {
    const { clock } = options;
    this.#options = options;
    this.#scrubber = clock.every(logEveryMs, () => this.#guarded(() => void options.log.scrub()));
    this.#verifier = this.#verifying();
  }

  stop(): void {
    this.#scrubber.cancel();
    this.#verifier.cancel();
  }

  #verifying(): Timer {
    return this.#options.clock.every(stateEveryMs, () => this.#guarded(() => this.#verify()));
  }

  #verify(): void {
    this.#debt = Math.max(0, this.#debt - stateBytesMax);
    if (this.#debt >= stateBytesMax) return;
    const { bytes, isEnd } = this.#options.machine.verify(stateBytesMax);
    this.#debt += bytes;
    if (!isEnd) return;
    this.#verifier.cancel();
    this.#verifier = this.#options.clock.after(stateRestMs, () => {
      this.#verifier = this.#verifying();
    });
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
