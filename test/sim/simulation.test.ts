/** The simulator itself: equal seeds give equal runs, and what once failed does not fail again. */

import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { failedSeeds } from "./failed-seeds.ts";
import { drawOptions, faultKinds } from "./options.ts";
import { plantedBugs } from "./planted-bugs.ts";
import { describeFailure } from "./runs.ts";
import { simulate } from "./simulation.ts";

test("the same seed gives the same trace", async () => {
  for (const seed of [9, 11, 12, 13]) {
    const [one, other] = [await simulate(drawOptions(seed)), await simulate(drawOptions(seed))];
    assert.is(one.hash, other.hash);
  }
});

test("another seed gives another trace", async () => {
  const [one, other] = [await simulate(drawOptions(11)), await simulate(drawOptions(12))];
  assert.is.not(one.hash, other.hash);
});

test("leaving a fault out changes nothing else of what a seed draws", () => {
  const whole = drawOptions(7);
  const without = drawOptions(7, new Set(faultKinds));
  assert.is(without.faults.size, 0);
  assert.equal({ ...whole, faults: null }, { ...without, faults: null });
});

test("every fault is drawn by some seed, and left out by another", () => {
  const drawn = Array.from({ length: 60 }, (_, seed) => drawOptions(seed).faults);
  for (const kind of faultKinds) {
    assert.ok(
      drawn.some((faults) => faults.has(kind)),
      kind,
    );
    assert.ok(
      drawn.some((faults) => !faults.has(kind)),
      kind,
    );
  }
});

test("every planted bug has its one place in the source", () => {
  for (const bug of plantedBugs) {
    for (const { file, find, replace } of bug.also ? [bug, bug.also] : [bug]) {
      const text = readFileSync(new URL(`../../${file}`, import.meta.url), "utf8");
      assert.is(text.split(find).length, 2, `${bug.name}: in ${file}`);
      assert.is.not(find, replace);
    }
  }
});

for (const { seed, found } of failedSeeds) {
  test(`seed ${seed} holds (${found})`, async () => {
    const result = await simulate(drawOptions(seed));
    assert.is(result.failure, null, describeFailure(result, 40));
  });
}

test.run();
