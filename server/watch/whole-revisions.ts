/** How far whoever watches has come: what a connection brings is given on once its revision is whole. */

import type { WatchEvent } from "./watch-port.ts";

export class WholeRevisions {
  /** Everything up to here was given. */
  #since: number | undefined;
  /** Of a revision whose last change has not come yet. */
  #pending: WatchEvent[] = [];

  constructor(since: number | undefined) {
    this.#since = since;
  }

  /** To be asked for by the next connection; undefined: not even the beginning is known. */
  get since(): number | undefined {
    return this.#since;
  }

  /** What can be given of what has come. */
  take(batch: readonly WatchEvent[]): WatchEvent[] {
    const given: WatchEvent[] = [];
    for (const event of batch) {
      if (event.revision <= (this.#since ?? -1) && event.type !== "progress") continue;
      this.#pending.push(event);
      if (event.type !== "progress" && !event.isLast) continue;
      this.#since = Math.max(this.#since ?? 0, event.revision);
      given.push(...this.#pending);
      this.#pending = [];
    }
    return given;
  }

  /** The next connection brings the unfinished revision again. */
  brokenOff(): void {
    this.#pending = [];
  }
}
