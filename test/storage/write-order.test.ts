/** Rows are written by their places in the table, and where they have none, by their keys. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { index } from "../../server/raft/entry.ts";
import { RowBuffer, type WaitingRow } from "../../storage/row-buffer.ts";
import { writeOrder } from "../../storage/write-order.ts";
import { Random } from "../raft/random.ts";

const version = { checksum: 1, revision: 2, createRevision: 2 };

function waiting(key: string, rowid: number, kind: "new" | "changed" | "gone"): WaitingRow {
  const revisions = { revision: index(3), createRevision: index(2) };
  const row = { key, value: new Uint8Array(1), contentType: null, ...revisions };
  return {
    stored: kind === "new" ? null : version,
    rowid,
    row: kind === "gone" ? null : row,
    checksum: 5,
  };
}

function bufferOf(rows: Record<string, WaitingRow>): RowBuffer {
  const buffer = new RowBuffer();
  for (const [key, row] of Object.entries(rows)) buffer.add(key, row);
  return buffer;
}

const keysOf = (order: Iterable<[string, WaitingRow]>): string[] => [...order].map(([key]) => key);

const rows = (): Record<string, WaitingRow> => ({
  g: waiting("g", 0, "new"),
  a: waiting("a", 2 ** 32 - 1, "changed"),
  b: waiting("b", 7, "changed"),
  e: waiting("e", 5, "gone"),
  c: waiting("c", 30, "changed"),
  f: waiting("f", 0, "changed"),
  d: waiting("d", 0, "changed"),
});

test("rows whose place is known come first, by their places; then the others, by their keys", () => {
  const buffer = bufferOf(rows());
  const asked: string[] = [];
  const rowidOf = (key: string): number => {
    asked.push(key);
    return key === "f" ? 8 : 0;
  };
  const order = [...writeOrder(buffer, rowidOf)];
  assert.equal(keysOf(order), ["b", "f", "c", "a", "d", "e", "g"]);
  assert.equal(asked, ["f", "d"]);
  for (const [key, row] of order) assert.is(buffer.get(key), row);
  assert.is(buffer.get("f")?.rowid, 8);
});

test("those that are too many to be put in order by their places go by their keys, and none is left out", () => {
  const order = writeOrder(bufferOf(rows()), () => 0, 2);
  assert.equal(keysOf(order), ["b", "a", "c", "d", "e", "f", "g"]);
});

test("of thousands of rows of all kinds each comes once", () => {
  const random = new Random(9);
  const all: Record<string, WaitingRow> = {};
  for (let i = 0; i < 5_000; i++) {
    const kind = random.pick(["new", "changed", "changed", "gone"] as const);
    all[`k${i}`] = waiting(`k${i}`, kind === "new" ? 0 : random.below(10_000), kind);
  }
  const order = [...writeOrder(bufferOf(all), () => random.below(2) * random.below(10_000))];
  assert.equal(keysOf(order).toSorted(), Object.keys(all).toSorted());
  const places = order.filter(([, { row, stored }]) => row !== null && stored !== null);
  const rowids = places.map(([, { rowid }]) => rowid).filter((rowid) => rowid > 0);
  assert.ok(rowids.length > 1_000);
  assert.equal(
    rowids,
    rowids.toSorted((a, b) => a - b),
  );
});

test.run();
