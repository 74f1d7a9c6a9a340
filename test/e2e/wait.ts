/** Waiting for conditions with deadlines, and watching that something stays true for a while. */

/** How often a condition is looked at. */
const lookEveryMs = 15;
/** Looks take time from what is waited for: the longer that takes, the fewer there are, up to a limit. */
const lateShare = 0.1;
const lookEveryMsMax = 60;

type Truthy<T> = Exclude<T, false | null | undefined | 0 | "">;

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Resolves with the first truthy answer of `look`. An error of `look` counts as "not yet"; the last one
 * is told when the deadline passes. `within` is in milliseconds.
 */
export async function until<T>(
  what: string,
  within: number,
  look: () => T | Promise<T>,
): Promise<Truthy<T>> {
  const start = performance.now();
  const deadline = start + within;
  for (;;) {
    let last: unknown;
    try {
      const answer = await look();
      if (answer) return answer as Truthy<T>;
      last = answer;
    } catch (error) {
      last = error;
    }
    const now = performance.now();
    if (now > deadline) {
      const seen = last instanceof Error ? last.message : JSON.stringify(last);
      throw new Error(`not within ${within} ms: ${what} (last seen: ${seen})`);
    }
    await pause(Math.min(lookEveryMsMax, Math.max(lookEveryMs, lateShare * (now - start))));
  }
}

/** Runs `look`, which throws where it finds something wrong, again and again for `during` milliseconds. */
export async function throughout(during: number, look: () => void | Promise<void>): Promise<void> {
  const end = performance.now() + during;
  do {
    await look();
    await pause(lookEveryMs);
  } while (performance.now() < end);
}

/** Rejects with `what` when `promise` has not settled in time. */
export async function inTime<T>(what: string, within: number, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${within} ms: ${what}`)), within);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
