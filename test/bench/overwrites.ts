/**
 * Writes to the same keys again and again: does the disk follow the data, and not the writes? Prints
 * disk and memory of every node at the end, and the latency of PUTs; with `--no-compaction` the log is
 * kept, to compare the latency with.
 */

import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { BenchCluster } from "./cluster.ts";
import { HttpConnection } from "./http-connection.ts";

const { values } = parseArgs({
  options: {
    writes: { type: "string", default: "10000000" },
    keys: { type: "string", default: "100000" },
    "value-bytes": { type: "string", default: "256" },
    connections: { type: "string", default: "128" },
    "no-compaction": { type: "boolean", default: false },
  },
});
const writeCount = Number(values.writes);
const keyCount = Number(values.keys);
const value = "x".repeat(Number(values["value-bytes"]));
const keepAll = ["--snapshot-entries", String(2 ** 40), "--snapshot-bytes", String(2 ** 40)];

/** Tenths of milliseconds, counted: ten million numbers would be memory of our own. */
const latencies = new Uint32Array(100_000);

async function overwrite(port: number): Promise<void> {
  let next = 0;
  const worker = async (connection: HttpConnection): Promise<void> => {
    while (next < writeCount) {
      const key = `key-${String((next++ * 7_919) % keyCount).padStart(9, "0")}`;
      const start = performance.now();
      const status = await connection.put(key, value);
      if (status > 201) throw new Error(`a PUT was answered with ${status}`);
      const place = Math.min(latencies.length - 1, Math.floor(10 * (performance.now() - start)));
      latencies[place] = (latencies[place] ?? 0) + 1;
    }
  };
  const connections = await Promise.all(
    Array.from({ length: Number(values.connections) }, () => HttpConnection.open(port)),
  );
  await Promise.all(connections.map((connection) => worker(connection)));
  for (const connection of connections) connection.close();
}

function percentile(share: number): string {
  let left = writeCount * share;
  const place = latencies.findIndex((count) => (left -= count) <= 0);
  return `${((place + 1) / 10).toFixed(1)} ms`;
}

function diskBytes(directory: string): number {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
  return names.reduce((sum, name) => {
    const found = statSync(join(directory, name));
    return sum + (found.isFile() ? found.blocks * 512 : 0);
  }, 0);
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;

const cluster = await BenchCluster.start(3, values["no-compaction"] ? keepAll : []);
const leader = await cluster.leader();
const start = performance.now();
await overwrite(leader.httpPort);
const seconds = (performance.now() - start) / 1000;
const rate = Math.round(writeCount / seconds);
const dataBytes = Math.min(keyCount, writeCount) * (13 + value.length);
console.log(
  `${writeCount} writes over ${keyCount} keys in ${seconds.toFixed(0)} s, ${rate} a second`,
);
console.log(`PUT p50 ${percentile(0.5)}, p99 ${percentile(0.99)}, p99.9 ${percentile(0.999)}`);
console.log(`data: ${megabytes(dataBytes)} of keys and values`);
const { appliedIndex } = await cluster.status(leader);
for (const node of cluster.nodes) {
  // At rest: a checkpoint comes by itself.
  await cluster.until(
    async () => ((await cluster.status(node)).snapshotIndex >= appliedIndex ? true : null),
    60_000,
  );
  const bytes = diskBytes(join(cluster.directory, `node-${node.id}`));
  const times = (bytes / dataBytes).toFixed(2);
  const rss = cluster.rssMb(node).toFixed(0);
  const disk = `disk ${megabytes(bytes)}, ${times} times the data (goal: under 3)`;
  console.log(`node ${node.id}: ${disk}, RSS ${rss} MB (goal: under 300)`);
}
cluster.end();
process.exit(0);
