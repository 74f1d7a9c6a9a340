/**
 * A large state sent to a node that has none of it, while writes go on: memory of both ends, and what
 * it does to the latency of the writes, in each phase of it and as a whole.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { BenchCluster } from "./cluster.ts";
import { HttpConnection } from "./http-connection.ts";

const { values } = parseArgs({
  options: {
    megabytes: { type: "string", default: "2000" },
    "value-bytes": { type: "string", default: "4096" },
    "writes-per-second": { type: "string", default: "1000" },
    /** Of the measurements before the transfer and after it. */
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

type Phase = "before" | "made" | "sent" | "caught up" | "after";

/** From when each write was due, and when it was answered. */
const latencies = new Map<Phase, { atMs: number; ms: number }[]>();

/** Writes at the given rate until `isOver`. */
async function write(
  port: number,
  { isOver, phase }: { isOver: () => boolean; phase: () => Phase },
): Promise<void> {
  const connections = await open(port);
  const startMs = performance.now();
  let next = 0;
  const worker = async (connection: HttpConnection): Promise<void> => {
    while (!isOver()) {
      const number = next++;
      const dueMs = startMs + (number * 1000) / writesPerSecond;
      await pause(Math.max(0, dueMs - performance.now()));
      await put(connection, (number * 7_919) % keyCount);
      const atMs = performance.now();
      const found = latencies.get(phase()) ?? [];
      found.push({ atMs, ms: atMs - dueMs });
      latencies.set(phase(), found);
    }
  };
  await Promise.all(connections.map((connection) => worker(connection)));
  for (const connection of connections) connection.close();
}

const percentile = (unsorted: readonly number[], share: number): number => {
  const sorted = unsorted.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
};

const windowMs = 500;

/** The p99 of most windows says what a transfer does where something else upsets some of them. */
function shown(phases: readonly Phase[]): string {
  const all = phases.flatMap((phase) => latencies.get(phase) ?? []);
  const windows = new Map<number, number[]>();
  for (const { atMs, ms } of all) {
    const window = Math.floor(atMs / windowMs);
    windows.set(window, [...(windows.get(window) ?? []), ms]);
  }
  const each = [...windows.values()].map((window) => percentile(window, 0.99));
  const whole = all.map(({ ms }) => ms);
  const [p50, p99, median] = [
    percentile(whole, 0.5),
    percentile(whole, 0.99),
    percentile(each, 0.5),
  ];
  return (
    `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms (${whole.length} writes); ` +
    `of half a second p99 ${median.toFixed(1)} ms in the median`
  );
}

const cluster = await BenchCluster.start(3);
const leader = await cluster.leader();
const [receiver] = cluster.nodes.filter((node) => node !== leader);
if (!receiver) throw new Error("there are followers");
await cluster.kill(receiver);
await fill(leader.httpPort);
console.log(
  `${keyCount} keys, ${values.megabytes} MB of values; node ${receiver.id} has none of them`,
);

const forSeconds = (): (() => boolean) => {
  const endMs = performance.now() + Number(values.seconds) * 1000;
  return () => performance.now() >= endMs;
};
await write(leader.httpPort, { isOver: forSeconds(), phase: () => "before" });
console.log(`PUT before: ${shown(["before"])}`);

cluster.start(receiver);
const startMs = performance.now();
let phase: Phase = "made";
let isCaughtUp = false;
const groupFile = (id: number, name: string): string =>
  join(cluster.directory, `node-${id}`, "group-0", name);
const peaks = new Map<number, number>();
const watching = cluster.until(async () => {
  for (const node of [leader, receiver]) {
    peaks.set(node.id, Math.max(peaks.get(node.id) ?? 0, cluster.rssMb(node)));
  }
  const [own, its] = await Promise.all([cluster.status(leader), cluster.status(receiver)]);
  const isSending = existsSync(groupFile(receiver.id, "state.sqlite-incoming"));
  if (its.appliedIndex > keyCount) phase = "caught up";
  else if (isSending) phase = "sent";
  isCaughtUp = its.appliedIndex > keyCount && its.appliedIndex + 1000 > own.appliedIndex;
  // What is asked for is not to be what is measured.
  await pause(100);
  return isCaughtUp ? true : null;
}, 3_600_000);
await write(leader.httpPort, { isOver: () => isCaughtUp, phase: () => phase });
await watching;
console.log(`caught up after ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
const { firstLogIndex } = await cluster.status(receiver);
if (firstLogIndex === 1)
  throw new Error("it was sent the log, and no snapshot: use more megabytes");
console.log(`  while it is made: ${shown(["made"])}`);
console.log(`  while it is sent: ${shown(["sent"])}`);
console.log(`  while the node catches up: ${shown(["caught up"])}`);
console.log(
  `PUT meanwhile: ${shown(["made", "sent", "caught up"])} (goal: p99 no more than doubled)`,
);
await write(leader.httpPort, { isOver: forSeconds(), phase: () => "after" });
console.log(`PUT afterwards: ${shown(["after"])}`);
for (const node of [leader, receiver]) {
  const role = node === leader ? "sender" : "receiver";
  console.log(`${role}: RSS at most ${peaks.get(node.id)?.toFixed(0)} MB (goal: under 400)`);
}
cluster.end();
process.exit(0);
