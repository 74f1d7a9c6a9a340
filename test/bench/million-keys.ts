/** Memory of a node that holds many keys, and how soon it serves again after a kill -9 with them. */

import { BenchCluster } from "./cluster.ts";
import { HttpConnection } from "./http-connection.ts";

const keyCount = Number(process.argv[2] ?? 1_000_000);
const connectionCount = 128;

async function fill(port: number): Promise<void> {
  const value = "x".repeat(100);
  let next = 0;
  const worker = async (connection: HttpConnection): Promise<void> => {
    while (next < keyCount) {
      const status = await connection.put(`key-${String(next++).padStart(9, "0")}`, value);
      if (status !== 201) throw new Error(`a PUT was answered with ${status}`);
    }
  };
  const connections = await Promise.all(
    Array.from({ length: connectionCount }, () => HttpConnection.open(port)),
  );
  await Promise.all(connections.map((connection) => worker(connection)));
  for (const connection of connections) connection.close();
}

const cluster = await BenchCluster.start(3);
const leader = await cluster.leader();
const start = performance.now();
await fill(leader.httpPort);
const seconds = (performance.now() - start) / 1000;
console.log(
  `${keyCount} keys in ${seconds.toFixed(1)} s, ${Math.round(keyCount / seconds)} puts/s`,
);
const { appliedIndex } = await cluster.status(leader);
for (const node of cluster.nodes) {
  await cluster.until(
    async () => ((await cluster.status(node)).appliedIndex >= appliedIndex ? true : null),
    30_000,
  );
  const role = node === leader ? "leader" : "follower";
  console.log(
    `node ${node.id} (${role}): RSS ${cluster.rssMb(node).toFixed(0)} MB (goal: under 250)`,
  );
}
for (const node of cluster.nodes) {
  const killed = performance.now();
  await cluster.restart(node);
  await cluster.until(async () => {
    const path = `http://127.0.0.1:${node.httpPort}/v1/kv/key-000000001`;
    const response = await fetch(path, { signal: AbortSignal.timeout(5_000) });
    return response.status === 200 ? true : null;
  }, 30_000);
  const downSeconds = (performance.now() - killed) / 1000;
  console.log(
    `node ${node.id}: serves linearizable reads ${downSeconds.toFixed(2)} s after kill -9 (goal: 2)`,
  );
  console.log(`node ${node.id}: RSS ${cluster.rssMb(node).toFixed(0)} MB after the restart`);
}
cluster.end();
process.exit(0);
