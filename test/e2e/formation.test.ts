/** The first formation needs all nodes of the list, present and empty. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster, formationMs } from "./cluster.ts";
import { KvProcess } from "./process.ts";
import { assertProblem } from "./problem.ts";
import { scenario } from "./scope.ts";
import { inTime, throughout, until } from "./wait.ts";

/** Longer than the longest election timeout, which is two seconds, and the election after it. */
const watchMs = 3_500;

scenario("two of three do not form a cluster, and the third completes it", async (scope) => {
  const cluster = await Cluster.prepare(scope);
  const early = [cluster.node(1), cluster.node(2)];
  for (const node of early) node.start();
  for (const node of early) {
    await until("it is live", 5_000, async () => (await node.ask("GET", "/livez")).status === 200);
  }
  await throughout(watchMs, async () => {
    for (const node of early) {
      assert.is((await node.ask("GET", "/readyz")).status, 503);
      const status = await node.status();
      assert.is(status.leaderId, null);
      assert.is(status.clusterId, null);
    }
  });
  const put = await cluster.node(1).put("early", "x");
  assertProblem(put, { status: 503, code: "no_leader", outcome: "not_applied" });
  assertProblem(await cluster.node(2).get("early"), { status: 503, code: "no_leader" });
  cluster.node(3).start();
  await cluster.whole();
  assert.is((await cluster.node(1).get("early")).status, 404);
  await cluster.node(2).mustPut("late", "x");
  assert.is((await cluster.node(3).get("late")).text, "x");
});

scenario(
  "an operator's word lets a majority form the cluster, and the third comes later",
  async (scope) => {
    const cluster = await Cluster.prepare(scope);
    const [one, two, three] = cluster.nodes;
    assert.ok(one && two && three);
    one.start({ flags: ["--bootstrap"] });
    two.start();
    await cluster.leader(formationMs);
    await one.mustPut("early", "x");
    three.start();
    await until("the third follows", formationMs, async () => {
      return (await three.get("early").catch(() => null))?.status === 200;
    });
    await until("it votes", formationMs, async () => {
      const { members } = await one.status();
      return members.find(({ id }) => id === 3)?.role === "voter";
    });
    await two.kill();
    await one.mustPut("without the second", "x", formationMs);
    assert.is((await three.get("without the second")).text, "x");
  },
);

scenario("a bootstrap forms nothing beside a node that has a cluster", async (scope) => {
  const cluster = await Cluster.start(scope);
  await cluster.node(1).mustPut("kept", "x");
  await cluster.killAll();
  for (const node of [cluster.node(1), cluster.node(2)]) node.wipe();
  cluster.node(3).start();
  cluster.node(1).start({ flags: ["--bootstrap"] });
  cluster.node(2).start();
  await throughout(watchMs, async () => {
    for (const node of [cluster.node(1), cluster.node(2)]) {
      assert.not(await node.isReady().catch(() => false), `node ${node.id} is ready`);
    }
  });
});

scenario("a node killed while the cluster forms finds its way in", async (scope) => {
  for (let round = 0; round < 3; round++) {
    const cluster = await Cluster.prepare(scope);
    cluster.startAll();
    const victim = cluster.node(round + 1);
    await until("some node knows the cluster", formationMs, async () => {
      const states = await Promise.allSettled(cluster.nodes.map((node) => node.status()));
      return states.some(({ status, ...rest }) => {
        return status === "fulfilled" && "value" in rest && rest.value.clusterId !== null;
      });
    });
    await victim.kill();
    victim.start();
    await cluster.whole();
    const ids = await Promise.all(cluster.nodes.map((node) => node.status()));
    assert.is(new Set(ids.map(({ clusterId }) => clusterId)).size, 1);
    await victim.mustPut("k", `round ${round}`);
    await cluster.killAll();
  }
});

scenario("nodes that were told different members do not form a cluster", async (scope) => {
  const cluster = await Cluster.prepare(scope);
  const strange = await Cluster.prepare(scope);
  const [one, two, three] = cluster.spec.split(",");
  const [, strangeTwo] = strange.spec.split(",");
  for (const node of [cluster.node(1), cluster.node(2)]) node.start();
  const command = cluster.node(3).command;
  const other = [one, strangeTwo, three].join(",");
  const third = new KvProcess(scope, {
    name: "node 3 with another list",
    command: command.map((word) => (word === cluster.spec ? other : word)),
  });
  assert.type(two, "string");
  await throughout(watchMs, async () => {
    for (const node of cluster.running) {
      assert.not(await node.isReady().catch(() => false), `node ${node.id} is ready`);
    }
  });
  if (third.isRunning)
    assert.not(
      await cluster
        .node(3)
        .isReady()
        .catch(() => false),
    );
});

scenario("a cluster of one forms by itself", async (scope) => {
  const cluster = await Cluster.start(scope, { size: 1 });
  const node = cluster.node(1);
  await node.mustPut("alone", "x");
  await node.kill();
  node.start();
  await cluster.whole();
  assert.is((await node.get("alone")).text, "x");
  await inTime("an orderly end", 5_000, node.stop());
});

test.run();
