/**
 * What stands in the table, without the values, of the keys that were written last: who writes one of
 * them again need not ask the database what was there.
 */

import { KeyedRing } from "./keyed-ring.ts";
import type { RowVersion } from "./state-verification.ts";

/**
 * Enough for 100,000 keys of 20 bytes. To look into the database costs 3 us, a third of what it takes to
 * apply a put.
 */
const bytesMax = 6 << 20;

/** Words and numbers of an item. The revision of a row that is not there is no number. */
const checksumWord = 0;
const revisionNumber = 0;
const createRevisionNumber = 1;

export class RowVersions {
  readonly #ring = new KeyedRing({ bytesMax });

  /** Null: there is no such row. Undefined: the database knows. */
  get(key: string): RowVersion | null | undefined {
    const place = this.#ring.find(key);
    if (place === 0) return undefined;
    const revision = this.#ring.number(place, revisionNumber);
    if (Number.isNaN(revision)) return null;
    const checksum = this.#ring.word(place, checksumWord);
    const createRevision = this.#ring.number(place, createRevisionNumber);
    return { checksum, revision, createRevision };
  }

  set(key: string, version: RowVersion | null): void {
    const place = this.#ring.find(key) || this.#ring.add(key, 0);
    if (place === 0) return;
    this.#ring.setWord(place, checksumWord, version === null ? 0 : version.checksum);
    this.#ring.setNumber(place, revisionNumber, version === null ? NaN : version.revision);
    const createRevision = version === null ? NaN : version.createRevision;
    this.#ring.setNumber(place, createRevisionNumber, createRevision);
  }

  clear(): void {
    this.#ring.clear();
  }
}
