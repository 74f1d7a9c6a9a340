/** The real clock and the real randomness behind the ports of `server/ports.ts`. */

import { randomBytes } from "node:crypto";
import type { Clock, Random, Timer } from "../server/ports.ts";

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(ms: number, run: () => void): Timer {
    const timer = setTimeout(run, ms);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
  every(ms: number, run: () => void): Timer {
    const timer = setInterval(run, ms);
    timer.unref();
    return { cancel: () => clearInterval(timer) };
  },
  soon(run: () => void): void {
    setImmediate(run);
  },
};

export const systemRandom: Random = {
  fraction: () => Math.random(),
  bytes: (count: number) => new Uint8Array(randomBytes(count)),
};
