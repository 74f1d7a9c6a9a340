/**
 * Rows that were applied and have not been written to the database yet. A key that is written many
 * times between two transactions costs one row, and the rows go in by the order of their keys, so that
 * neighbours are written together. The Raft log holds all of it: a crash loses nothing.
 */

/** What is to stand in the table; its key is the buffer's. */
export interface BufferedRow {
  readonly value: Uint8Array;
  readonly contentType: string | null;
  readonly createRevision: number;
  readonly revision: number;
  readonly checksum: number;
}

export class RowBuffer {
  /** Null: the row is to go. */
  readonly #rows = new Map<string, BufferedRow | null>();

  get isEmpty(): boolean {
    return this.#rows.size === 0;
  }

  /** Undefined where the database knows best. */
  get(key: string): BufferedRow | null | undefined {
    return this.#rows.get(key);
  }

  set(key: string, row: BufferedRow | null): void {
    this.#rows.set(key, row);
  }

  /** All rows with their keys, in an order that is near to that of the table. */
  inOrder(): [string, BufferedRow | null][] {
    return [...this.#rows].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** In no order that means anything. */
  entries(): Iterable<[string, BufferedRow | null]> {
    return this.#rows;
  }

  clear(): void {
    this.#rows.clear();
  }
}
