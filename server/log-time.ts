/**
 * The log's time: what the leader stamps entries with. It advances by this node's monotonic clock, from
 * the newest stamp that this node has seen: a wall clock that jumps, or that a new leader has wrong,
 * moves nothing. While no node leads and none has kept time, it stands still, so that nothing goes
 * early. For the same reason a node that has kept time gives it up for the stamps of a leader that has
 * not: what that one stamped is not to pass sooner under another. Only the very first entry of a cluster takes it from the wall clock.
 */

import type { Clock } from "./ports.ts";
import type { Entry, Term } from "./raft/entry.ts";

export class LogTime {
  readonly #clock: Clock;
  /** A time of the log, and the monotonic one when it was seen. */
  #seen: { readonly timeMs: number; readonly atMs: number } | null = null;

  /** `timeMs`: of the newest entry there is; 0 where there is none. */
  constructor(clock: Clock, timeMs: number) {
    this.#clock = clock;
    if (timeMs > 0) this.observe(timeMs);
  }

  /** Another node has stamped an entry with this just now, or longer ago. */
  observe(timeMs: number): void {
    this.#seen = { timeMs, atMs: this.#clock.monotonicMs() };
  }

  /**
   * These are in the log now. Of a leader's own term, `ownTerm`, the stamps are its own; it may have
   * come to lead with the same stroke as others' entries came.
   */
  observeEntries(entries: readonly Entry[], ownTerm: Term | null): void {
    const [oldest] = entries;
    if (oldest === undefined || oldest.term === ownTerm) return;
    const newest = entries.findLast(({ term }) => term !== ownTerm) ?? oldest;
    this.observe(newest.timeMs);
  }

  /** Now; `leastMs` is a stamp that stands already. */
  nowMs(leastMs: number): number {
    const atMs = this.#clock.monotonicMs();
    this.#seen ??= { timeMs: this.#clock.wallMs(), atMs };
    const now = this.#seen.timeMs + Math.max(0, atMs - this.#seen.atMs);
    if (now >= leastMs) return Math.floor(now);
    this.observe(leastMs);
    return leastMs;
  }
}
