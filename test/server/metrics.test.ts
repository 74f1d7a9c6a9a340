/** Figures of requests, and the text they are given in. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { gauge, metricsText } from "../../server/metrics.ts";
import { paths } from "../../server/openapi.ts";
import { RequestCounts, routeOf } from "../../server/request-counts.ts";
import { client } from "./asker.ts";

const get = (target: string) => ({ method: "GET", target });

test("each metric has its help, its type and its samples", () => {
  const samples = [{ labels: { name: 'a "b"\\\n', at: 2 }, value: 0.5 }];
  assert.is(
    metricsText([gauge("one", "First.", 1), gauge("two", "Second.", samples)]),
    "# HELP one First.\n# TYPE one gauge\none 1\n" +
      '# HELP two Second.\n# TYPE two gauge\ntwo{name="a \\"b\\"\\\\\\n",at="2"} 0.5\n',
  );
});

test("requests are counted by method, route and status", () => {
  const counts = new RequestCounts();
  counts.answered(get("/v1/kv/a"), 200, 1);
  counts.answered(get("/v1/kv/b?level=local"), 200, 1);
  counts.answered(get("/v1/kv/b"), 404, 1);
  counts.answered({ method: "BREW", target: "/pot" }, 405, 1);
  assert.equal(counts.totals, [
    { labels: { method: "GET", route: "/v1/kv/{key}", status: "200" }, value: 2 },
    { labels: { method: "GET", route: "/v1/kv/{key}", status: "404" }, value: 1 },
    { labels: { method: "other", route: "other", status: "405" }, value: 1 },
  ]);
});

test("a histogram's buckets hold all that took no longer, in seconds", () => {
  const counts = new RequestCounts();
  for (const ms of [0.1, 1, 1.1, 60_000]) counts.answered(get("/livez"), 200, ms);
  const valueOf = (suffix: string, le?: string) =>
    counts.durations.find((sample) => sample.suffix === suffix && sample.labels?.["le"] === le)
      ?.value;
  assert.is(valueOf("_bucket", "0.0005"), 1);
  assert.is(valueOf("_bucket", "0.001"), 2);
  assert.is(valueOf("_bucket", "0.0025"), 3);
  assert.is(valueOf("_bucket", "10"), 3);
  assert.is(valueOf("_bucket", "+Inf"), 4);
  assert.is(valueOf("_count"), 4);
  assert.ok(Math.abs((valueOf("_sum") ?? 0) - 60.0022) < 1e-9);
});

test("no client can make more series than there are routes, methods and statuses", () => {
  const counts = new RequestCounts();
  for (let turn = 0; turn < 1_000; turn++) {
    counts.answered({ method: `M${turn}`, target: `/p${turn}` }, 404, 1);
    counts.answered(get(`/v1/kv/${turn}`), 404, 1);
  }
  assert.is(counts.totals.length, 2);
});

test("every route that is described has a name of its own", () => {
  for (const path of Object.keys(paths)) {
    const example = path.replace("{key}", "k").replace("{folder}", "a").replace("{id}", "2");
    assert.is(routeOf(example), path.replace(/[/](?:promote|keepalive)$/, ""));
  }
});

test("/metrics is plain text", async () => {
  const { status, text, headers } = await client().ask("GET", "/metrics");
  assert.equal([status, text], [200, "up 1\n"]);
  assert.is(headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
});

test.run();
