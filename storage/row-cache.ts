/**
 * Small rows that were read from the table, as they stand in it: who reads one of them again need not ask
 * the database, nor check it anew. Large ones cost more to copy than to look for.
 */

import type { Index } from "../server/raft/entry.ts";
import type { Row } from "../server/state-machine/command.ts";
import { KeyedRing, type Place } from "./keyed-ring.ts";

/** And one for the table of places. 100,000 rows of 100 bytes; before the first read, none. */
const bytesMax = 15 << 20;
export const cachedValueBytesMax = 1 << 10;
/** Content types by number. When there are more, all is forgotten. */
const typesMax = 256;

/** The content type's number, and above it what the number at the item's end is. */
const typeWord = 0;
const endShift = 16;
const lengthWord = 1;
const revisionNumber = 0;
const createRevisionNumber = 1;
/** A number at the end of the item. */
const endBytes = 8;

const noEnd = 0;
const expiresEnd = 1;
const leaseEnd = 2;

export class RowCache {
  readonly #ring = new KeyedRing({ bytesMax });
  readonly #types: (string | null)[] = [];
  readonly #typeNumbers = new Map<string | null, number>();

  /** Null: the database knows. The value is the caller's own. */
  get(key: string): Row | null {
    const ring = this.#ring;
    const place = ring.find(key);
    if (place === 0) return null;
    const type = ring.word(place, typeWord);
    const value = ring.bytes(place, ring.word(place, lengthWord));
    const contentType = this.#types[type & (typesMax - 1)] as string | null;
    const revision = ring.number(place, revisionNumber) as Index;
    const createRevision = ring.number(place, createRevisionNumber) as Index;
    const row = { key, value, contentType, revision, createRevision };
    const end = type >>> endShift;
    if (end === noEnd) return row;
    const number = ring.lastNumber(place);
    return end === expiresEnd ? { ...row, expiresMs: number } : { ...row, lease: number };
  }

  /** A row that was read and checked; where there is one of this key, it is the same. */
  add(row: Row): void {
    if (row.value.byteLength > cachedValueBytesMax || this.#ring.find(row.key) !== 0) return;
    const type = this.#typeNumber(row.contentType);
    const place = this.#ring.add(row.key, neededBytes(row));
    if (place !== 0) this.#fill(place, row, type);
  }

  /** What is in the table from now on; null: no such row. */
  written(key: string, row: Row | null): void {
    const place = this.#ring.find(key);
    if (place === 0) return;
    if (row !== null && neededBytes(row) <= this.#ring.room(place)) {
      const type = this.#typeNumbers.get(row.contentType);
      if (type !== undefined) {
        this.#fill(place, row, type);
        return;
      }
    }
    this.#ring.remove(place);
    if (row !== null) this.add(row);
  }

  clear(): void {
    this.#ring.clear();
    this.#types.length = 0;
    this.#typeNumbers.clear();
  }

  #fill(place: Place, row: Row, type: number): void {
    const { value, revision, createRevision, expiresMs, lease } = row;
    const ring = this.#ring;
    const end = expiresMs === undefined ? (lease === undefined ? noEnd : leaseEnd) : expiresEnd;
    ring.setWord(place, typeWord, type | (end << endShift));
    ring.setWord(place, lengthWord, value.byteLength);
    ring.setNumber(place, revisionNumber, revision);
    ring.setNumber(place, createRevisionNumber, createRevision);
    ring.setBytes(place, value);
    if (end !== noEnd) ring.setLastNumber(place, (expiresMs ?? lease) as number);
  }

  #typeNumber(type: string | null): number {
    const known = this.#typeNumbers.get(type);
    if (known !== undefined) return known;
    if (this.#types.length === typesMax) this.clear();
    this.#typeNumbers.set(type, this.#types.length);
    return this.#types.push(type) - 1;
  }
}

const neededBytes = ({ value, expiresMs, lease }: Row): number =>
  value.byteLength + (expiresMs === undefined && lease === undefined ? 0 : endBytes);
