/**
 * Writes to the same keys again and again: does the disk follow the data, and not the writes? Prints
 * disk and memory of every node, and the latency of PUTs. A second, shorter run keeps the whole log, to
 * compare the latency with.
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
    /** Of the run without compaction, whose disk use follows the writes; 0: none. */
    "compared-writes": { type: "string", default: "1000000" },
  },
});
const keyCount = Number(values.keys);
const value = "x".repeat(Number(values["value-bytes"]));
const keepAll = ["entries", "bytes", "tail-bytes"].flatMap((what) => [
  `--snapshot-${what}`,
  String(2 ** 40),
]);

/** Tenths of milliseconds, counted: ten million numbers would be memory of our own. */
class Latencies {
  readonly #counts = new Uint32Array(100_000);
  #total = 0;
  longestMs = 0;

  add(ms: number): void {
    const place = Math.min(this.#counts.length - 1, Math.floor(10 * ms));
    this.#counts[place] = (this.#counts[place] ?? 0) + 1;
    this.#total++;
    this.longestMs = Math.max(this.longestMs, ms);
  }

  percentile(share: number): number {
    let left = this.#total * share;
    return (this.#counts.findIndex((count) => (left -= count) <= 0) + 1) / 10;
  }

  get text(): string {
    const [p50, p99, p999] = [0.5, 0.99, 0.999].map((share) => this.percentile(share).toFixed(1));
    return `PUT p50 ${p50}, p99 ${p99}, p99.9 ${p999}, longest ${this.longestMs.toFixed(0)} ms`;
  }
}

async function overwrite(port: number, writeCount: number): Promise<Latencies> {
  const latencies = new Latencies();
  let next = 0;
  const worker = async (connection: HttpConnection): Promise<void> => {
    while (next < writeCount) {
      const key = `key-${String((next++ * 7_919) % keyCount).padStart(9, "0")}`;
      const start = performance.now();
      const status = await connection.put(key, value);
      if (status > 201) throw new Error(`a PUT was answered with ${status}`);
      latencies.add(performance.now() - start);
    }
  };
  const connections = await Promise.all(
    Array.from({ length: Number(values.connections) }, () => HttpConnection.open(port)),
  );
  await Promise.all(connections.map((connection) => worker(connection)));
  for (const connection of connections) connection.close();
  return latencies;
}

function diskBytes(directory: string): number {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
  return names.reduce((sum, name) => {
    // A file may go while it is looked at.
    const found = statSync(join(directory, name), { throwIfNoEntry: false });
    return sum + (found?.isFile() ? found.blocks * 512 : 0);
  }, 0);
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;

/** How often memory and disk are looked at. */
const lookMs = 500;

async function run(writeCount: number, flags: readonly string[]): Promise<Latencies> {
  const cluster = await BenchCluster.start(3, flags);
  const leader = await cluster.leader();
  const peaks = new Map<number, { rssMb: number; bytes: number }>();
  const look = (): void => {
    for (const node of cluster.nodes) {
      const { rssMb = 0, bytes = 0 } = peaks.get(node.id) ?? {};
      const now = diskBytes(join(cluster.directory, `node-${node.id}`));
      peaks.set(node.id, {
        rssMb: Math.max(rssMb, cluster.rssMb(node)),
        bytes: Math.max(bytes, now),
      });
    }
  };
  const looking = setInterval(look, lookMs);
  const start = performance.now();
  const latencies = await overwrite(leader.httpPort, writeCount);
  const seconds = (performance.now() - start) / 1000;
  look();
  clearInterval(looking);
  const rate = Math.round(writeCount / seconds);
  const dataBytes = Math.min(keyCount, writeCount) * (13 + value.length);
  console.log(
    `${writeCount} writes over ${keyCount} keys in ${seconds.toFixed(0)} s, ${rate} a second; ` +
      `data: ${megabytes(dataBytes)} of keys and values`,
  );
  console.log(latencies.text);
  const { appliedIndex } = await cluster.status(leader);
  for (const node of cluster.nodes) {
    // At rest: a checkpoint comes by itself.
    await cluster.until(
      async () => ((await cluster.status(node)).snapshotIndex >= appliedIndex ? true : null),
      60_000,
    );
    const bytes = diskBytes(join(cluster.directory, `node-${node.id}`));
    const times = (bytes / dataBytes).toFixed(2);
    const { rssMb = 0, bytes: most = 0 } = peaks.get(node.id) ?? {};
    console.log(
      `node ${node.id}: disk ${megabytes(bytes)} at the end, ${times} times the data, ` +
        `at most ${megabytes(most)}; RSS at most ${rssMb.toFixed(0)} MB`,
    );
  }
  cluster.end();
  return latencies;
}

const withCompaction = await run(Number(values.writes), []);
console.log("goals: disk under 3 times the data, RSS under 300 MB");
const comparedWrites = Number(values["compared-writes"]);
if (comparedWrites > 0) {
  console.log("\nthe whole log is kept:");
  const without = await run(comparedWrites, keepAll);
  const longer = withCompaction.percentile(0.999) - without.percentile(0.999);
  console.log(
    `PUT p99.9 with compaction: ${longer.toFixed(1)} ms more than without (goal: no pause over 250 ms)`,
  );
}
process.exit(0);
