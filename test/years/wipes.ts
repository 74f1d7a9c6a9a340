/**
 * One node of three after the other loses its directory, again and again, while clients write: each
 * time it has to come back as a voter by itself, with everything that was acknowledged.
 */

import { Cluster } from "../e2e/cluster.ts";
import { Load } from "../e2e/load.ts";
import { Terms } from "../e2e/terms.ts";
import { pause } from "../e2e/wait.ts";
import { healed } from "../e2e/wipe.ts";
import { numbers, run, seconds } from "./run.ts";

const { minutes, every, clients } = numbers({ minutes: 5, every: 20, clients: 8 });

await run(async (scope) => {
  const cluster = await Cluster.start(scope);
  const terms = new Terms();
  const load = Load.start(cluster, { clients });
  scope.onEnd(() => load.stop());
  const startMs = performance.now();
  const rounds = Math.round((minutes * 60) / every);
  for (let round = 0; round < rounds; round++) {
    const dueMs = startMs + (round + 1) * every * 1000;
    const node = cluster.node(1 + (round % cluster.nodes.length));
    const isLeader = (await cluster.leader()) === node;
    terms.follow(cluster.nodes);
    const before = load.acknowledged;
    const wipedMs = performance.now();
    await node.kill();
    node.wipe();
    node.start();
    await healed(cluster, node);
    console.log(
      `wipe ${round + 1} of ${rounds}: node ${node.id}${isLeader ? ", the leader," : ""} is a voter ` +
        `again after ${seconds(wipedMs)}; ${load.acknowledged - before} writes acknowledged meanwhile`,
    );
    await pause(Math.max(0, dueMs - performance.now()));
    load.assertClean();
  }
  await load.stop();
  terms.follow(cluster.nodes);
  await load.verify();
  await cluster.assertSameState();
  console.log(`${rounds} wipes in ${seconds(startMs)}: ${load.summary()}`);
  console.log("every node has all that was acknowledged, and none has anything else");
  console.log(`${terms.assertOneLeaderEach()} terms, each with one leader; no operator`);
});
