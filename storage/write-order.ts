/**
 * In which order rows are written: those whose place in the table is known by their places, so that each
 * page is changed once, however their keys were drawn; then all others by their keys, for the index.
 */

import type { Row } from "../server/state-machine/command.ts";
import { afterEveryKey, type KeyRange } from "../server/state-machine/key-range.ts";
import type { RowBuffer, WaitingRow } from "./row-buffer.ts";

const allKeys: KeyRange = { start: "", end: afterEveryKey };

/** A rowid, which has 32 bits at most, and a number below this are one safe integer together. */
const orderedMax = 1 << 21;

/**
 * `rows` stays as it is until the end. `rowidOf` is asked before the first; 0: not known. `placedMax`: as
 * many go by their places, the others by their keys.
 */
export function* writeOrder(
  rows: RowBuffer,
  rowidOf: (key: string) => number,
  placedMax = orderedMax,
): Generator<[string, WaitingRow]> {
  const placed: WaitingRow[] = [];
  const order = new Float64Array(Math.min(rows.size, placedMax));
  for (const waiting of rows.all()) {
    const { row, stored } = waiting;
    if (row === null || stored === null) continue;
    if (placed.length === placedMax) waiting.rowid = 0;
    else if (waiting.rowid === 0) waiting.rowid = rowidOf(row.key);
    if (waiting.rowid === 0) continue;
    order[placed.length] = waiting.rowid * orderedMax + placed.length;
    placed.push(waiting);
  }
  order.subarray(0, placed.length).sort();
  // An iterator over numbers would take as long as the rest of this.
  for (let at = 0; at < placed.length; at++) {
    const waiting = placed[(order[at] as number) % orderedMax] as WaitingRow;
    yield [(waiting.row as Row).key, waiting];
  }
  if (placed.length === rows.size) return;
  for (const next of rows.within(allKeys, false)) {
    const [, { row, stored, rowid }] = next;
    if (row === null || stored === null || rowid === 0) yield next;
  }
}
