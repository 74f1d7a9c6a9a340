/** Disks that hang and disks that fill up. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster, electionMs, formationMs } from "../e2e/cluster.ts";
import { Injection, whyNoInjection } from "../e2e/injection.ts";
import { scenario } from "../e2e/scope.ts";
import { until } from "../e2e/wait.ts";
import { skipped } from "../harness/skipped.ts";
import { Clients } from "./clients.ts";
import { assertSound } from "./verdict.ts";
import { whyNoVolumes } from "./volume.ts";
import { World } from "./world.ts";

const hangMs = 8_000;

scenario("a leader whose sync hangs is replaced, and comes back as a follower", async (scope) => {
  const why = whyNoInjection();
  if (why !== null) return skipped(why);
  const cluster = await Cluster.start(scope);
  const old = await cluster.leader();
  const others = cluster.nodes.filter((node) => node !== old);
  const clients = Clients.start(cluster, { seed: 1 });
  scope.onEnd(() => clients.stop());
  const what = `fdatasync:delay_enter=${hangMs * 1_000}:when=1`;
  const injection = await Injection.attach(scope, old, what);
  const next = await until("another leader", electionMs, async () => {
    const states = await Promise.all(others.map((node) => node.status()));
    const leading = states.find(({ role }) => role === "leader");
    return leading && cluster.node(leading.nodeId);
  });
  await next.mustPut("meanwhile", "x");
  await clients.progresses(20, hangMs);
  await cluster.whole(hangMs + formationMs);
  assert.is(injection.count, 1, "one sync hung");
  await clients.stop();
  await cluster.assertSameState();
  await clients.readAll();
  assertSound(clients);
});

scenario("all disks full: refused, and whole again with space", async (scope) => {
  const why = whyNoVolumes();
  if (why !== null) return skipped(why);
  const world = await World.start(scope, { fakesClocks: false });
  const { cluster } = world;
  const clients = Clients.start(cluster, { seed: 1 });
  scope.onEnd(() => clients.stop());
  await clients.progresses(50, electionMs);
  for (const node of cluster.nodes) assert.ok(world.volumeOf(node).fill() > 1 << 20);
  let refused = 0;
  await until("everybody has noticed", 20_000, async () => {
    for (const node of cluster.nodes) {
      assert.ok(node.isRunning, node.process.stderr);
      const large = node.put("large", new Uint8Array(500_000), { timeoutMs: 500 });
      const answer = await large.catch(() => null);
      if (answer?.status === 507) refused++;
      assert.ok(answer === null || answer.status < 300 || answer.status >= 500);
    }
    return refused >= 2 * cluster.nodes.length;
  });
  for (const node of cluster.nodes) world.volumeOf(node).empty();
  await world.whole(30_000);
  await clients.progresses(20, electionMs);
  await clients.stop();
  await cluster.assertSameState();
  await clients.readAll();
  assertSound(clients);
});

test.run();
