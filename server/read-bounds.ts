/** Reads that want to see a certain revision, or a state of a certain age at the most. */

import type { Failure, ReadOptions } from "./client-port.ts";
import type { Clock } from "./ports.ts";
import type { Watches } from "./watch/watches.ts";

export interface BoundedBy {
  readonly clock: Clock;
  readonly watches: Watches;
  /** Milliseconds since this node's state was known to be current; null: never. */
  readonly ageMs: () => number | null;
  readonly timeoutMsDefault: number;
}

/** How often the age is looked at. */
const lookEveryMs = 20;

const stale = (detail: string): Failure => ({
  ok: false,
  code: "stale",
  detail: `${detail}; try again, or ask another node`,
  retryAfterSeconds: 1,
});

/** Null when the state is as it is wanted; what keeps it from being so in time otherwise. */
export async function whenWithin(node: BoundedBy, options: ReadOptions): Promise<Failure | null> {
  const { level, minRevision, maxStaleMs, timeoutMs = node.timeoutMsDefault } = options;
  const endMs = node.clock.monotonicMs() + timeoutMs;
  if (minRevision !== undefined && !(await reaches(node, minRevision, timeoutMs))) {
    return stale(`this node has not reached revision ${minRevision} in time`);
  }
  if (maxStaleMs === undefined || level !== "local") return null;
  for (;;) {
    const ageMs = node.ageMs();
    if (ageMs !== null && ageMs <= maxStaleMs) return null;
    if (node.clock.monotonicMs() >= endMs) {
      return stale(`this node's state is older than ${maxStaleMs} ms`);
    }
    await new Promise<void>((resolve) => node.clock.after(lookEveryMs, resolve));
  }
}

function reaches({ clock, watches }: BoundedBy, revision: number, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = clock.after(ms, () => {
      forget();
      resolve(false);
    });
    const forget = watches.whenApplied(revision, () => {
      timer.cancel();
      resolve(true);
    });
  });
}
