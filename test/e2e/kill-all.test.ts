/** kill -9 of all three nodes at once, under load: they come back by themselves with everything. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster, electionMs } from "./cluster.ts";
import { Load } from "./load.ts";
import { scenario } from "./scope.ts";
import { until } from "./wait.ts";

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

scenario(
  "a GET while a node replays its log waits or is refused, and is never old",
  async (scope) => {
    const cluster = await Cluster.start(scope);
    const leader = await cluster.leader();
    const [restarted] = await cluster.followers();
    assert.ok(restarted);
    for (let round = 0; round < rounds; round++) {
      const keys = Array.from({ length: 300 }, (_, i) => `key-${i}`);
      await Promise.all(keys.map((key) => leader.mustPut(key, `of ${round}`)));
      await restarted.kill();
      await leader.mustPut("clock", `at ${round}`);
      restarted.start();
      const answers: string[] = [];
      await until("a GET is answered", electionMs, async () => {
        const { status, text } = await restarted.get("clock");
        answers.push(status === 503 ? "refused" : `${status} ${text}`);
        return status === 200;
      });
      const given = answers.filter((answer) => answer !== "refused");
      assert.equal(given, [`200 at ${round}`]);
    }
  },
);

test.run();
