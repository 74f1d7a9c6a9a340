/** Wall clocks that jump: nobody's term, and nobody's answers, may depend on them. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { electionMs } from "../e2e/cluster.ts";
import { scenario } from "../e2e/scope.ts";
import { throughout } from "../e2e/wait.ts";
import { skipped } from "../harness/skipped.ts";
import { jump, whyNoFakeTime } from "./clock-faults.ts";
import { Clients } from "./clients.ts";
import { assertSound } from "./verdict.ts";
import { World } from "./world.ts";

scenario("clocks jump by +1 h and -2 h without an election", async (scope) => {
  const why = whyNoFakeTime();
  if (why !== null) return skipped(why);
  const { cluster } = await World.start(scope, { hasVolumes: false });
  const leader = await cluster.leader();
  const { term } = await leader.status();
  const [follower] = await cluster.followers();
  assert.ok(follower);
  const clients = Clients.start(cluster, { seed: 1 });
  scope.onEnd(() => clients.stop());
  for (const [node, seconds] of [
    [leader, 3_600],
    [follower, -7_200],
    [leader, -7_200],
  ] as const) {
    await jump(node, seconds);
    await throughout(300, async () => assert.is((await leader.status()).term, term));
    await clients.progresses(20, electionMs);
  }
  assert.is((await cluster.leader()).id, leader.id);
  await clients.stop();
  await cluster.assertSameState();
  await clients.readAll();
  assertSound(clients);
});

test.run();
