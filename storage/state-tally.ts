/** Counts the rows of all tables, one by one, to hold them against what a state says of itself. */

import type { StateDigest } from "../server/state-machine/port.ts";
import { addRequest, requestContradictionIn } from "./request-table.ts";
import type { SqliteValue } from "./sqlite/port.ts";
import { StateHash } from "./state-hash.ts";
import { contradictionIn } from "./state-row.ts";
import { userTable } from "./state-schema.ts";

/** Says how a row, with its columns in their order, contradicts itself. */
export const contradictionOf = (table: string, row: readonly SqliteValue[]): string | null =>
  table === userTable.name ? contradictionIn(row) : requestContradictionIn(row);

export class StateTally {
  readonly #rows = new StateHash(0, 0);
  readonly #book = new StateHash(0, 0);
  /** Of the users' rows. */
  rowCount = 0;

  /** Says how the row contradicts itself, and counts it where it does not. */
  add(table: string, row: readonly SqliteValue[]): string | null {
    const detail = contradictionOf(table, row);
    if (detail !== null) return detail;
    if (table !== userTable.name) {
      addRequest(this.#book, row);
      return null;
    }
    const [, , , createRevision, revision, checksum] = row;
    this.#rows.add(checksum as number, revision as number, createRevision as number);
    this.rowCount++;
    return null;
  }

  /** Everything is counted: says how it is not what it was to be. */
  contradiction(digest: Pick<StateDigest, "stateHash" | "bookHash">): string | null {
    if (this.#rows.toString() !== digest.stateHash) return "its rows are not those it was made of";
    if (this.#book.toString() === digest.bookHash) return null;
    return "the requests it remembers are not those it was made of";
  }
}
