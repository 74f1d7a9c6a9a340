/** A node that has lost its directory, and when it is whole again. */

import type { Cluster, ClusterNode } from "./cluster.ts";
import { until } from "./wait.ts";

/** How long it may take to be taken in, to catch up and to be promoted. */
const healedMs = 20_000;

/** Everybody knows the node as a voter with the directory it has now, and it serves. */
export async function healed(cluster: Cluster, node: ClusterNode): Promise<void> {
  await until(`node ${node.id} is a voter again`, healedMs, async () => {
    const { members, role } = await node.status();
    const own = members.find(({ id }) => id === node.id);
    return own?.role === "voter" && role !== "learner" && (await node.isReady());
  });
  await cluster.whole();
}
