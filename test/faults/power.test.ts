/** Power that is lost right after a write was acknowledged. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster, electionMs } from "../e2e/cluster.ts";
import { scenario } from "../e2e/scope.ts";
import { skipped } from "../harness/skipped.ts";
import { Clients } from "./clients.ts";
import { isLongForm } from "./form.ts";
import { assertSound } from "./verdict.ts";
import { losePower } from "./volume-faults.ts";
import { Volume, whyNoVolumes } from "./volume.ts";
import { World } from "./world.ts";

const rounds = isLongForm ? 10 : 3;

scenario(`a single node loses power after an acknowledgement, ${rounds} times`, async (scope) => {
  const why = whyNoVolumes();
  if (why !== null) return skipped(why);
  const cluster = await Cluster.prepare(scope, { size: 1 });
  const node = cluster.node(1);
  const volume = new Volume(scope);
  volume.hold(node);
  for (let round = 0; round < rounds; round++) {
    node.start();
    await cluster.whole();
    for (let before = 0; before < round; before++) {
      assert.is((await node.get(`round-${before}`)).text, String(before));
    }
    await node.mustPut(`round-${round}`, String(round));
    await node.kill();
    volume.cutPower();
    volume.restorePower();
  }
});

scenario(`all nodes lose power under load, ${rounds} times`, async (scope) => {
  const why = whyNoVolumes();
  if (why !== null) return skipped(why);
  const world = await World.start(scope, { fakesClocks: false });
  const clients = Clients.start(world.cluster, { seed: 1 });
  scope.onEnd(() => clients.stop());
  for (let round = 0; round < rounds; round++) {
    await clients.progresses(100, 3 * electionMs);
    await losePower(world, world.cluster.nodes);
    await world.whole();
  }
  await clients.progresses(20, electionMs);
  await clients.stop();
  await world.cluster.assertSameState();
  await clients.readAll();
  assertSound(clients);
});

test.run();
