/** When refused clients are heard again. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { RefusalPace } from "../../server/refusal-pace.ts";

/** Of a node that answers 8,000 a second. */
function busy(): RefusalPace {
  const pace = new RefusalPace(0);
  for (let ms = 0; ms <= 1_000; ms++) for (let i = 0; i < 8; i++) pace.answered(ms);
  return pace;
}

test("who is refused alone may come again at once", () => {
  assert.is(busy().refused(5_000), 5_000);
});

test("who is refused with others is heard after them, an eighth as many as are answered", () => {
  const pace = busy();
  const rests = Array.from({ length: 2_000 }, () => pace.refused(1_000) - 1_000);
  assert.ok(rests.every((rest, i) => i === 0 || rest > (rests[i - 1] ?? 0)));
  const last = rests[rests.length - 1] ?? 0;
  assert.ok(last > 1_900 && last < 2_100, `${last} ms`);
});

test("a rest has an end, however many there are, and later ones are not shortened by it", () => {
  const pace = busy();
  let last = 0;
  for (let i = 0; i < 100_000; i++) last = pace.refused(1_000);
  assert.is(last, 11_000);
  assert.is(pace.refused(2_000), 11_001);
});

test("where nothing is answered a hundred a second are heard", () => {
  const pace = new RefusalPace(0);
  for (let i = 0; i < 100; i++) pace.refused(0);
  assert.is(pace.refused(0), 1_000);
});

test.run();
