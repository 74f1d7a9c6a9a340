/** A few at a time, the others in line. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Turnstile } from "../../server/turnstile.ts";

test("no more than so many are inside, and the line moves in order", async () => {
  const turnstile = new Turnstile({ insideMax: 1, waitingMax: 2 });
  const order: number[] = [];
  assert.ok(await turnstile.enter());
  const second = turnstile.enter().then(() => order.push(2));
  const third = turnstile.enter().then(() => order.push(3));
  assert.equal(order, []);
  turnstile.leave();
  await second;
  assert.equal(order, [2]);
  turnstile.leave();
  await third;
  assert.equal(order, [2, 3]);
});

test("who comes when the line is full is turned away at once", async () => {
  const turnstile = new Turnstile({ insideMax: 1, waitingMax: 0 });
  assert.ok(await turnstile.enter());
  assert.not.ok(await turnstile.enter());
  turnstile.leave();
  assert.ok(await turnstile.enter());
});

test.run();
