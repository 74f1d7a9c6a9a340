/**
 * `npm run bench:scale`: how cost grows with keys, the size of values, nodes and connections; and what a
 * node takes in memory, to start, and for nothing. Prints tables, writes `scale.json` and the plot; with
 * `--readme` it puts both into the README.
 */

import { once } from "node:events";
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { bulkFill } from "./bulk-fill.ts";
import { BenchCluster, kvExecutable, type Running } from "./cluster.ts";
import { drive, fill, type Drive } from "./driven.ts";
import { cpuUs, familyOf } from "./processor-time.ts";
import { plotOf } from "./scale-plot.ts";
import { factTable, seriesTable, type Fact, type Point, type Series } from "./scale-series.ts";

const { values: flags } = parseArgs({
  options: {
    /** Of each measurement: one of puts and one of gets for every line of a table. */
    seconds: { type: "string", default: "3" },
    /** 10 million keys besides, which takes a quarter of an hour more. */
    large: { type: "boolean", default: false },
    /** Only these series, by a part of their names. */
    only: { type: "string", default: "" },
    readme: { type: "boolean", default: false },
    output: { type: "string", default: "scale.json" },
  },
});
const seconds = Number(flags.seconds);
const here = dirname(fileURLToPath(import.meta.url));
const plotPath = join(here, "scale.svg");
const readmePath = join(here, "..", "..", "README.md");
const [begin, end] = ["<!-- bench:scale -->", "<!-- /bench:scale -->"];

/** What is idle has done its last work so long ago, and is looked at for so long. */
const restSeconds = 20;
const idleSeconds = 20;
const startsTimed = 5;
const keysFew = 10_000;
/** Values of all sizes are under as many keys as make this many bytes, or under `keysFew`. */
const sizedBytesMax = 32 << 20;
const clientsUsual = 64;
const clientsOfSizes = 16;

const series: Series[] = [];
const facts: Fact[] = [];

const isWanted = (name: string): boolean => name.includes(flags.only);
const whole = (value: number): string => value.toLocaleString("en-US");
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

function bytesText(bytes: number): string {
  if (bytes < 1 << 10) return `${bytes} B`;
  return bytes < 1 << 20 ? `${bytes >> 10} KiB` : `${bytes >> 20} MiB`;
}

async function pointOf(
  cluster: BenchCluster,
  { x, label }: { readonly x: number; readonly label: string },
  how: Omit<Drive, "seconds">,
): Promise<Point> {
  const leader = await cluster.leader();
  const put = await drive(cluster, leader, { ...how, readPercent: 0, seconds });
  const get = await drive(cluster, leader, { ...how, readPercent: 100, seconds });
  console.error(`${label}: ${put.put.perSecond} puts/s, ${get.get.perSecond} gets/s`);
  return { x, label, put, get };
}

/** A cluster that has served for a while. */
async function clusterOf(count: number, keyCount = keysFew): Promise<BenchCluster> {
  const cluster = await BenchCluster.start(count);
  const leader = await cluster.leader();
  await fill(leader, { keyCount });
  await drive(cluster, leader, { clients: clientsUsual, seconds: 1, readPercent: 50, keyCount });
  return cluster;
}

async function withCluster(
  count: number,
  run: (cluster: BenchCluster) => Promise<void>,
): Promise<void> {
  const cluster = await clusterOf(count);
  await run(cluster);
  cluster.end();
}

// ------------------------------------------------------------------ what grows

async function connections(): Promise<void> {
  await withCluster(3, async (cluster) => {
    const points: Point[] = [];
    for (const clients of [1, 16, 64, 256, 1_024, 4_096]) {
      points.push(await pointOf(cluster, { x: clients, label: whole(clients) }, { clients }));
    }
    const about = `100 B, 3 nodes, ${whole(keysFew)} keys`;
    series.push({ name: "connections", about, isLogarithmic: false, points });
  });
}

async function sizes(): Promise<void> {
  await withCluster(3, async (cluster) => {
    const points: Point[] = [];
    for (const valueBytes of [100, 1 << 10, 16 << 10, 64 << 10, 1 << 20]) {
      const keyCount = Math.min(keysFew, Math.floor(sizedBytesMax / valueBytes));
      const keyPrefix = `size-${valueBytes}-`;
      await fill(await cluster.leader(), { keyCount, keyPrefix, valueBytes });
      const how = { clients: clientsOfSizes, keyCount, keyPrefix, valueBytes };
      points.push(await pointOf(cluster, { x: valueBytes, label: bytesText(valueBytes) }, how));
    }
    const about = `${clientsOfSizes} connections, 3 nodes`;
    series.push({ name: "size of the values", about, isLogarithmic: true, points });
  });
}

async function members(): Promise<void> {
  const points: Point[] = [];
  for (const count of [1, 3, 5, 7]) {
    await withCluster(count, async (cluster) => {
      points.push(
        await pointOf(cluster, { x: count, label: String(count) }, { clients: clientsUsual }),
      );
    });
  }
  const about = `100 B, ${clientsUsual} connections, ${whole(keysFew)} keys, one machine`;
  series.push({ name: "nodes", about, isLogarithmic: false, points });
}

