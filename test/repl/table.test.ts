/** Tables stand in columns, whatever is in them, and fit the terminal. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { columnsOf } from "../../repl/display.ts";
import { renderTable } from "../../repl/table.ts";

const header = ["key", "value"];

test("each column is as wide as what stands in it, in columns of the terminal", () => {
  const text = renderTable(
    {
      header,
      rows: [
        ["a", "日本"],
        ["long key", "v"],
      ],
    },
    null,
  );
  assert.is(text, "key       value\n--------  -----\na         日本\nlong key  v");
});

test("no line is wider than the terminal: the widest column gives way", () => {
  const rows = [
    ["k".repeat(100), "v".repeat(50)],
    ["short", "value"],
  ];
  for (const columns of [40, 80, 150, 200]) {
    const lines = renderTable({ header, rows }, columns).split("\n");
    for (const line of lines) assert.ok(columnsOf(line) <= columns, `${columns}: ${line}`);
    assert.is(columnsOf(lines[1] ?? ""), Math.min(columns, 152));
  }
});

test("a terminal of no width at all still gets its columns", () => {
  const lines = renderTable({ header, rows: [["k".repeat(100), "v".repeat(50)]] }, 3).split("\n");
  assert.is(columnsOf(lines[1] ?? ""), 18);
});

test.run();
