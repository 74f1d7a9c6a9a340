/** How much of what is committed a leader sends in a tick to those who lack it. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { CatchUp } from "../../server/raft/catch-up.ts";
import { index } from "../../server/raft/entry.ts";

/** Ticks in each of which `bytes` are written and committed. */
function written(catchUp: CatchUp, bytes: number, { from = 1, ticks = 200 } = {}): number {
  for (let at = from; at < from + ticks; at++) {
    catchUp.appended(bytes);
    catchUp.tick(index(at), index(at));
  }
  return from + ticks;
}

test("while nobody writes nobody is held up", () => {
  const catchUp = new CatchUp(1_000);
  catchUp.tick(index(0), index(0));
  assert.is(catchUp.budget, Infinity);
});

test("beside writes it is twice what is written, and a little in any case", () => {
  const catchUp = new CatchUp(1_000);
  const next = written(catchUp, 10);
  assert.is(catchUp.budget, 1_000);
  catchUp.sent(1_200);
  assert.ok(catchUp.budget <= 0);
  written(catchUp, 5_000, { from: next });
  assert.ok(catchUp.budget > 1.5 * 5_000 && catchUp.budget < 2.5 * 5_000, `${catchUp.budget}`);
});

test("who is needed for the next commit gets all at once", () => {
  const catchUp = new CatchUp(1_000);
  const next = written(catchUp, 10);
  for (let tick = 0; tick < 20; tick++) {
    catchUp.appended(10);
    catchUp.tick(index(next - 1), index(next + tick));
  }
  assert.is(catchUp.budget, Infinity);
});

test("while writers wait it is less, and more than they write", () => {
  const catchUp = new CatchUp(1_000);
  let at = 1;
  for (; at < 200; at++) {
    catchUp.appended(5_000);
    catchUp.tick(index(at), index(at + 3));
  }
  assert.ok(catchUp.isStrained);
  assert.ok(catchUp.budget > 5_000 && catchUp.budget < 1.6 * 5_000, `${catchUp.budget}`);
  catchUp.tick(index(at + 3), index(at + 3));
  assert.not(catchUp.isStrained);
  assert.ok(catchUp.budget > 1.8 * 5_000);
});

test.run();
