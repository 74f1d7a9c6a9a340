/**
 * When rows are to go, in the order of that. In memory, which is why the rows that have a deadline are
 * at most `deadlinesMax`. What is due is a function of the rows and of the log's time alone.
 */

import { compareKeys } from "./key-range.ts";

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
  /** A binary heap. Those that are not what `#times` says are of former times. */
  #heap: Deadline[] = [];

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
    this.#push({ key, timeMs });
    if (this.#heap.length > 2 * this.#times.size + 1_000) this.#rebuild();
  }

  /** The earliest; null where there is none. */
  get next(): Deadline | null {
    for (let first = this.#heap[0]; first; first = this.#heap[0]) {
      if (this.#times.get(first.key) === first.timeMs) return first;
      this.#pop();
    }
    return null;
  }

  clear(): void {
    this.#times.clear();
    this.#heap = [];
  }

  #rebuild(): void {
    this.#heap = [...this.#times].map(([key, timeMs]) => ({ key, timeMs })).sort(order);
  }

  #push(deadline: Deadline): void {
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above] as Deadline;
      if (order(parent, deadline) <= 0) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = deadline;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      const right = below + 1;
      if (right < heap.length && order(heap[right] as Deadline, heap[below] as Deadline) < 0) {
        below = right;
      }
      const child = heap[below] as Deadline;
      if (order(last, child) <= 0) break;
      heap[at] = child;
      at = below;
    }
    heap[at] = last;
  }
}

const order = (a: Deadline, b: Deadline): number =>
  a.timeMs === b.timeMs ? compareKeys(a.key, b.key) : a.timeMs - b.timeMs;
