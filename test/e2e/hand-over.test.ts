/** An orderly stop of the leader hands over: fast, with 0, and without loss. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster } from "./cluster.ts";
import { Load } from "./load.ts";
import { scenario } from "./scope.ts";
import { until } from "./wait.ts";

const successorMs = 2_000;
/** No follower calls an election by itself earlier than this. */
const electionTimeoutMs = 1_000;

scenario("the leader is stopped by signal again and again under load", async (scope) => {
  const cluster = await Cluster.start(scope);
  const load = Load.start(cluster);
  scope.onEnd(() => load.stop());
  await load.progresses(50, 10_000);
  const takenMs: number[] = [];
  for (const signal of ["SIGTERM", "SIGINT", "SIGTERM", "SIGINT", "SIGTERM"] as const) {
    const leader = await cluster.leader();
    const { term } = await leader.status();
    const others = cluster.nodes.filter((node) => node !== leader);
    const began = performance.now();
    const stopped = leader.stop(signal);
    const next = await until("a successor", successorMs, async () => {
      const states = await Promise.all(others.map((node) => node.status()));
      const state = states.find(({ role, term: now }) => role === "leader" && now > term);
      return state && cluster.node(state.nodeId);
    });
    takenMs.push(performance.now() - began);
    await next.mustPut("successor", signal, successorMs);
    await stopped;
    await load.progresses(20, successorMs);
    leader.start();
    await cluster.whole();
  }
  takenMs.sort((a, b) => a - b);
  const median = takenMs[Math.floor(takenMs.length / 2)] ?? Infinity;
  assert.ok(median < electionTimeoutMs, `handed over, not lost: ${takenMs.join(", ")} ms`);
  await load.stop();
  await load.verify();
  await cluster.assertSameState();
  console.log(load.summary());
});

scenario("writes that the stopping leader has taken are answered", async (scope) => {
  const cluster = await Cluster.start(scope);
  const leader = await cluster.leader();
  const writes = Array.from({ length: 50 }, (_, count) => leader.put(`last/${count}`, "x"));
  // The first answer shows that the node has taken the others up too.
  await Promise.race(writes);
  const [answers] = await Promise.all([Promise.allSettled(writes), leader.stop()]);
  const acknowledged: number[] = [];
  answers.forEach((answer, count) => {
    if (answer.status === "fulfilled" && answer.value.status === 201) acknowledged.push(count);
  });
  assert.ok(acknowledged.length > 0);
  const reader = await cluster.leader();
  for (const count of acknowledged) {
    assert.is((await reader.get(`last/${count}`)).text, "x");
  }
});

scenario("all three stopped at once end with 0 and come back with everything", async (scope) => {
  const cluster = await Cluster.start(scope);
  await cluster.node(1).mustPut("kept", "value");
  await Promise.all(cluster.nodes.map((node) => node.stop()));
  cluster.startAll();
  await cluster.whole();
  for (const node of cluster.nodes) assert.is((await node.get("kept")).text, "value");
});

scenario("a node that waits for its first cluster stops in order too", async (scope) => {
  const cluster = await Cluster.prepare(scope);
  const node = cluster.node(2);
  node.start();
  await until("it is live", 5_000, async () => (await node.ask("GET", "/livez")).status === 200);
  await node.stop();
});

test.run();
