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
const rowidWord = 1;
const revisionNumber = 0;
const createRevisionNumber = 1;

/** What stands in the table, and where. */
export interface StoredVersion extends RowVersion {
  /** SQLite's, of 32 bits; 0: not known, or the table has none. */
  readonly rowid: number;
}

/** Of more bits than 32 only after as many rows; below 1 SQLite gives none to rows of ours. */
export const usableRowid = (rowid: number): number => (rowid > 0 && rowid < 2 ** 32 ? rowid : 0);

export class RowVersions {
  readonly #ring = new KeyedRing({ bytesMax });

  /** Null: there is no such row. Undefined: the database knows. */
  get(key: string): StoredVersion | null | undefined {
    const place = this.#ring.find(key);
    if (place === 0) return undefined;
    const revision = this.#ring.number(place, revisionNumber);
    if (Number.isNaN(revision)) return null;
    const checksum = this.#ring.word(place, checksumWord);
    const createRevision = this.#ring.number(place, createRevisionNumber);
    return { checksum, revision, createRevision, rowid: this.#ring.word(place, rowidWord) };
  }

  set(key: string, version: RowVersion | null, rowid: number): void {
    const place = this.#ring.find(key) || this.#ring.add(key, 0);
    if (place === 0) return;
    this.#ring.setWord(place, checksumWord, version === null ? 0 : version.checksum);
    this.#ring.setWord(place, rowidWord, usableRowid(rowid));
    this.#ring.setNumber(place, revisionNumber, version === null ? NaN : version.revision);
    const createRevision = version === null ? NaN : version.createRevision;
    this.#ring.setNumber(place, createRevisionNumber, createRevision);
  }

  clear(): void {
    this.#ring.clear();
  }
}
