/** The real clock and the real randomness behind the ports of `server/ports.ts`. */

import { randomBytes } from "node:crypto";
import type { Clock, Random, Timer } from "../server/ports.ts";

const secondMs = 1_000;

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(ms: number, run: () => void): Timer {
    const timer = setTimeout(run, ms);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
  every(ms: number, run: () => void): Timer {
    if (ms % secondMs === 0) return everySeconds(ms, run);
    const timer = setInterval(run, ms);
    timer.unref();
    return { cancel: () => clearInterval(timer) };
  },
  soon(run: () => void): void {
    setImmediate(run);
  },
};

/** Whole seconds are those of the clock, so that an idle process is woken once for all that they have. */
function everySeconds(ms: number, run: () => void): Timer {
  let dueMs = Math.ceil((performance.now() + ms) / secondMs) * secondMs;
  const wait = (): NodeJS.Timeout => {
    const left = setTimeout(
      () => {
        // After a stall the next one is not to come at once.
        const soonestMs = performance.now() + ms / 2;
        dueMs = Math.max(dueMs + ms, Math.ceil(soonestMs / secondMs) * secondMs);
        timer = wait();
        run();
      },
      Math.ceil(dueMs - performance.now()),
    );
    return left.unref();
  };
  let timer = wait();
  return { cancel: () => clearTimeout(timer) };
}

export const systemRandom: Random = {
  fraction: () => Math.random(),
  bytes: (count: number) => new Uint8Array(randomBytes(count)),
};
