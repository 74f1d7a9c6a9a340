/** Idempotency keys on the executable: over nodes, leaders, restarts and a restored backup. */

import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster, type ClusterNode, electionMs } from "./cluster.ts";
import { commandOf } from "./executable.ts";
import { type Answer, ask } from "./http.ts";
import { KvProcess } from "./process.ts";
import { type Scope, scenario } from "./scope.ts";
import { until } from "./wait.ts";

async function kv(scope: Scope, ...words: string[]): Promise<{ code: number | null; out: string }> {
  const process = new KvProcess(scope, {
    name: `kv ${words[0]}`,
    command: [...commandOf("executable"), ...words],
  });
  const { code } = await process.endsWithin(15_000);
  return { code, out: process.stdout + process.stderr };
}

const increment = (node: ClusterNode, key: string): Promise<Answer> =>
  ask(node.httpPort, "POST", "/v1/kv/n?op=incr", { headers: { "Idempotency-Key": key } });

/** Of a request that may be sent again and again, as the promise is. */
const retried = (node: ClusterNode, key: string): Promise<Answer> =>
  until("an increment is answered", electionMs, async () => {
    const answer = await increment(node, key);
    return answer.status === 200 ? answer : null;
  });

scenario("a request is done once over nodes, leaders, restarts and a backup", async (scope) => {
  const cluster = await Cluster.start(scope);
  const [one, two, three] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  const first = await increment(one, "a");
  assert.is(first.json()["value"], 1);
  const assertSame = (answer: Answer): void => {
    assert.equal([answer.status, answer.text], [200, first.text]);
    assert.is(answer.headers.etag, first.headers.etag);
  };
  assertSame(await increment(two, "a"));
  const both = await Promise.all([increment(one, "b"), increment(two, "b"), increment(three, "b")]);
  assert.equal(
    both.map((answer) => answer.json()["value"]),
    [2, 2, 2],
  );
  const other = await ask(one.httpPort, "POST", "/v1/kv/n?op=incr&by=2", {
    headers: { "Idempotency-Key": "a" },
  });
  assert.equal([other.status, other.json()["code"]], [422, "idempotency_mismatch"]);
  const leader = await cluster.leader();
  await leader.kill();
  const next = await cluster.leader();
  assertSame(await retried(next, "a"));
  leader.start();
  await cluster.whole();
  for (const node of cluster.nodes) await node.stop();
  for (const node of cluster.nodes) node.start();
  await cluster.whole();
  assertSame(await retried(one, "a"));
  const file = join(scope.temporaryDirectory(), "backup.sqlite");
  const endpoints = `127.0.0.1:${one.httpPort}`;
  assert.is((await kv(scope, "backup", file, "--endpoints", endpoints)).code, 0);
  const fresh = await Cluster.prepare(scope);
  const into = ["--data-dir", fresh.dataDirectory, "--cluster", fresh.spec];
  assert.is((await kv(scope, "restore", file, ...into)).code, 0);
  for (const node of fresh.nodes) node.start();
  await fresh.whole();
  assertSame(await retried(fresh.node(2), "a"));
});

scenario(
  "increments that are retried through kills of the leader count exactly once",
  async (scope) => {
    const cluster = await Cluster.start(scope);
    const count = 60;
    let done = 0;
    const clients = Array.from({ length: 6 }, async (_, client) => {
      for (let at = client; at < count; at += 6) {
        await until(`request ${at} is answered`, 30_000, async () => {
          for (const node of cluster.nodes) {
            const answer = await increment(node, `r${at}`).catch(() => null);
            if (answer?.status === 200) return true;
          }
          return null;
        });
        done++;
      }
    });
    for (let round = 1; round <= 3; round++) {
      await until(
        `${round * 15} requests are answered`,
        30_000,
        async () => done >= round * 15 || null,
      );
      const leader = await cluster.leader(10_000);
      await leader.kill();
      leader.start();
    }
    await Promise.all(clients);
    await cluster.whole();
    const { text } = await ask(cluster.node(1).httpPort, "GET", "/v1/kv/n");
    assert.is(text, String(count));
    await cluster.assertSameState();
  },
);

scenario("the one-shot commands take a key", async (scope) => {
  const cluster = await Cluster.start(scope);
  const endpoints = cluster.nodes.map(({ httpPort }) => `127.0.0.1:${httpPort}`).join(",");
  const once = ["--endpoints", endpoints, "--idempotency-key", "my key"];
  assert.equal(await kv(scope, "incr", "n", "5", ...once), { code: 0, out: "5\n" });
  assert.equal(await kv(scope, "incr", "n", "5", ...once), { code: 0, out: "5\n" });
  const other = await kv(scope, "incr", "n", "6", ...once);
  assert.is(other.code, 1);
  assert.match(other.out, /another request has used this idempotency key/);
  const wrong = await kv(scope, "put", "k", "v", "--idempotency-key", "");
  assert.is(wrong.code, 2);
  assert.is((await kv(scope, "get", "k", "--idempotency-key", "x")).code, 2);
});

test.run();
