/** All nodes are restarted one by one, again and again, while clients that try again write and read. */

import { Cluster } from "../e2e/cluster.ts";
import { RetryingLoad } from "../e2e/retrying-load.ts";
import { numbers, run, seconds } from "./run.ts";

const { rounds, clients, nodes } = numbers({ rounds: 10, clients: 16, nodes: 3 });

await run(async (scope) => {
  const cluster = await Cluster.start(scope, { size: nodes });
  const load = new RetryingLoad(cluster, { clients, pauseMs: 1 });
  scope.onEnd(() => load.stop());
  const startMs = performance.now();
  for (let round = 1; round <= rounds; round++) {
    const roundMs = performance.now();
    const before = load.writes;
    for (const node of cluster.nodes) {
      await node.stop();
      node.start();
      await cluster.whole();
    }
    console.log(
      `round ${round} of ${rounds}: ${nodes} restarts in ${seconds(roundMs)}, ` +
        `${load.writes - before} writes and as many reads, ${load.failed} failed`,
    );
  }
  await load.stop();
  await load.verify();
  await cluster.assertSameState();
  console.log(
    `${rounds} rounds in ${seconds(startMs)}: ${load.writes} writes and as many reads, ` +
      `${load.failed} requests failed, ${load.repeated} were put again, the slowest took ${load.slowestMs.toFixed(0)} ms; ` +
      `all acknowledged present on every node`,
  );
});