/** And, of the cluster with a million keys, everything that is told of a node. */
async function keys(): Promise<void> {
  await withCluster(3, async (cluster) => {
    await tellIdle(cluster, `${whole(keysFew)} keys`);
    const points: Point[] = [];
    let filled = keysFew;
    for (const keyCount of [keysFew, 100_000, 1_000_000, ...(flags.large ? [10_000_000] : [])]) {
      const began = performance.now();
      await bulkFill(await cluster.leader(), { first: filled, end: keyCount, valueBytes: 100 });
      filled = keyCount;
      const took = (performance.now() - began) / 1_000;
      console.error(`${whole(keyCount)} keys written in ${took.toFixed(0)} s`);
      await settled(cluster);
      const how = { clients: clientsUsual, keyCount };
      points.push(await pointOf(cluster, { x: keyCount, label: whole(keyCount) }, how));
      tellMemory(cluster, `${whole(keyCount)} keys`);
    }
    const about = `100 B, ${clientsUsual} connections, 3 nodes`;
    series.push({ name: "keys", about, isLogarithmic: false, points });
    const most = `${points[points.length - 1]?.label} keys`;
    await tellIdle(cluster, most);
    await tellStarts(cluster, most);
  });
}

// ------------------------------------------------------------------ what a node takes

function tellMemory(cluster: BenchCluster, what: string): void {
  const all = cluster.nodes.map((node) => cluster.rssMb(node));
  const value = `${Math.min(...all).toFixed(0)} to ${Math.max(...all).toFixed(0)} MB`;
  facts.push({ what: `memory of a node, ${what}`, value });
}

/** Everything that was written is in the databases: no work is left of what was done before. */
async function settled(cluster: BenchCluster): Promise<void> {
  for (const node of cluster.nodes) {
    await cluster.until(async () => {
      const { appliedIndex, snapshotIndex } = await cluster.status(node);
      return snapshotIndex >= appliedIndex ? true : null;
    }, 300_000);
  }
}

/** With everything that it has started. */
async function tellIdle(cluster: BenchCluster, what: string): Promise<void> {
  await settled(cluster);
  await pause(1_000 * restSeconds);
  const spent = (node: Running): number => cpuUs(familyOf(node.process.pid ?? 0));
  const before = cluster.nodes.map(spent);
  await pause(1_000 * idleSeconds);
  const shares = cluster.nodes.map(
    (node, i) => (spent(node) - (before[i] ?? 0)) / idleSeconds / 1e4,
  );
  const value = shares.map((share) => `${share.toFixed(2)} %`).join(", ");
  facts.push({ what: `idle nodes, share of a core, ${what}`, value });
}

async function versionMs(): Promise<number> {
  const began = performance.now();
  await once(spawn(kvExecutable, ["--version"], { stdio: "ignore" }), "exit");
  return performance.now() - began;
}

async function tellStarts(cluster: BenchCluster, what: string): Promise<void> {
  const versions: number[] = [];
  const starts: number[] = [];
  for (let i = 0; i < startsTimed; i++) {
    versions.push(await versionMs());
    const leader = await cluster.leader();
    const node = cluster.nodes.find((each) => each !== leader);
    if (node === undefined) throw new Error("there are followers");
    await cluster.kill(node);
    const began = performance.now();
    cluster.start(node);
    await cluster.until(() => serves(node), 30_000);
    starts.push(performance.now() - began);
  }
  facts.push({ what: "`kv --version`", value: `${median(versions).toFixed(0)} ms` });
  const value = `${median(starts).toFixed(0)} ms (${Math.min(...starts).toFixed(0)} to ${Math.max(...starts).toFixed(0)})`;
  facts.push({ what: `start after kill -9 to a linearizable read, ${what}`, value });
}

async function serves(node: Running): Promise<true | null> {
  const url = `http://127.0.0.1:${node.httpPort}/v1/kv/bench-0000000001`;
  const response = await fetch(url, { signal: AbortSignal.timeout(5_000) });
  return response.status === 200 ? true : null;
}

// ------------------------------------------------------------------ what is told

function putIntoReadme(text: string): void {
  const all = readFileSync(readmePath, "utf8");
  const [from, to] = [all.indexOf(begin), all.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`the README has no ${begin} … ${end}`);
  writeFileSync(readmePath, `${all.slice(0, from + begin.length)}\n\n${text}\n\n${all.slice(to)}`);
}

const startMs = performance.now();
for (const [name, measure] of Object.entries({ connections, sizes, nodes: members, keys })) {
  if (isWanted(name)) await measure();
}
const machine = `${cpus().length} × ${cpus()[0]?.model ?? "unknown"}`;
const minutes = ((performance.now() - startMs) / 60_000).toFixed(1);
const plot = `![How requests a second change with keys, sizes, nodes and connections](${relative(dirname(readmePath), plotPath)})`;
const text = [
  `Measured in one run of ${minutes} minutes on ${machine}, which all nodes and the load share; ${seconds} s a cell.`,
  ...(flags.only === "" ? [plot] : []),
  ...series.map(seriesTable),
  ...(facts.length === 0 ? [] : [factTable(facts)]),
].join("\n\n");
console.log(text);
writeFileSync(flags.output, `${JSON.stringify({ machine, seconds, series, facts }, null, 2)}\n`);
if (flags.only === "") {
  writeFileSync(plotPath, plotOf(series, `kv on ${machine}, nodes and load together`));
  if (flags.readme) putIntoReadme(text);
}
console.error(`\nall figures: ${flags.output}`);
process.exit(0);
