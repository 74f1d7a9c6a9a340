/** That long histories are decided, with the cost counted in steps, which are the same on every machine. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { must } from "../../server/raft/assert.ts";
import { Random } from "../raft/random.ts";
import { checkHistory } from "./checker.ts";
import { at, count, incr, put } from "./examples.ts";
import type { RowOperation } from "./examples.ts";
import { counterHistory, rowHistory, type Shape } from "./generator.ts";
import { compareAndSet, counter } from "./models.ts";

const long: Shape = { clients: 10, operations: 10_000, unknown: 0, durationMax: 20, pauseMax: 2 };
const withUnknown: Shape = { ...long, operations: 2000, unknown: 50 };

/** The last read of the history shows the row's first revision. */
function withStaleRead(history: readonly RowOperation[]): RowOperation[] {
  const last = history.findLastIndex(({ output }) => output?.kind === "get" && output.row !== null);
  const revisions = history.flatMap(({ output }) =>
    output?.kind === "put" ? output.revision : [],
  );
  const stale = { value: "v0", revision: Math.min(...revisions) };
  const read = must(history[last], "somebody read a row");
  return history.with(last, { ...read, output: { kind: "get", row: stale } });
}

for (const values of [3, Infinity]) {
  test(`10,000 operations at once on 10 clients, ${values} values: 10 steps each`, () => {
    const history = rowHistory(new Random(1), long, values);
    const options = { stepsMax: 10 * history.length };
    assert.is(checkHistory(compareAndSet, history, options).kind, "linearizable");
    assert.is(checkHistory(compareAndSet, withStaleRead(history), options).kind, "violation");
  });

  test(`2,000 operations, 50 of them open for ever, ${values} values: 100 steps each`, () => {
    const history = rowHistory(new Random(2), withUnknown, values);
    const options = { stepsMax: 100 * history.length };
    assert.is(checkHistory(compareAndSet, history, options).kind, "linearizable");
    assert.is(checkHistory(compareAndSet, withStaleRead(history), options).kind, "violation");
  });
}

test("2,000 operations on a counter, 50 of them open for ever: 100 steps each", () => {
  const history = counterHistory(new Random(3), withUnknown, [1]);
  const options = { stepsMax: 100 * history.length };
  assert.is(checkHistory(counter, history, options).kind, "linearizable");
  const last = history.findLastIndex(({ output }) => output !== null);
  const read = must(history[last], "somebody read the counter");
  const worse = history.with(last, { ...read, output: 5 });
  assert.is(checkHistory(counter, worse, options).kind, "violation");
});

test("50 unknown writes do not hide that a row was never written", () => {
  const unknown = Array.from({ length: 50 }, (_, i) => at(i, [0], put(`v${i}`)));
  const bad = [at(60, [1, 2], put("a", 1, true)), at(60, [3, 4], put("b", 100, true))];
  assert.is(
    checkHistory(compareAndSet, [...unknown, ...bad], { stepsMax: 2000 }).kind,
    "violation",
  );
});

test("sums of unknown increments that have to be guessed stay undecided, and nothing is claimed", () => {
  const unknown = Array.from({ length: 40 }, (_, i) => at(i, [0], incr(3 ** (i % 30))));
  const impossible = [at(60, [1, 2], count(3 ** 30 - 2)), at(60, [3, 4], count(2))];
  const verdict = checkHistory(counter, [...unknown, ...impossible], { stepsMax: 5000 });
  assert.equal(verdict, { kind: "undecided", key: "k" });
});

test("a violation on one key counts more than an undecided other", () => {
  const unknown = Array.from({ length: 40 }, (_, i) => at(i, [0], incr(3 ** (i % 30))));
  const hard = [...unknown, at(60, [1, 2], count(3 ** 30 - 2))];
  const bad = { ...at(60, [1, 2], count(1)), key: "bad" };
  const verdict = checkHistory(counter, [...hard, bad], { stepsMax: 5000 });
  assert.is(verdict.kind === "violation" ? verdict.key : verdict.kind, "bad");
});

test.run();
