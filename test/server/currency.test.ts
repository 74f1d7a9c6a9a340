/** How old a state says it is: from when it was asked, never from when the answer was looked at. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Currency } from "../../server/currency.ts";
import { index } from "../../server/raft/entry.ts";

function clocked(): { currency: Currency; pass: (ms: number) => void } {
  let nowMs = 0;
  const currency = new Currency(() => nowMs);
  return { currency, pass: (ms) => void (nowMs += ms) };
}

test("an answer that lay here for a minute makes the state a minute old", () => {
  const { currency, pass } = clocked();
  currency.asked(1);
  pass(60_000);
  currency.confirmed(1, index(3));
  currency.applied(index(3));
  assert.is(currency.ageMs, 60_000);
});

test("what is not applied as far as the answer says is not current", () => {
  const { currency, pass } = clocked();
  currency.asked(1);
  pass(5);
  currency.confirmed(1, index(3));
  currency.applied(index(2));
  assert.is(currency.ageMs, null);
  pass(5);
  currency.applied(index(4));
  assert.is(currency.ageMs, 10);
});

test("a late answer to an old question does not make the state older again", () => {
  const { currency, pass } = clocked();
  currency.asked(1);
  pass(100);
  currency.asked(2);
  currency.confirmed(2, index(1));
  currency.applied(index(1));
  currency.confirmed(1, index(1));
  currency.applied(index(1));
  assert.is(currency.ageMs, 0);
});

test("what nobody wants to know is asked a fifth as often, and soon again once somebody does", () => {
  const { currency, pass } = clocked();
  currency.asked(1);
  pass(999);
  assert.is(currency.isDue(200), false);
  void currency.ageMs;
  assert.is(currency.isDue(200), true);
  currency.asked(2);
  pass(199);
  assert.is(currency.isDue(200), false);
  pass(1);
  assert.is(currency.isDue(200), true);
  currency.asked(3);
  pass(10_000);
  currency.asked(4);
  pass(200);
  assert.is(currency.isDue(200), false);
  pass(800);
  assert.is(currency.isDue(200), true);
});

test("an answer to a question that nobody asked says nothing", () => {
  const { currency } = clocked();
  currency.confirmed(1, index(0));
  currency.applied(index(0));
  assert.is(currency.ageMs, null);
});

test("of questions without an answer a bounded number is remembered, the newest", () => {
  const { currency, pass } = clocked();
  for (let id = 1; id <= 1_000; id++) {
    pass(1);
    currency.asked(id);
  }
  currency.confirmed(1, index(0));
  currency.applied(index(0));
  assert.is(currency.ageMs, null);
  currency.confirmed(1_000, index(0));
  currency.applied(index(0));
  assert.is(currency.ageMs, 0);
});

test.run();
