/** Deadlines: the earliest first, whatever was set, changed and taken back before. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Deadlines } from "../../server/state-machine/deadlines.ts";
import { Random } from "../raft/random.ts";

test("the next deadline is the earliest of those that stand, and of equals the first key's", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = new Random(seed);
    const deadlines = new Deadlines();
    const model = new Map<string, number>();
    for (let at = 0; at < 500; at++) {
      const key = `k${random.below(30)}`;
      const timeMs = random.float() < 0.7 ? random.below(20) : undefined;
      deadlines.set(key, timeMs);
      if (timeMs === undefined) model.delete(key);
      else model.set(key, timeMs);
      const [first] = [...model].sort(([a, x], [b, y]) => x - y || (a < b ? -1 : 1));
      const next = deadlines.next && [deadlines.next.key, deadlines.next.timeMs];
      assert.equal(next, first ?? null, `seed ${seed}, ${at}`);
      assert.is(deadlines.count, model.size);
    }
  }
});

test("100,000 that are due at once go in order", () => {
  const deadlines = new Deadlines();
  for (let at = 0; at < 100_000; at++) deadlines.set(`k${(at * 7_919) % 100_000}`, 5);
  const keys: string[] = [];
  for (let next = deadlines.next; next; next = deadlines.next) {
    keys.push(next.key);
    deadlines.set(next.key, undefined);
  }
  assert.is(keys.length, 100_000);
  assert.ok(keys.every((key, at) => at === 0 || (keys[at - 1] as string) < key));
});

test.run();
