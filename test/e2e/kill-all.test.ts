/** kill -9 of all three nodes at once, under load: they come back by themselves with everything. */

import { test } from "uvu";
import { Cluster, electionMs } from "./cluster.ts";
import { Load } from "./load.ts";
import { scenario } from "./scope.ts";

const rounds = 5;

scenario(`all nodes are killed ${rounds} times under load`, async (scope) => {
  const cluster = await Cluster.start(scope);
  const load = Load.start(cluster);
  scope.onEnd(() => load.stop());
  for (let round = 0; round < rounds; round++) {
    await load.progresses(100, 15_000);
    await cluster.killAll();
    cluster.startAll();
    const leader = await cluster.whole();
    await leader.mustPut("round", String(round), electionMs);
  }
  await load.progresses(50, electionMs);
  await load.stop();
  await load.verify();
  await cluster.assertSameState();
  console.log(load.summary());
});

scenario("a follower killed again and again under load catches up each time", async (scope) => {
  const cluster = await Cluster.start(scope);
  const load = Load.start(cluster);
  scope.onEnd(() => load.stop());
  for (let round = 0; round < rounds; round++) {
    const [victim] = await cluster.followers();
    await victim?.kill();
    await load.progresses(50, electionMs);
    victim?.start();
    await cluster.whole();
  }
  await load.stop();
  await load.verify();
  await cluster.assertSameState();
});

test.run();
