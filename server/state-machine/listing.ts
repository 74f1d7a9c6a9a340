/** Answers listings and counts from rows in order. */

import { Buffer } from "node:buffer";
import type { CountAnswer, CountQuery, ListAnswer, ListQuery, Row } from "./command.ts";
import { afterKey, afterPrefix, compareKeys, type KeyRange } from "./key-range.ts";
import { ScanEffort, type RowReader } from "./rows.ts";

export function list(reader: RowReader, query: ListQuery): ListAnswer {
  return query.groups === null ? listRows(reader, query) : listGroups(reader, query, query.groups);
}

function listRows(reader: RowReader, query: ListQuery): ListAnswer {
  const { range, after, limit, reverse, keysOnly } = query;
  const answer = new ListMaker(query);
  const left = after === null ? range : rangeBehind(range, after, reverse);
  const effort = effortOf(query);
  for (const row of reader.scan(left, { reverse, keysOnly, effort })) {
    if (answer.count === limit || !answer.addRow(row)) return answer.made(true);
  }
  return answer.ended(left, effort);
}

/** One seek for each group, however many keys it has. */
function listGroups(
  reader: RowReader,
  query: ListQuery,
  groups: NonNullable<ListQuery["groups"]>,
): ListAnswer {
  const { range, limit, reverse, keysOnly } = query;
  const answer = new ListMaker(query);
  const effort = effortOf(query);
  let last = query.after;
  for (;;) {
    const group = last === null ? null : groupOf(last, groups);
    const left = last === null ? range : rangeBehind(range, group ?? last, reverse, group !== null);
    let found: string | null = null;
    for (const { key, ...rest } of reader.scan(left, { reverse, keysOnly: true, effort })) {
      if (answer.count === limit) return answer.made(true);
      found = groupOf(key, groups);
      if (found !== null) break;
      const row = keysOnly ? { key, ...rest } : reader.get(key);
      if (row !== null && !answer.addRow(row)) return answer.made(true);
    }
    if (found === null) return answer.ended(left, effort);
    answer.addPrefix(found);
    last = found;
  }
}

function groupOf(
  key: string,
  { prefix, delimiter }: NonNullable<ListQuery["groups"]>,
): string | null {
  if (!key.startsWith(prefix)) return null;
  const at = key.indexOf(delimiter, prefix.length);
  return at < 0 ? null : key.slice(0, at + delimiter.length);
}

/** What is left of `range` behind a key, or behind every key that begins with it. */
function rangeBehind(range: KeyRange, key: string, reverse: boolean, isPrefix = false): KeyRange {
  const { start, end } = range;
  if (reverse) return { start, end: compareKeys(key, end) < 0 ? key : end };
  const next = isPrefix ? afterPrefix(key) : afterKey(key);
  return { start: compareKeys(next, start) > 0 ? next : start, end };
}

class ListMaker {
  readonly #bytesMax: number;
  readonly #reverse: boolean;
  readonly #rows: Row[] = [];
  readonly #prefixes: string[] = [];
  #bytes = 0;
  #last: string | null = null;

  constructor({ bytesMax, reverse }: ListQuery) {
    this.#bytesMax = bytesMax;
    this.#reverse = reverse;
  }

  get count(): number {
    return this.#rows.length + this.#prefixes.length;
  }

  /** False where there is no room for it. */
  addRow(row: Row): boolean {
    this.#bytes += Buffer.byteLength(row.key) + row.value.byteLength;
    if (this.#rows.length > 0 && this.#bytes > this.#bytesMax) return false;
    this.#rows.push(row);
    this.#last = row.key;
    return true;
  }

  addPrefix(prefix: string): void {
    this.#prefixes.push(prefix);
    this.#last = prefix;
  }

  /** The scan of `range` gave no more. */
  ended(range: KeyRange, { endedAt }: ScanEffort): ListAnswer {
    if (endedAt === null) return this.made(false);
    return this.made(true, rangeBehind(range, endedAt, this.#reverse));
  }

  made(more: boolean, rest: KeyRange | null = null): ListAnswer {
    return {
      type: "list",
      rows: this.#rows,
      prefixes: this.#prefixes,
      more,
      last: this.#last,
      rest,
    };
  }
}

export function count(reader: RowReader, query: CountQuery): CountAnswer {
  const { range, limit } = query;
  const effort = effortOf(query);
  let found = 0;
  for (const { key } of reader.scan(range, { reverse: false, keysOnly: true, effort })) {
    if (found === limit) return { type: "count", count: found, rest: { ...range, start: key } };
    found++;
  }
  const { endedAt } = effort;
  const rest = endedAt === null ? null : rangeBehind(range, endedAt, false);
  return { type: "count", count: found, rest };
}

const effortOf = ({ goneMax = Infinity }: ListQuery | CountQuery): ScanEffort =>
  new ScanEffort(goneMax);
