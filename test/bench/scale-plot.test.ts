/** The plot and the tables of `npm run bench:scale`, of figures made up. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { plotOf, scaleOf } from "./scale-plot.ts";
import { seriesTable, type Point, type Series } from "./scale-series.ts";
import type { Driven } from "./driven.ts";

function driven(perSecond: number, errorCount = 0): Driven {
  const latencyMs = { mean: 1, p50: 1.234, p95: 2, p99: 34.5, "p99.9": 4, max: 5 };
  const refused = { count: 0, latencyMs: { p50: 0, p99: 0 } };
  const operation = { count: 10, perSecond, latencyMs, errors: {}, refused };
  const about = { seconds: 1, clients: 1, endpoints: 1, valueBytes: 1, keys: 1, readPercent: 0 };
  const counts = { count: 10, perSecond, errorCount, notFound: 0, rate: null, missed: 0 };
  return { ...about, ...counts, put: operation, get: operation, cpuUs: 12.6 };
}

function series(rates: readonly (readonly [number, number])[], errors = 0): Series {
  const points = rates.map(([put, get], i): Point => {
    return { x: i, label: `<${i}>`, put: driven(put, errors), get: driven(get) };
  });
  return { name: "nodes & more", about: "100 B", isLogarithmic: false, points };
}

test("every rate is a dot, the higher the further up, in a panel of its own", () => {
  const plot = plotOf(
    [
      series([[1_000, 2_000]]),
      series([
        [500, 8_000],
        [1, 2],
      ]),
    ],
    "kv",
  );
  const dots = [...plot.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)];
  assert.is(dots.length, 6);
  const [, low, high] = [0, 0, 1].map((at) => Number(dots[at]?.[2]));
  assert.ok((high ?? 0) < (low ?? 0), `${high} above ${low}`);
  const left = [dots[0], dots[2]].map((dot) => Number(dot?.[1]));
  assert.ok((left[1] ?? 0) > (left[0] ?? 0) + 200, "the second panel is beside the first");
});

test("the plot is XML that stands by itself, whatever the names are", () => {
  const plot = plotOf([series([[1, 2]])], 'a < b & "c"');
  assert.match(plot, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" /);
  assert.match(plot, /nodes &amp; more/);
  assert.match(plot, />&lt;0&gt;</);
  assert.not.match(plot, /&(?!amp;|lt;|gt;)/);
  assert.not.match(plot, /NaN|undefined/);
});

test("an axis begins at zero and has few round marks, or goes by powers of ten", () => {
  for (const most of [3, 17, 980, 12_345, 99_999]) {
    const { marks, of } = scaleOf([1, most], false);
    assert.is(marks[0], 0);
    assert.ok(marks.length >= 3 && marks.length <= 7, `${most}: ${marks.join(" ")}`);
    assert.ok(of(most) <= 1 && of(most) > 0.6, `${most}: ${of(most)}`);
  }
  const { marks, of } = scaleOf([12, 21_000], true);
  assert.equal(marks, [10, 100, 1_000, 10_000, 100_000]);
  assert.is(of(10), 0);
  assert.is(of(100_000), 1);
});

test("a table is Markdown, and tells of errors where there are any", () => {
  const smooth = seriesTable(series([[1_000, 2_345]])).split("\n");
  assert.is(smooth.length, 3);
  assert.match(smooth[0] ?? "", /^\| nodes & more \| puts\/s \|/);
  assert.match(smooth[1] ?? "", /^\| -+ \| -+: \|/);
  assert.match(smooth[2] ?? "", /\| +1,000 \| +1\.23 \| +35 \| +13 \| +2,345 \|/);
  assert.not.match(smooth[0] ?? "", /errors/);
  assert.match(seriesTable(series([[1, 2]], 7)), /errors.*\n.*\n.* 7 \|$/);
});

test.run();
