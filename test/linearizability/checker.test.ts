/** Histories known to be good and bad. Times are [call, return]; a time alone never returned. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { checkHistory } from "./checker.ts";
import { absent, at, conflict, count, get, getUnknown, incr } from "./examples.ts";
import { put, putIf, remove } from "./examples.ts";
import type { CounterOperation, RowOperation } from "./examples.ts";
import type { Operation } from "./history.ts";
import { compareAndSet, counter, extremes, register, type ExtremesInput } from "./models.ts";

const good = (...history: RowOperation[]): void => {
  const verdict = checkHistory(compareAndSet, history);
  assert.is(verdict.kind, "linearizable", verdict.kind === "violation" ? verdict.explanation : "");
};

const bad = (...history: RowOperation[]): void => {
  assert.is(checkHistory(compareAndSet, history).kind, "violation");
};

const goodCount = (...history: CounterOperation[]): void => {
  assert.is(checkHistory(counter, history).kind, "linearizable");
};

const badCount = (...history: CounterOperation[]): void => {
  assert.is(checkHistory(counter, history).kind, "violation");
};

// Reads and writes that are all answered

test("no operations, or only unknown ones, are linearizable", () => {
  good();
  good(at(1, [0], put("a")), at(2, [1], getUnknown), at(3, [2], remove()));
});

test("operations one after the other act as on one machine", () => {
  good(
    at(1, [0, 1], absent),
    at(1, [2, 3], put("a", 1, true)),
    at(1, [4, 5], get("a", 1)),
    at(1, [6, 7], put("b", 2, false)),
    at(1, [8, 9], remove(1, 3)),
    at(1, [10, 11], absent),
    at(1, [12, 13], remove(0, 4)),
    at(1, [14, 15], put("c", 5, true)),
  );
});

test("a read that runs beside a write may see it or not", () => {
  good(at(1, [0, 10], put("a", 1)), at(2, [1, 2], absent));
  good(at(1, [0, 10], put("a", 1)), at(2, [1, 2], get("a", 1)));
});

test("a read after a write has returned must see it", () => {
  bad(at(1, [0, 10], put("a", 1)), at(2, [11, 12], absent));
});

test("a call at the time of a return is concurrent with it", () => {
  good(at(1, [0, 10], put("a", 1)), at(2, [10, 12], absent));
  good(at(1, [0, 10], absent), at(2, [10, 12], put("a", 1)), at(1, [12, 12], absent));
  bad(at(1, [0, 9], put("a", 1)), at(2, [10, 12], absent));
});

test("a stale read after another client's newer read, both beside the write", () => {
  bad(at(1, [0, 100], put("a", 1)), at(2, [10, 20], get("a", 1)), at(3, [30, 40], absent));
  good(at(1, [0, 100], put("a", 1)), at(2, [10, 20], get("a", 1)), at(3, [19, 40], absent));
});

test("a deposed leader serves the value from before a write it has not heard of", () => {
  bad(at(1, [0, 1], put("old", 1)), at(1, [2, 3], put("new", 2)), at(2, [4, 5], get("old", 1)));
});

test("two clients see two writes in opposite orders", () => {
  bad(
    at(1, [0, 100], put("a", 1)),
    at(2, [0, 100], put("b", 2)),
    at(3, [10, 20], get("a", 1)),
    at(3, [30, 40], get("b", 2)),
    at(4, [10, 20], get("b", 2)),
    at(4, [30, 40], get("a", 1)),
  );
});

test("two clients see two unknown writes in opposite orders", () => {
  bad(
    at(1, [0], put("a")),
    at(2, [0], put("b")),
    at(3, [10, 20], get("a", 1)),
    at(3, [30, 40], get("b", 2)),
    at(4, [10, 20], get("b", 2)),
    at(4, [30, 40], get("a", 1)),
  );
});

test("revisions order concurrent writes, whatever the clock says", () => {
  good(at(1, [0, 10], put("a", 2)), at(2, [1, 9], put("b", 1)), at(3, [11, 12], get("a", 2)));
  bad(at(1, [0, 10], put("a", 1)), at(2, [1, 9], put("b", 2)), at(3, [11, 12], get("a", 1)));
});

test("revisions that go back in real time", () => {
  bad(at(1, [0, 1], put("a", 5)), at(2, [2, 3], put("b", 4)));
  bad(at(1, [0, 1], put("a", 5)), at(2, [2, 3], remove(1, 4)));
  bad(at(1, [0, 1], put("a", 5)), at(2, [2, 3], remove(1, 6)), at(3, [4, 5], put("b", 6)));
  bad(at(1, [0, 5], put("a", 5)), at(2, [0, 5], put("b", 5)));
});

test("a read of a revision shows another value than was written at it", () => {
  bad(at(1, [0, 1], put("a", 1)), at(2, [2, 3], get("b", 1)));
  bad(at(1, [0, 10], put("a", 1)), at(2, [0, 10], put("b", 2)), at(3, [5, 8], get("b", 1)));
});

test("a read of the right value at a revision that nobody wrote: a write applied twice", () => {
  bad(at(1, [0, 1], put("a", 1)), at(2, [2, 3], get("a", 2)));
});

test("the created flag and the deleted count agree with what was there", () => {
  bad(at(1, [0, 1], put("a", 1, false)));
  bad(at(1, [0, 1], put("a", 1)), at(1, [2, 3], put("b", 2, true)));
  bad(at(1, [0, 1], remove(1)));
  bad(at(1, [0, 1], put("a", 1)), at(1, [2, 3], remove(0)));
  good(at(1, [0, 9], put("a", 1)), at(2, [0, 9], remove(1)), at(3, [0, 9], remove(0)));
  good(at(1, [0, 1], remove(0)), at(1, [2, 3], put("a", 1, true)));
});

test("two deletes of one row both say that they deleted it", () => {
  bad(at(1, [0, 1], put("a", 1)), at(2, [2, 9], remove(1)), at(3, [2, 9], remove(1)));
});

test("an acknowledged write is gone after a crash", () => {
  bad(
    at(1, [0, 1], put("a", 1, true)),
    at(1, [2, 3], put("b", 2, false)),
    at(2, [10, 11], get("a", 1)),
    at(2, [12, 13], put("c", 3, false)),
  );
});

test("keys are independent, and the key of a violation is named", () => {
  const other = { ...at(1, [0, 1], put("b", 7)), key: "other" };
  const stale = { ...at(1, [2, 3], absent), key: "other" };
  const verdict = checkHistory(register, [at(1, [0, 1], put("a", 9)), other, stale]);
  assert.is(verdict.kind === "violation" ? verdict.key : "none", "other");
  good(at(1, [0, 1], put("a", 9)), other);
});

// Unknown outcomes

test("an unknown write takes effect much later", () => {
  good(
    at(1, [0], put("late")),
    at(2, [10, 11], absent),
    at(2, [20, 21], put("a", 1, true)),
    at(2, [30, 31], get("a", 1)),
    at(3, [1000, 1001], get("late", 2)),
  );
});

test("an unknown write is read and then un-read", () => {
  bad(
    at(1, [0, 1], put("a", 1)),
    at(2, [2], put("b")),
    at(3, [10, 11], get("b", 2)),
    at(3, [20, 21], get("a", 1)),
  );
});

test("an unknown write takes effect twice", () => {
  bad(
    at(1, [0], put("a")),
    at(2, [10, 11], get("a", 1)),
    at(2, [20, 21], put("b", 2)),
    at(2, [30, 31], get("a", 3)),
  );
  good(
    at(1, [0], put("a")),
    at(1, [5], put("a")),
    at(2, [10, 11], get("a", 1)),
    at(2, [20, 21], put("b", 2)),
    at(2, [30, 31], get("a", 3)),
  );
});

test("an unknown write is read before it was called", () => {
  bad(at(1, [0, 5], get("a", 1)), at(2, [6], put("a")));
  good(at(1, [0, 5], get("a", 1)), at(2, [5], put("a")));
});

test("an unknown write whose value nobody read still explains what others were told", () => {
  good(at(1, [0], put("a")), at(2, [1, 2], put("b", 2, false)));
  good(at(1, [0], put("a")), at(2, [1, 2], remove(1)), at(2, [3, 4], absent));
  bad(at(1, [0], put("a")), at(2, [1, 2], remove(1)), at(2, [3, 4], remove(1)));
  bad(at(1, [3], put("a")), at(2, [1, 2], put("b", 2, false)));
});

test("an unknown write takes a revision of its own", () => {
  bad(at(1, [0], put("a")), at(2, [1, 2], put("b", 1, false)));
  bad(
    at(1, [0, 1], put("x", 5)),
    at(2, [2], put("a")),
    at(2, [2], put("b")),
    at(3, [3, 4], get("a", 6)),
    at(3, [5, 6], get("b", 6)),
  );
});

test("an unknown delete explains an absence, but no second one", () => {
  good(at(1, [0, 1], put("a", 1)), at(2, [2], remove()), at(3, [4, 5], absent));
  good(
    at(1, [0, 1], put("a", 1)),
    at(2, [2], remove()),
    at(3, [4, 5], get("a", 1)),
    at(3, [6, 7], put("b", 9, true)),
  );
  bad(
    at(1, [0, 1], put("a", 1)),
    at(2, [2], remove()),
    at(3, [4, 5], absent),
    at(3, [6, 7], put("b", 3, true)),
    at(3, [8, 9], absent),
  );
});

test("an unknown read explains nothing", () => {
  bad(at(1, [0, 1], put("a", 1)), at(2, [2], getUnknown), at(3, [4, 5], absent));
});

// Compare and set

test("a conditional write succeeds only on the revision it names", () => {
  good(at(1, [0, 1], putIf("a", null, 1)), at(2, [2, 3], putIf("b", 1, 2)));
  bad(at(1, [0, 1], putIf("a", null, 2)), at(2, [2, 3], putIf("b", 1, 3)));
  bad(at(1, [0, 1], put("a", 1)), at(2, [2, 3], putIf("b", null, 2)));
});

test("a lost update: two conditional writes succeed on one revision", () => {
  bad(
    at(1, [0, 1], put("10", 1)),
    at(2, [2, 9], putIf("11", 1, 2)),
    at(3, [2, 9], putIf("12", 1, 3)),
  );
});

test("a refused condition shows the revision that refused it", () => {
  good(
    at(1, [0, 1], put("a", 1)),
    at(2, [2, 9], putIf("b", 1, 2)),
    at(3, [2, 9], conflict("c", 1, 2)),
  );
  bad(at(1, [0, 1], put("a", 1)), at(3, [2, 9], conflict("c", 1, 1)));
  bad(at(1, [0, 1], put("a", 1)), at(3, [2, 9], conflict("c", 5, null)));
  bad(
    at(1, [0, 1], put("a", 1)),
    at(2, [2, 3], putIf("b", 1, 2)),
    at(3, [4, 9], conflict("c", 2, 1)),
  );
});

test("a conditional write that was refused wrote nothing", () => {
  bad(at(1, [0, 1], put("a", 1)), at(2, [2, 3], conflict("b", 9, 1)), at(3, [4, 5], get("b", 2)));
});

test("a client takes the refusal of its own retry for a failure (etcd's clients did)", () => {
  bad(at(1, [0, 1], put("a", 1)), at(2, [2, 8], conflict("b", 1, 2)), at(3, [9, 10], get("b", 2)));
});

test("an unknown conditional write is possible only on the revision it names", () => {
  good(at(1, [0, 1], put("a", 1)), at(2, [2], putIf("b", 1)), at(3, [4, 5], get("b", 2)));
  bad(
    at(1, [0, 1], put("a", 1)),
    at(2, [2], putIf("b", 1)),
    at(3, [4, 5], put("c", 2)),
    at(3, [6, 7], get("b", 3)),
  );
  bad(at(1, [0, 1], put("a", 1)), at(2, [2], putIf("b", null)), at(3, [4, 5], get("b", 2)));
});

test("an unknown write stands behind the revision of a conflict, and of the write that follows it", () => {
  good(
    at(1, [0], put("a")),
    at(2, [1, 2], conflict("b", null, 4)),
    at(2, [3, 4], putIf("c", 4, 5)),
  );
  bad(
    at(1, [0], put("a")),
    at(2, [1, 2], conflict("b", null, 4)),
    at(3, [1, 2], conflict("b", null, 3)),
  );
  good(
    at(1, [0], put("a")),
    at(1, [0], put("b")),
    at(2, [1, 2], conflict("c", null, 3)),
    at(2, [3, 4], conflict("c", null, 5)),
  );
});

// Counters

test("increments answer with every value once", () => {
  goodCount(at(1, [0, 5], incr(1, 2)), at(2, [0, 5], incr(1, 1)), at(3, [6, 7], count(2)));
  badCount(at(1, [0, 5], incr(1, 1)), at(2, [0, 5], incr(1, 1)));
  badCount(at(1, [0, 5], incr(1, 1)), at(2, [6, 9], count(0)));
});

test("what raises and lowers a number answers with the value after it", () => {
  const to = (kind: "max" | "min", value: number, output: number | null) => ({
    input: { kind, value },
    output,
  });
  const read = (output: number) => ({ input: { kind: "get" } as const, output });
  const verdict = (...history: Operation<ExtremesInput, number>[]) =>
    checkHistory(extremes, history).kind;
  const first = at(1, [0, 1], to("min", 5, 5));
  assert.is(verdict(first, at(1, [2, 3], to("max", 3, 5)), at(1, [4, 5], read(5))), "linearizable");
  assert.is(verdict(first, at(1, [2, 3], to("max", 3, 3))), "violation");
  assert.is(verdict(first, at(1, [2, 3], to("min", 3, 3)), at(1, [4, 5], read(5))), "violation");
  const lost = at(2, [2], to("max", 9, null));
  assert.is(verdict(first, lost, at(1, [4, 5], read(5)), at(1, [6, 7], read(9))), "linearizable");
  assert.is(verdict(first, lost, at(1, [4, 5], read(9)), at(1, [6, 7], read(5))), "violation");
});

test("a retried increment is applied twice", () => {
  badCount(at(1, [0, 1], incr(1, 1)), at(1, [2, 9], incr(1, 3)), at(2, [10, 11], count(3)));
  badCount(at(1, [0], incr(1)), at(2, [10, 11], count(2)));
});

test("an unknown increment counts once, now or later or never", () => {
  goodCount(at(1, [0], incr(5)), at(2, [1, 2], count(0)), at(2, [3, 4], incr(1, 6)));
  goodCount(at(1, [0], incr(5)), at(2, [1, 2], incr(1, 1)), at(2, [3, 4], count(1)));
  badCount(at(1, [0], incr(5)), at(2, [1, 2], count(5)), at(2, [3, 4], count(0)));
});

test("unknown increments by different amounts are guessed together", () => {
  const unknown = [1, 2, 4, 8, 16].map((by, client) => at(client, [0], incr(by)));
  goodCount(...unknown, at(9, [1, 2], count(21)), at(9, [3, 4], count(31)));
  badCount(
    ...unknown,
    at(9, [1, 2], count(21)),
    at(9, [3, 4], count(22)),
    at(9, [5, 6], count(24)),
  );
});

test.run();
