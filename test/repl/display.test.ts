/** What of a line is drawn on a row. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { columnsOf, windowOf } from "../../repl/display.ts";

test("marks without a width do not make a row longer than it can be drawn at once", () => {
  const line = "\u0301".repeat(1 << 20);
  for (const cursor of [0, 1_000, line.length]) {
    assert.ok(windowOf(line, cursor, 79).text.length < 79 * 40, `cursor at ${cursor}`);
  }
});

test("the sign of a cut is no wider than what it stands for", () => {
  const { text } = windowOf("ab\u0301c\u0301d\u0301e", 0, 3);
  assert.ok(columnsOf(text) <= 3, text);
  assert.ok(text.endsWith("…"));
});

test.run();
