/** Majority arithmetic. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { nodeId } from "../../server/raft/entry.ts";
import { majority, reachedByMajority, tally } from "../../server/raft/quorum.ts";

const ids = (count: number) => Array.from({ length: count }, (_, i) => nodeId(i + 1));

test("any two majorities of up to nine voters overlap, and half is none", () => {
  for (let count = 1; count <= 9; count++) {
    assert.ok(2 * majority(count) > count);
    assert.ok(2 * (majority(count) - 1) <= count);
  }
});

test("one voter more or less still leaves old and new majorities overlapping", () => {
  for (let count = 1; count <= 9; count++) {
    assert.ok(majority(count) + majority(count + 1) > count + 1);
  }
});

test("what a majority has reached is the value that just enough voters have", () => {
  const values = [7, 3, 9, 1];
  const valueOf = (id: number): number => values[id - 1] ?? 0;
  assert.is(reachedByMajority(ids(1), valueOf), 7);
  assert.is(reachedByMajority(ids(2), valueOf), 3);
  assert.is(reachedByMajority(ids(3), valueOf), 7);
  assert.is(reachedByMajority(ids(4), valueOf), 3);
  assert.is(reachedByMajority([], valueOf), 0);
});

test("an election of an even number of voters is lost at half of them refusing", () => {
  const votes = new Map([
    [nodeId(1), true],
    [nodeId(2), false],
  ]);
  assert.is(tally(ids(4), votes), "open");
  assert.is(tally(ids(4), new Map([...votes, [nodeId(3), false]])), "lost");
  assert.is(tally(ids(2), votes), "lost");
});

test("votes of those who are no voters do not count", () => {
  const votes = new Map([1, 8, 9].map((id) => [nodeId(id), true] as const));
  assert.is(tally(ids(3), votes), "open");
});

test.run();
