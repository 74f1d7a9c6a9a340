/** What a violation says: the shortest beginning that shows it, in words. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { checkHistory } from "./checker.ts";
import { absent, at, conflict, count, get, incr, put, putIf, remove } from "./examples.ts";
import type { RowOperation } from "./examples.ts";
import { compareAndSet, counter } from "./models.ts";

const stale: RowOperation[] = [
  at(1, [0, 1], put("old", 1, true)),
  at(1, [2, 3], put("new", 2, false)),
  at(3, [2], remove()),
  at(4, [3, 90], get("new", 2)),
  at(2, [4, 5], get("old", 1)),
  at(2, [6, 7], put("later", 8)),
];

function violation(history: readonly RowOperation[]) {
  const verdict = checkHistory(compareAndSet, history);
  if (verdict.kind !== "violation") throw new Error(`it is ${verdict.kind}`);
  return verdict;
}

test("its history ends with the return that shows it, and what runs on has no output", () => {
  const running = { output: null, returnTime: Infinity };
  assert.equal(violation(stale).history, [
    ...stale.slice(0, 3),
    { ...at(4, [3], get("new", 2)), ...running },
    stale[4],
  ]);
});

test("its explanation gives an order and what has no room in it, with times and clients", () => {
  assert.is(
    violation(stale).explanation,
    [
      'key "k": no order explains the first 5 of 6 operations',
      "an order of what was known before:",
      '  [0, 1] client 1: put "old" → created, revision 1',
      '  [2, 3] client 1: put "new" → replaced, revision 2',
      "  which leads to revision 2: new",
      "not in it, their outcome being unknown by then:",
      "  [2, …] client 3: delete → unknown",
      "  [3, …] client 4: get → unknown",
      "no order has room for what returned at 5:",
      '  [4, 5] client 2: get → "old", revision 1',
    ].join("\n"),
  );
});

test("of revisions against real time, the one that returns last has no room", () => {
  const { explanation } = violation([at(1, [0, 1], put("a", 5)), at(2, [2, 3], put("b", 4))]);
  assert.match(explanation, 'known before:\n  [0, 1] client 1: put "a" → written, revision 5\n');
  assert.match(explanation, 'returned at 3:\n  [2, 3] client 2: put "b" → written, revision 4');
});

test("unknown operations that the order needs stand in it", () => {
  const { explanation } = violation([
    at(1, [0], put("a")),
    at(2, [1, 2], get("a", 3)),
    at(2, [3, 4], absent),
  ]);
  assert.match(explanation, 'known before:\n  [0, …] client 1: put "a" → unknown\n');
});

test("a write that contradicts a read stands in the order as it was known before it returned", () => {
  const { explanation } = violation([at(1, [0, 9], put("a", 7)), at(2, [1, 2], get("a", 5))]);
  assert.match(explanation, 'known before:\n  [0, …] client 1: put "a" → unknown\n');
  assert.match(explanation, 'returned at 9:\n  [0, 9] client 1: put "a" → written, revision 7');
});

test("a long order is cut to its end", () => {
  const puts = Array.from({ length: 100 }, (_, i) => at(1, [2 * i, 2 * i + 1], put("x", i + 1)));
  const { explanation } = violation([...puts, at(2, [300, 301], get("x", 7))]);
  assert.match(explanation, "known before, 88 operations and then:");
  assert.match(explanation, "which leads to revision 100: x");
  assert.is(explanation.split("\n").length, 17);
});

test("every operation has its words", () => {
  const words = [
    [put("a", 1), 'put "a" → written, revision 1'],
    [put("a"), 'put "a" → unknown'],
    [putIf("a", null, 2), 'put "a" if absent → created, revision 2'],
    [conflict("a", 3, 4), 'put "a" if revision 3 → conflict, revision 4'],
    [conflict("a", 3, null), 'put "a" if revision 3 → conflict, absent'],
    [absent, "get → absent"],
    [remove(1, 5), "delete → deleted 1, revision 5"],
    [remove(0), "delete → deleted 0"],
  ] as const;
  for (const [{ input, output }, text] of words) {
    assert.is(compareAndSet.describe(input, output), text);
  }
  assert.is(counter.describe(incr(2).input, 7), "incr by 2 → 7");
  assert.is(counter.describe(count(2).input, null), "get → unknown");
});

test.run();
