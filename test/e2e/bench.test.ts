/** `kv bench` against three nodes. */

import * as assert from "uvu/assert";
import { test } from "uvu";
import type { BenchReport } from "../../cmd/bench/report.ts";
import { skipped } from "../harness/skipped.ts";
import { Cluster } from "./cluster.ts";
import { commandOf } from "./executable.ts";
import { freePorts } from "./ports.ts";
import { KvProcess, type ProcessOptions, whyNoTerminal } from "./process.ts";
import { type Scope, scenario, shared } from "./scope.ts";

const keyCount = 500;

const cluster = shared((scope) => Cluster.start(scope));

function bench(scope: Scope, words: readonly string[], more: Partial<ProcessOptions> = {}) {
  const endpoints = cluster().nodes.map(({ httpPort }) => `127.0.0.1:${httpPort}`);
  return new KvProcess(scope, {
    name: "kv bench",
    command: [...commandOf("executable"), "bench", ...words],
    environment: { KV_ENDPOINTS: endpoints.join(",") },
    ...more,
  });
}

async function reportOf(child: KvProcess): Promise<BenchReport> {
  assert.equal(await child.endsWithin(30_000), { code: 0, signal: null }, child.stderr);
  assert.is(child.stderr, "", "no progress where nobody watches");
  return JSON.parse(child.stdout) as BenchReport;
}

scenario("one second of reads and writes, on keys that were filled", async (scope) => {
  const mix = ["--reads", "30", "--keys", String(keyCount), "--size", "200", "--clients", "8"];
  const child = bench(scope, ["--duration", "1", "--fill", "-o", "json", ...mix]);
  const report = await reportOf(child);
  assert.ok(report.seconds >= 1 && report.seconds < 5, `${report.seconds} s`);
  assert.equal([report.errorCount, report.notFound], [0, 0]);
  assert.equal([report.clients, report.endpoints, report.valueBytes], [8, 3, 200]);
  assert.is(report.count, report.put.count + report.get.count);
  for (const { count, latencyMs } of [report.put, report.get]) {
    assert.ok(count > 0);
    const { p50, p95, p99, max } = latencyMs;
    const rising = [0, p50, p95, p99, latencyMs["p99.9"], max];
    assert.equal(
      rising,
      rising.toSorted((a, b) => a - b),
    );
    assert.ok(p50 > 0 && max < 1000 * report.seconds, JSON.stringify(latencyMs));
  }
  const node = cluster().node(1);
  const listed = await node.ask("GET", "/v1/kv?prefix=bench-&keys&limit=1000");
  const rows = listed.json()["rows"] as { key: string }[];
  assert.is(rows.length, keyCount);
  assert.is(rows[0]?.key, "bench-0000000000");
  const { text } = await node.get("bench-0000000000");
  assert.match(text, /^[a-z]{200}$/);
});

scenario("an interrupted measurement prints what it has", async (scope) => {
  const child = bench(scope, ["--duration", "600", "--reads", "0", "--keys", "10"]);
  const node = cluster().node(1);
  const before = (await node.status()).commitIndex;
  while ((await node.status()).commitIndex < before + 100) assert.ok(child.isRunning, child.stderr);
  child.signal("SIGINT");
  assert.equal(await child.endsWithin(5_000), { code: 0, signal: null });
  assert.match(child.stdout, /^put +[\d,]+ +[\d,]+\/s( +[\d.]+ ms){5}$/m);
  assert.match(child.stdout, /^errors 0$/m);
});

scenario("on a terminal it shows how it goes", async (scope) => {
  const why = whyNoTerminal();
  if (why !== null) return skipped(why);
  const child = bench(scope, ["--duration", "60"], { input: "terminal" });
  await child.says(/measuring, 1 s: [\d,]+\/s, p99/, { within: 15_000 });
  child.write("\x03");
  await child.says(/errors 0/);
  assert.equal(await child.endsWithin(5_000), { code: 0, signal: null });
});

scenario("nobody answers: one line, and exit code 3", async (scope) => {
  const [port] = await freePorts(1);
  const child = bench(scope, [], { environment: { KV_ENDPOINTS: `127.0.0.1:${port}` } });
  assert.equal(await child.endsWithin(15_000), { code: 3, signal: null });
  assert.is(child.errorLines.length, 1, child.stderr);
  assert.ok(child.stderr.includes(String(port)), child.stderr);
});

test.run();
