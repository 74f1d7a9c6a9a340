/** kill -9 of the leader under load, twenty rounds: nothing acknowledged is missing. */

import { test } from "uvu";
import { Cluster, electionMs } from "./cluster.ts";
import { Load } from "./load.ts";
import { scenario } from "./scope.ts";

const rounds = 20;

scenario(`the leader is killed ${rounds} times under load`, async (scope) => {
  const cluster = await Cluster.start(scope);
  const load = Load.start(cluster);
  scope.onEnd(() => load.stop());
  await load.progresses(50, 10_000);
  for (let round = 0; round < rounds; round++) {
    const victim = await cluster.leader();
    await victim.kill();
    const next = await cluster.leader(electionMs);
    await next.mustPut("round", String(round));
    victim.start();
    await cluster.whole();
    await load.progresses(20, electionMs);
  }
  await load.stop();
  await load.verify();
  await cluster.assertSameState();
  console.log(load.summary());
});

test.run();
