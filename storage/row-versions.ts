/**
 * What stands in the table, without the values, of the keys that were written last: who writes one of
 * them again need not ask the database what was there.
 */

import type { RowVersion } from "./state-verification.ts";

/**
 * Keys in each of the two halves; with keys of 20 bytes a half takes some 5 MB. To look into the database
 * costs 3 us, a third of what it takes to apply a put.
 */
const halfMax = 1 << 15;
/** Of the keys' text, in a half: theirs may be long. */
const halfKeyLengthMax = 2 << 20;

export class RowVersions {
  #young = new Map<string, RowVersion | null>();
  /** What was young before; whoever is not asked for again goes with it. */
  #old = new Map<string, RowVersion | null>();
  #youngKeyLength = 0;

  /** Null: there is no such row. Undefined: the database knows. */
  get(key: string): RowVersion | null | undefined {
    const young = this.#young.get(key);
    return young === undefined ? this.#old.get(key) : young;
  }

  set(key: string, version: RowVersion | null): void {
    this.#young.set(key, version);
    this.#youngKeyLength += key.length;
    if (this.#young.size < halfMax && this.#youngKeyLength < halfKeyLengthMax) return;
    this.#old = this.#young;
    this.#young = new Map();
    this.#youngKeyLength = 0;
  }

  clear(): void {
    this.#youngKeyLength = 0;
    this.#young = new Map();
    this.#old = new Map();
  }
}
