/** One machine's clock: it runs at a rate of its own, and believes in a time of day of its own. */

import type { Clock, Timer } from "../../server/ports.ts";
import type { SimTime } from "./time.ts";

export interface ClockOptions {
  readonly time: SimTime;
  /** The moment at which what the machine does now happens. */
  readonly nowMs: () => number;
}

export class SimClock {
  readonly #options: ClockOptions;
  #rate = 1;
  #base = { simMs: 0, localMs: 0 };
  wallOffsetMs = 1_700_000_000_000;

  constructor(options: ClockOptions) {
    this.#options = options;
  }

  set rate(rate: number) {
    this.#base = { simMs: this.#options.time.nowMs, localMs: this.#localMs() };
    this.#rate = rate;
  }

  /** Its time goes on by so much at once, as where the machine was asleep; what it waits for comes as before. */
  leap(ms: number): void {
    this.#base = { simMs: this.#options.nowMs(), localMs: this.#localMs() + ms };
  }

  #localMs(): number {
    return this.#base.localMs + (this.#options.nowMs() - this.#base.simMs) * this.#rate;
  }

  /** `enter` runs what is due in the process that asked for it, if there is that one still. */
  port(enter: (run: () => void) => void): Clock {
    const { time } = this.#options;
    const at = (ms: number, run: () => void): Timer => {
      const task = time.at(time.nowMs + ms / this.#rate, () => enter(run));
      return {
        cancel: () => {
          task.run = null;
        },
      };
    };
    const every = (ms: number, run: () => void): Timer => {
      let timer: Timer | null = null;
      const next = (): void => {
        timer = at(ms, () => {
          next();
          run();
        });
      };
      next();
      return { cancel: () => timer?.cancel() };
    };
    return {
      monotonicMs: () => this.#localMs(),
      wallMs: () => Math.max(0, Math.floor(this.#localMs() + this.wallOffsetMs)),
      after: at,
      every,
      soon: (run) => void at(0, run),
    };
  }
}
