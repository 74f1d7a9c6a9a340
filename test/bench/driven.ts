/** A load of `kv bench`'s from within this process, and what the nodes spent on it. */

import { benchReport, type BenchReport } from "../../cmd/bench/report.ts";
import { Load, type LoadOptions } from "../../cmd/bench/load.ts";
import { systemClock, systemRandom } from "../../cmd/system.ts";
import type { BenchCluster, Running } from "./cluster.ts";
import { cpuUs } from "./processor-time.ts";

export interface Drive extends Partial<LoadOptions> {
  readonly clients: number;
  readonly seconds: number;
  /** Before anything is counted. */
  readonly warmUpSeconds?: number;
}

export interface Driven extends BenchReport {
  /** Processor time of all nodes for one request that was done; NaN where the system does not tell. */
  readonly cpuUs: number;
}

const common = {
  valueBytes: 100,
  keyCount: 10_000,
  keyPrefix: "bench-",
  readPercent: 0,
  isLocal: false,
  isFill: false,
  perSecond: null,
  clock: systemClock,
  random: systemRandom,
};

const endpointsOf = ({ httpPort }: Running) => [{ host: "127.0.0.1", port: httpPort }];

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks `node` for so long. */
export async function drive(cluster: BenchCluster, node: Running, of: Drive): Promise<Driven> {
  const processIds = cluster.nodes.map(({ process: { pid = 0 } }) => pid);
  const load = new Load({ ...common, endpoints: endpointsOf(node), ...of });
  load.start();
  await load.begun;
  await pause(1_000 * (of.warmUpSeconds ?? 0.5));
  load.recount();
  const before = cpuUs(processIds);
  await pause(1_000 * of.seconds);
  load.stop();
  const spentUs = cpuUs(processIds) - before;
  // Until the node has noticed that they are gone.
  await pause(200);
  const report = benchReport(load);
  return { ...report, cpuUs: spentUs / report.count };
}

/** Writes every key once. */
export async function fill(node: Running, of: Partial<LoadOptions>): Promise<void> {
  const all = { ...common, ...of, clients: 64, isFill: true };
  const load = new Load({ ...all, endpoints: endpointsOf(node) });
  load.start();
  await load.filled;
  load.stop();
}
