/** The simulation's one queue of events: time moves from one to the next, and nothing else moves it. */

export interface Task {
  readonly atMs: number;
  /** Tells tasks of the same time apart: first asked for, first run. */
  readonly order: number;
  /** Null once it has run or was cancelled. */
  run: (() => void) | null;
}

/** A binary heap of tasks, the earliest on top. */
export class SimTime {
  nowMs = 0;
  #order = 0;
  readonly #heap: Task[] = [];

  at(atMs: number, run: () => void): Task {
    this.#order++;
    const task = { atMs: Math.max(atMs, this.nowMs), order: this.#order, run };
    this.#heap.push(task);
    this.#rise(this.#heap.length - 1);
    return task;
  }

  after(ms: number, run: () => void): Task {
    return this.at(this.nowMs + ms, run);
  }

  /** Runs the next task; false where there is none before `endMs`, which is the time then. */
  step(endMs: number): boolean {
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.atMs > endMs) {
        this.nowMs = endMs;
        return false;
      }
      this.#removeTop();
      const { run } = next;
      if (run === null) continue;
      next.run = null;
      this.nowMs = next.atMs;
      run();
      return true;
    }
  }

  #removeTop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#sink();
  }

  #rise(from: number): void {
    const heap = this.#heap;
    const task = heap[from] as Task;
    let place = from;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = heap[above] as Task;
      if (!isBefore(task, parent)) break;
      heap[place] = parent;
      place = above;
    }
    heap[place] = task;
  }

  #sink(): void {
    const heap = this.#heap;
    const task = heap[0] as Task;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= heap.length) break;
      const right = child + 1;
      if (right < heap.length && isBefore(heap[right] as Task, heap[child] as Task)) child = right;
      if (!isBefore(heap[child] as Task, task)) break;
      heap[place] = heap[child] as Task;
      place = child;
    }
    heap[place] = task;
  }
}

const isBefore = (a: Task, b: Task): boolean =>
  a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
