/** More than a node can do at once: it says so or takes longer, but it keeps its head. */

import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster, type ClusterNode, electionMs } from "../e2e/cluster.ts";
import { RawConnection } from "../e2e/http.ts";
import { type Scope, scenario } from "../e2e/scope.ts";
import { throughout, until } from "../e2e/wait.ts";
import { Clients } from "./clients.ts";
import { isLongForm } from "./form.ts";
import { processState } from "./process-faults.ts";
import { assertSound } from "./verdict.ts";

const pressureMs = isLongForm ? 10_000 : 3_000;
const stoppedMs = isLongForm ? 60_000 : 4_000;
/** Requests of one connection that wait for their answers. */
const pipelineLength = 20;
/** What a node may take on top of what it has when idle. */
const growthBytesMax = 400 << 20;

/** Resident memory of the node's process in bytes. */
function memoryOf(node: ClusterNode): number {
  const status = readFileSync(`/proc/${node.process.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1_024;
}

/** Looks at the memory again and again; the function that it returns gives the most that was seen. */
function watchMemory(scope: Scope, node: ClusterNode): () => number {
  let most = 0;
  const timer = setInterval(() => (most = Math.max(most, memoryOf(node))), 50);
  scope.onEnd(() => clearInterval(timer));
  return () => most;
}

function statusesOf(connection: RawConnection): string[] {
  return [...connection.received.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status = ""]) => status);
}

async function connections(
  scope: Scope,
  node: ClusterNode,
  count: number,
): Promise<RawConnection[]> {
  return Promise.all(Array.from({ length: count }, () => RawConnection.open(scope, node.httpPort)));
}

scenario(
  "500 connections that pipeline writes cost no leader and bounded memory",
  async (scope) => {
    const cluster = await Cluster.start(scope);
    const leader = await cluster.leader();
    const { term } = await leader.status();
    const before = memoryOf(leader);
    const memory = watchMemory(scope, leader);
    const all = await connections(scope, leader, 500);
    const put = (key: string): string =>
      `PUT /v1/kv/${key} HTTP/1.1\r\nHost: 127.0.0.1:${leader.httpPort}\r\nContent-Length: 1000\r\n\r\n${"v".repeat(1_000)}`;
    const pipelines = all.map((connection) => ({ connection, sent: 0 }));
    let sent = 0;
    await throughout(pressureMs, () => {
      for (const pipeline of pipelines) {
        const answered = statusesOf(pipeline.connection).length;
        const more = answered + pipelineLength - pipeline.sent;
        if (more <= 0) continue;
        const puts = Array.from({ length: more }, () => put(`key-${sent++ % 1_000}`));
        pipeline.connection.write(puts.join(""));
        pipeline.sent += more;
      }
    });
    const statuses = Map.groupBy(all.flatMap(statusesOf), (status) => status);
    const counts = Object.fromEntries(
      [...statuses].map(([status, { length }]) => [status, length]),
    );
    for (const status of Object.keys(counts)) assert.match(status, /^(?:200|201|429|503|504)$/);
    const written = (counts["200"] ?? 0) + (counts["201"] ?? 0);
    assert.ok(written >= 500, `answered: ${JSON.stringify(counts)}`);
    assert.is((await leader.status()).term, term, "the leader stays");
    for (const connection of all) connection.destroy();
    await leader.mustPut("after", "x");
    const growth = memory() - before;
    assert.ok(growth < growthBytesMax, `it grew by ${growth >> 20} MB`);
    console.log(`${sent} sent, ${JSON.stringify(counts)}, grew by ${growth >> 20} MB`);
    await cluster.assertSameState();
  },
);

scenario("1,000 idle and slow connections keep nobody else out", async (scope) => {
  const cluster = await Cluster.start(scope);
  const leader = await cluster.leader();
  const before = memoryOf(leader);
  await connections(scope, leader, 500);
  const slow = await connections(scope, leader, 500);
  const request = `PUT /v1/kv/slow HTTP/1.1\r\nHost: 127.0.0.1:${leader.httpPort}\r\nContent-Length: 9\r\n\r\n`;
  let turn = 0;
  await throughout(pressureMs, async () => {
    const byte = request.charAt(turn++);
    for (const connection of slow) connection.write(byte);
    const began = performance.now();
    assert.ok((await leader.put("quick", String(turn))).status <= 201);
    assert.ok(performance.now() - began < 1_000, "a put takes its usual time");
  });
  assert.is((await leader.get("quick")).text, String(turn));
  assert.is((await leader.get("slow")).status, 404, "half a request is nothing");
  const growth = memoryOf(leader) - before;
  assert.ok(growth < growthBytesMax / 4, `it grew by ${growth >> 20} MB`);
});

scenario("a follower that is stopped under load costs the others nothing", async (scope) => {
  const cluster = await Cluster.start(scope);
  const leader = await cluster.leader();
  const [stopped] = await cluster.followers();
  assert.ok(stopped);
  const { term } = await leader.status();
  const before = memoryOf(leader);
  stopped.process.signal("SIGSTOP");
  scope.onEnd(() => stopped.process.signal("SIGCONT"));
  await until("it is stopped", 2_000, () => processState(stopped.process.pid) === "T");
  const memory = watchMemory(scope, leader);
  const value = new Uint8Array(50_000);
  let written = 0;
  let slowestMs = 0;
  await throughout(stoppedMs, async () => {
    const began = performance.now();
    const puts = Array.from({ length: 8 }, (_, i) => leader.put(`key-${i}`, value));
    for (const { status } of await Promise.all(puts)) assert.ok(status <= 201);
    slowestMs = Math.max(slowestMs, performance.now() - began);
    written += puts.length * value.byteLength;
  });
  const growth = memory() - before;
  assert.ok(slowestMs < 1_000, `eight puts took ${slowestMs} ms`);
  assert.ok(
    growth < growthBytesMax,
    `it grew by ${growth >> 20} MB while ${written >> 20} were written`,
  );
  console.log(`${written >> 20} MB written, grew by ${growth >> 20} MB, slowest ${slowestMs} ms`);
  stopped.process.signal("SIGCONT");
  await cluster.whole();
  assert.is((await leader.status()).term, term);
  await cluster.assertSameState(30_000);
});

scenario("large values and long listings cost no leader, and no read is stale", async (scope) => {
  const cluster = await Cluster.start(scope);
  const leader = await cluster.leader();
  const { term } = await leader.status();
  const large = new Uint8Array(1 << 20);
  for (let i = 0; i < 8; i++) await leader.mustPut(`large/${i}`, large);
  const clients = Clients.start(cluster, { seed: 1, clients: 6 });
  scope.onEnd(() => clients.stop());
  let listed = 0;
  await throughout(pressureMs, async () => {
    const busy = cluster.nodes.map(async (node) => {
      const page = await node.ask("GET", "/v1/kv?prefix=large/&limit=10000");
      if (page.status === 200) listed += page.body.byteLength;
      await node.put("large/0", large);
    });
    await Promise.all(busy);
  });
  assert.ok(listed > 16 << 20, `${listed} bytes listed`);
  assert.ok((await leader.status()).term <= term + 1, "one term more at most");
  await clients.progresses(20, electionMs);
  await clients.stop();
  await cluster.assertSameState();
  await clients.readAll();
  assertSound(clients);
});

test.run();
