/** TTLs on the executable: never early, soon, over leaders and restarts, and without a pause. */

import { Agent } from "node:http";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster, type ClusterNode, keyPath } from "./cluster.ts";
import { ask } from "./http.ts";
import { scenario } from "./scope.ts";
import { until } from "./wait.ts";

/** As the promise is; what a busy machine adds to it is not the store's. */
const lateMs = 2_000;
const slackMs = 1_500;

async function isThere(node: ClusterNode, key: string): Promise<boolean> {
  const { status } = await ask(node.httpPort, "GET", keyPath(key));
  if (status !== 200 && status !== 404) throw new Error(`a get is answered with ${status}`);
  return status === 200;
}

/** Milliseconds from before the put was sent to the first answer that the key is gone. */
async function lifetime(node: ClusterNode, key: string, ttl: string): Promise<number> {
  const start = performance.now();
  const { status } = await ask(node.httpPort, "PUT", `${keyPath(key)}?ttl=${ttl}`, { body: "v" });
  assert.is(status, 201);
  await until(`${key} is gone`, 20_000, async () => !(await isThere(node, key)) || null);
  return performance.now() - start;
}

scenario("keys go when their time is over, not earlier", async (scope) => {
  const cluster = await Cluster.start(scope);
  const lives = await Promise.all(
    [500, 1_000, 2_500].map((ms, at) => lifetime(cluster.node(at + 1), `k${ms}`, `${ms}ms`)),
  );
  for (const [at, ms] of [500, 1_000, 2_500].entries()) {
    const life = lives[at] as number;
    assert.ok(life >= ms, `${ms} ms were ${life}`);
    assert.ok(life <= ms + lateMs + slackMs, `${ms} ms were ${life}`);
  }
  await cluster.assertSameState();
});

scenario(
  "a TTL holds over a kill of the leader and restarts of all nodes in turn",
  async (scope) => {
    const cluster = await Cluster.start(scope);
    const start = performance.now();
    const put = await ask(cluster.node(1).httpPort, "PUT", `${keyPath("k")}?ttl=12s`, {
      body: "v",
    });
    assert.is(put.status, 201);
    const leader = await cluster.leader();
    await leader.kill();
    leader.start();
    await cluster.whole();
    for (const node of cluster.nodes) {
      await node.stop();
      node.start();
      await cluster.whole();
    }
    const turnedMs = performance.now() - start;
    if (turnedMs < 11_000) assert.is(await isThere(cluster.node(1), "k"), true);
    await until(
      "the key is gone",
      30_000,
      async () => !(await isThere(cluster.node(1), "k")) || null,
    );
    const life = performance.now() - start;
    assert.ok(life >= 12_000, `12 s were ${life} ms`);
    console.log(`12 s over five changes of the leader, or more, were ${Math.round(life)} ms`);
  },
);

scenario("many keys that go in the same second hold nobody up", async (scope) => {
  const cluster = await Cluster.start(scope);
  const leader = await cluster.leader();
  const agent = new Agent({ keepAlive: true });
  scope.onEnd(() => agent.destroy());
  const count = 20_000;
  const json = { "Content-Type": "application/json" };
  const due = performance.now() + 15_000;
  for (let from = 0; from < count; from += 100) {
    const ttl = `${Math.max(1_000, Math.round(due - performance.now()))}ms`;
    const then = Array.from({ length: 100 }, (_, at) => {
      return { op: "put", key: `many/${from + at}`, value: "v", ttl };
    });
    const body = JSON.stringify({ then });
    const answer = await ask(leader.httpPort, "POST", "/v1/txn", { headers: json, body, agent });
    assert.is(answer.status, 200);
  }
  let longest = 0;
  await until("all of them are gone", 60_000, async () => {
    const start = performance.now();
    await ask(leader.httpPort, "PUT", keyPath("probe"), { body: "v", agent });
    longest = Math.max(longest, performance.now() - start);
    const counted = await ask(leader.httpPort, "GET", "/v1/kv?prefix=many/&count", { agent });
    return counted.json()["count"] === 0 || null;
  });
  console.log(`${count} keys went; the longest put meanwhile took ${Math.round(longest)} ms`);
  await cluster.assertSameState();
});

test.run();
