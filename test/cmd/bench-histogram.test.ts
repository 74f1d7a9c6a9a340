/** The histogram of `kv bench`: quantiles as sorting would give them, in a fixed size. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Histogram } from "../../cmd/bench/histogram.ts";
import { Random } from "../raft/random.ts";

const shares = [0, 0.01, 0.5, 0.95, 0.99, 0.999, 1];

/** The exact quantile: what the smallest sufficient number of the values does not exceed. */
const exact = (sorted: readonly number[], share: number): number =>
  sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1] ?? 0;

function histogramOf(values: readonly number[]): Histogram {
  const histogram = new Histogram();
  for (const value of values) histogram.record(value);
  return histogram;
}

/** Durations of all sizes: as many from 1 to 2 µs as from 1 to 2 minutes. */
function durations(count: number, seed: number): number[] {
  const random = new Random(seed);
  return Array.from({ length: count }, () => Math.floor(2 ** (random.below(29_000) / 1000)));
}

test("quantiles are at most 1/128 above those of the sorted durations, and never below", () => {
  const values = durations(20_000, 1);
  const histogram = histogramOf(values);
  values.sort((a, b) => a - b);
  for (const share of shares) {
    const right = exact(values, share);
    const told = histogram.quantileUs(share);
    assert.ok(told >= right && told <= right * (1 + 1 / 128), `${share}: ${told}, exact ${right}`);
  }
});

test("short durations are exact", () => {
  const histogram = histogramOf(Array.from({ length: 256 }, (_, us) => us));
  for (let us = 0; us < 256; us++) assert.is(histogram.quantileUs((us + 1) / 256), us);
});

test("borders of buckets do not fall into their neighbours", () => {
  for (let power = 8; power < 30; power++) {
    for (const us of [2 ** power - 1, 2 ** power, 2 ** power + 1]) {
      const histogram = histogramOf([us, 2 ** 30 - 1]);
      const told = histogram.quantileUs(0.5);
      assert.ok(told >= us && told <= us * (1 + 1 / 128), `${us}: ${told}`);
    }
  }
});

test("the longest duration is told exactly, also where no bucket reaches", () => {
  const histogram = histogramOf([3, 5_000_000_001]);
  assert.is(histogram.maxUs, 5_000_000_001);
  assert.equal([histogram.quantileUs(0.5), histogram.quantileUs(1)], [3, 2 ** 30 - 1]);
  assert.is(histogram.count, 2);
});

test("no quantile is above the longest duration", () => {
  assert.is(histogramOf([1_000_000]).quantileUs(0.5), 1_000_000);
});

test("nothing recorded is zero everywhere", () => {
  const histogram = new Histogram();
  for (const share of shares) assert.is(histogram.quantileUs(share), 0);
  assert.equal([histogram.count, histogram.maxUs, histogram.meanUs], [0, 0, 0]);
});

test("two histograms added are that of all durations; cleared they are empty", () => {
  const [some, others] = [durations(500, 2), durations(700, 3)];
  const sum = histogramOf(some);
  sum.add(histogramOf(others));
  const all = histogramOf([...some, ...others]);
  for (const share of shares) assert.is(sum.quantileUs(share), all.quantileUs(share));
  assert.equal([sum.count, sum.maxUs, sum.meanUs], [all.count, all.maxUs, all.meanUs]);
  sum.clear();
  assert.equal([sum.count, sum.maxUs, sum.quantileUs(1)], [0, 0, 0]);
});

test.run();
