/** How far a watch has come, so that the next connection neither leaves out nor repeats a change. */

import type { JsonRow } from "./entry.ts";

export interface ChangeJson extends JsonRow {
  readonly type: "put" | "delete" | "expire";
  readonly prev?: unknown;
  /** No more changes of this revision follow. */
  readonly last?: boolean;
}

export class WatchPlace {
  /** All changes up to here have been given; undefined: not even the beginning is known. */
  revision: number | undefined;
  /** The revision that is being given, of how many changes were given, and have come again. */
  #partial = { revision: -1, given: 0, come: 0 };

  constructor(since: number | undefined) {
    this.revision = since;
  }

  /** The change in `json` where it is a new one. */
  next(json: Readonly<Record<string, unknown>>): ChangeJson | null {
    const { type, revision } = json;
    if (typeof revision !== "number") return null;
    if (type === "progress") {
      this.#reach(revision);
      return null;
    }
    const change = json as unknown as ChangeJson;
    if (this.revision !== undefined && revision <= this.revision) return null;
    const partial = this.#partial;
    if (revision !== partial.revision) {
      if (revision > partial.revision && partial.revision >= 0) this.#reach(partial.revision);
      this.#partial = { revision, given: 1, come: 1 };
    } else {
      partial.come += 1;
      if (partial.come <= partial.given) return null;
      partial.given = partial.come;
    }
    if (change.last === true) this.#reach(revision);
    return change;
  }

  /** A connection begins: what was given of an unfinished revision comes again. */
  begin(): void {
    this.#partial.come = 0;
  }

  #reach(revision: number): void {
    if (this.revision === undefined || revision > this.revision) this.revision = revision;
  }
}
