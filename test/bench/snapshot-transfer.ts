/**
 * A large state sent to a node that has none of it, while writes go on: memory of both ends, and what
 * it does to the latency of the writes.
 */

import { parseArgs } from "node:util";
import { BenchCluster } from "./cluster.ts";
import { HttpConnection } from "./http-connection.ts";

const { values } = parseArgs({
  options: {
    megabytes: { type: "string", default: "2000" },
    "value-bytes": { type: "string", default: "4096" },
    "writes-per-second": { type: "string", default: "1000" },
    /** Of the measurement before the transfer. */
    seconds: { type: "string", default: "20" },
  },
});
const value = "x".repeat(Number(values["value-bytes"]));
const keyCount = Math.ceil((Number(values.megabytes) * 1e6) / value.length);
const writesPerSecond = Number(values["writes-per-second"]);
const connectionCount = 64;

const keyOf = (number: number): string => `key-${String(number).padStart(9, "0")}`;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function open(port: number): Promise<HttpConnection[]> {
  return Promise.all(Array.from({ length: connectionCount }, () => HttpConnection.open(port)));
}

async function put(connection: HttpConnection, number: number): Promise<void> {
  const status = await connection.put(keyOf(number), value);
  if (status > 201) throw new Error(`a PUT was answered with ${status}`);
}

async function fill(port: number): Promise<void> {
  let next = 0;
  const connections = await open(port);
  const worker = async (connection: HttpConnection): Promise<void> => {
    while (next < keyCount) await put(connection, next++);
  };
  await Promise.all(connections.map((connection) => worker(connection)));
  for (const connection of connections) connection.close();
}

/** Writes at the given rate until `isOver`; returns the latencies from when each write was due. */
async function write(port: number, isOver: () => boolean): Promise<number[]> {
  const connections = await open(port);
  const latencies: number[] = [];
  const startMs = performance.now();
  let next = 0;
  const worker = async (connection: HttpConnection): Promise<void> => {
    while (!isOver()) {
      const number = next++;
      const dueMs = startMs + (number * 1000) / writesPerSecond;
      await pause(Math.max(0, dueMs - performance.now()));
      await put(connection, (number * 7_919) % keyCount);
      latencies.push(performance.now() - dueMs);
    }
  };
  await Promise.all(connections.map((connection) => worker(connection)));
  for (const connection of connections) connection.close();
  return latencies.sort((a, b) => a - b);
}

const percentile = (sorted: readonly number[], share: number): string =>
  `${(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN).toFixed(1)} ms`;

const shown = (latencies: readonly number[]): string =>
  `p50 ${percentile(latencies, 0.5)}, p99 ${percentile(latencies, 0.99)} (${latencies.length} writes)`;

const cluster = await BenchCluster.start(3);
const leader = await cluster.leader();
const [receiver] = cluster.nodes.filter((node) => node !== leader);
if (!receiver) throw new Error("there are followers");
await cluster.kill(receiver);
await fill(leader.httpPort);
console.log(
  `${keyCount} keys, ${values.megabytes} MB of values; node ${receiver.id} has none of them`,
);

const endMs = performance.now() + Number(values.seconds) * 1000;
const before = await write(leader.httpPort, () => performance.now() >= endMs);
console.log(`PUT before: ${shown(before)}`);

cluster.start(receiver);
const startMs = performance.now();
let isCaughtUp = false;
const peaks = new Map<number, number>();
const watching = cluster.until(async () => {
  for (const node of [leader, receiver]) {
    peaks.set(node.id, Math.max(peaks.get(node.id) ?? 0, cluster.rssMb(node)));
  }
  const [own, its] = await Promise.all([cluster.status(leader), cluster.status(receiver)]);
  isCaughtUp = its.appliedIndex > keyCount && its.appliedIndex + 1000 > own.appliedIndex;
  // What is asked for is not to be what is measured.
  await pause(100);
  return isCaughtUp ? true : null;
}, 3_600_000);
const during = await write(leader.httpPort, () => isCaughtUp);
await watching;
console.log(`caught up after ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
const { firstLogIndex } = await cluster.status(receiver);
if (firstLogIndex === 1)
  throw new Error("it was sent the log, and no snapshot: use more megabytes");
console.log(`PUT meanwhile: ${shown(during)} (goal: p99 no more than doubled)`);
for (const node of [leader, receiver]) {
  const role = node === leader ? "sender" : "receiver";
  console.log(`${role}: RSS at most ${peaks.get(node.id)?.toFixed(0)} MB (goal: under 400)`);
}
cluster.end();
process.exit(0);
