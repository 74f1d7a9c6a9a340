/**
 * What a read from a node's own state may be: old, but a state the cluster had, none older than the
 * one before it, and not older than it says it is.
 */

import type { Row } from "../../server/state-machine/command.ts";
import type { Life, SimProcess } from "./process.ts";
import { claim } from "./trace.ts";

export class LocalReads {
  /** What clients were told of, in that order: when, and the greatest revision until then. */
  readonly #acknowledged: { readonly atMs: number; readonly revision: number }[] = [];
  readonly #seen = new WeakMap<Life, number>();
  readonly #lastCommitted: () => number;
  /** Where clocks drift, one node's milliseconds are not another's. */
  readonly #comparesAges: boolean;

  constructor(options: { lastCommitted: () => number; comparesAges: boolean }) {
    this.#lastCommitted = options.lastCommitted;
    this.#comparesAges = options.comparesAges;
  }

  /** A client knows now that this write is done. */
  acknowledged(revision: number, atMs: number): void {
    const newest = this.#acknowledged.at(-1)?.revision ?? 0;
    if (revision > newest) this.#acknowledged.push({ atMs, revision });
  }

  check({ id, nowMs }: SimProcess, life: Life, row: Row | null): void {
    const { ageMs, appliedIndex, mending } = life.node;
    // Then it answers none.
    if (mending?.state) return;
    const before = this.#seen.get(life) ?? 0;
    claim(appliedIndex >= before, () => `the state of node ${id} goes back to ${appliedIndex}`);
    claim(
      appliedIndex <= this.#lastCommitted(),
      () => `node ${id} shows a state at ${appliedIndex}, which is not committed`,
    );
    claim(
      (row?.revision ?? 0) <= appliedIndex,
      () => `node ${id} shows revision ${row?.revision}, and has applied ${appliedIndex}`,
    );
    this.#seen.set(life, appliedIndex);
    if (ageMs === null || !this.#comparesAges) return;
    const { revision, atMs } = this.#newestAt(nowMs - ageMs);
    claim(
      revision <= appliedIndex,
      () =>
        `node ${id} calls its state ${ageMs} ms old; it is at ${appliedIndex}, ` +
        `and ${revision} was acknowledged ${nowMs - atMs} ms ago`,
    );
  }

  /** The greatest revision that somebody knew of before then. */
  #newestAt(ms: number): { readonly atMs: number; readonly revision: number } {
    let low = 0;
    let high = this.#acknowledged.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#acknowledged[middle]?.atMs ?? 0) < ms) low = middle + 1;
      else high = middle;
    }
    return this.#acknowledged[low - 1] ?? { atMs: 0, revision: 0 };
  }
}
