/** The clock of a node, of which the simulation hears how many ticks have passed: in a rest, several at once. */

import type { Clock } from "../../server/ports.ts";

export interface TickingOptions {
  readonly clock: Clock;
  readonly tickMs: number;
  /** Behind what the node does at it. */
  readonly ticked: (count: number) => void;
}

/** Nothing but a node's ticks is to be asked of it. */
export function tickingClock({ clock, tickMs, ticked }: TickingOptions): Clock {
  const run = (count: number, tick: () => void): void => {
    tick();
    ticked(count);
  };
  const every: Clock["every"] = (ms, tick) => clock.every(ms, () => run(1, tick));
  const after: Clock["after"] = (ms, tick) => {
    // What is left of a tick is one too.
    const count = Math.max(1, Math.round(ms / tickMs));
    const sinceMs = clock.monotonicMs();
    let isOver = false;
    const timer = clock.after(ms, () => {
      isOver = true;
      run(count, tick);
    });
    return {
      cancel: () => {
        if (isOver) return;
        isOver = true;
        timer.cancel();
        // A rest ends early. A process that stood still does not make up for more than it was to rest.
        const passed = Math.floor((clock.monotonicMs() - sinceMs) / tickMs);
        if (passed > 0) ticked(Math.min(count, passed));
      },
    };
  };
  return { ...clock, every, after };
}
