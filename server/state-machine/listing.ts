/** Answers a listing from rows in order. */

import { Buffer } from "node:buffer";
import type { ListAnswer, ListQuery, Row } from "./command.ts";
import { afterKey, compareKeys, prefixRange } from "./key-range.ts";
import type { RowReader } from "./rows.ts";

export function list(reader: RowReader, query: ListQuery): ListAnswer {
  const { prefix, after, limit, keysOnly, bytesMax } = query;
  const { start, end } = prefixRange(prefix);
  const from = after === null || compareKeys(after, start) < 0 ? start : afterKey(after);
  const rows: Row[] = [];
  let bytes = 0;
  for (const row of reader.scan({ start: from, end }, { reverse: false, keysOnly })) {
    bytes += Buffer.byteLength(row.key) + row.value.byteLength;
    if (rows.length === limit || (rows.length > 0 && bytes > bytesMax)) {
      return { type: "list", rows, more: true };
    }
    rows.push(row);
  }
  return { type: "list", rows, more: false };
}
