/**
 * When rows are to go, in the order of that. In memory, which is why the rows that have a deadline are
 * at most `deadlinesMax`. What is due is a function of the rows and of the log's time alone.
 */

/** Rows with a deadline at a time. */
export const deadlinesMax = 500_000;
/** Rows that one entry lets go. */
export const expiredPerEntry = 1_000;

interface Deadline {
  readonly key: string;
  /** Log time. */
  readonly timeMs: number;
}

export class Deadlines {
  readonly #times = new Map<string, number>();
  /**
   * A binary heap, in two lists: comparing looks at the times alone, which lie together in memory, but
   * where they are equal. Those that are not what `#times` says are of former times.
   */
  #heapTimes: number[] = [];
  #heapKeys: string[] = [];

  get count(): number {
    return this.#times.size;
  }

  has(key: string): boolean {
    return this.#times.has(key);
  }

  /** Undefined: it stays. */
  set(key: string, timeMs: number | undefined): void {
    if (timeMs === undefined) {
      this.#times.delete(key);
      return;
    }
    if (this.#times.get(key) === timeMs) return;
    this.#times.set(key, timeMs);
    this.#push(key, timeMs);
    if (this.#heapTimes.length > 2 * this.#times.size + 1_000) this.#rebuild();
  }

  /** The earliest; null where there is none. */
  get next(): Deadline | null {
    for (;;) {
      const timeMs = this.#heapTimes[0];
      const key = this.#heapKeys[0];
      if (timeMs === undefined || key === undefined) return null;
      if (this.#times.get(key) === timeMs) return { key, timeMs };
      this.#pop();
    }
  }

  clear(): void {
    this.#times.clear();
    this.#heapTimes = [];
    this.#heapKeys = [];
  }

  #rebuild(): void {
    const sorted = [...this.#times].sort(([a, aMs], [b, bMs]) => aMs - bMs || (a < b ? -1 : 1));
    this.#heapTimes = sorted.map(([, timeMs]) => timeMs);
    this.#heapKeys = sorted.map(([key]) => key);
  }

  #push(key: string, timeMs: number): void {
    const times = this.#heapTimes;
    const keys = this.#heapKeys;
    let at = times.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const aboveMs = times[above] as number;
      if (aboveMs < timeMs || (aboveMs === timeMs && (keys[above] as string) <= key)) break;
      times[at] = aboveMs;
      keys[at] = keys[above] as string;
      at = above;
    }
    times[at] = timeMs;
    keys[at] = key;
  }

  #pop(): void {
    const times = this.#heapTimes;
    const keys = this.#heapKeys;
    const timeMs = times.pop();
    const key = keys.pop();
    if (timeMs === undefined || key === undefined || times.length === 0) return;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= times.length) break;
      if (below + 1 < times.length && this.#isBefore(below + 1, below)) below++;
      const belowMs = times[below] as number;
      if (timeMs < belowMs || (timeMs === belowMs && key <= (keys[below] as string))) break;
      times[at] = belowMs;
      keys[at] = keys[below] as string;
      at = below;
    }
    times[at] = timeMs;
    keys[at] = key;
  }

  /** Keys in any order that is the same everywhere: it decides which of them an entry lets go first. */
  #isBefore(one: number, other: number): boolean {
    const times = this.#heapTimes;
    const difference = (times[one] as number) - (times[other] as number);
    if (difference !== 0) return difference < 0;
    return (this.#heapKeys[one] as string) < (this.#heapKeys[other] as string);
  }
}
