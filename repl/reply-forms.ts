/** An answer of the store in every form in which it may be shown. */

import type { Table } from "./table.ts";

export interface Reply {
  readonly ok: true;
  /** `columns` of the terminal it is for; null: of none. */
  readonly text: (columns: number | null) => string;
  readonly json: unknown;
  /** Where the answer is rows. */
  readonly table?: () => Table;
  /** Of a value that was asked for. */
  readonly bytes?: Uint8Array;
  /** The store says no: there is no such key, or the conditions did not hold. */
  readonly isNo: boolean;
}

export const reply = (
  text: Reply["text"],
  json: unknown,
  more: Partial<Pick<Reply, "table" | "bytes" | "isNo">> = {},
): Reply => ({ ok: true, text, json, isNo: false, ...more });
