/**
 * `npm run show:overload`: more is asked of a cluster than it can do. First ever more clients that ask
 * again at once, or when they were told to; then requests at 0.5 to 4 times the best rate that these
 * got, whatever becomes of those before. Prints what was done, what was refused and how fast either was.
 */

import { cpus } from "node:os";
import { parseArgs } from "node:util";
import type { Operation } from "../../cmd/bench/load.ts";
import { BenchCluster, type Running } from "./cluster.ts";
import { drive, fill, type Driven } from "./driven.ts";

const { values: flags } = parseArgs({
  options: {
    seconds: { type: "string", default: "4" },
    size: { type: "string", default: "1024" },
    operation: { type: "string", default: "put" },
    /** Connections of the requests that come at a rate. */
    connections: { type: "string", default: "8192" },
  },
});
const seconds = Number(flags.seconds);
const operation: Operation = flags.operation === "get" ? "get" : "put";
const valueBytes = Number(flags.size);

async function ask(node: Running, clients: number, perSecond: number | null): Promise<Driven> {
  const readPercent = operation === "get" ? 100 : 0;
  // By then a limit is found, and everybody was refused who is.
  const warmUpSeconds = 2;
  const driven = await drive(cluster, node, {
    warmUpSeconds,
    clients,
    perSecond,
    readPercent,
    seconds,
    valueBytes,
  });
  // Who was refused has rested.
  await new Promise((resolve) => setTimeout(resolve, 500));
  return driven;
}

const whole = (value: number): string => Math.round(value).toLocaleString("en-US");
const ms = (value: number): string => value.toFixed(1);

function row(name: string, report: Driven, peak: number): string {
  const own = report[operation];
  const { refused } = own;
  const otherErrors = report.errorCount - refused.count;
  const sent = (report.count + report.errorCount) / report.seconds;
  const cells = [
    whole(sent),
    whole(own.perSecond),
    `${Math.round((100 * own.perSecond) / peak)} %`,
    whole(report.cpuUs),
    ms(own.latencyMs.p50),
    ms(own.latencyMs.p99),
    whole(refused.count / report.seconds),
    refused.count === 0 ? "-" : ms(refused.latencyMs.p50),
    refused.count === 0 ? "-" : ms(refused.latencyMs.p99),
    whole(report.missed / report.seconds),
    whole(otherErrors),
  ];
  return name.padEnd(20) + cells.map((cell) => cell.padStart(10)).join("");
}

const head =
  "".padEnd(20) +
  [
    "sent /s",
    "done /s",
    "of peak",
    "p50 ms",
    "p99 ms",
    "refused /s",
    "p50 ms",
    "p99 ms",
    "unsent /s",
  ]
    .concat("errors")
    .map((cell) => cell.padStart(10))
    .join("");

const cluster = await BenchCluster.start(3);
const leader = await cluster.leader();
await fill(leader, { valueBytes });
await ask(leader, 256, null);
console.log(
  `${operation}s of ${flags.size} bytes against the leader of three nodes, ${cpus().length} × ` +
    `${cpus()[0]?.model ?? "unknown"}, shared with the load; ${seconds} s each\n\n${head}`,
);
let best = { clients: 0, perSecond: 0 };
for (const clients of [1, 16, 64, 256, 1024, 4096, 8192]) {
  const report = await ask(leader, clients, null);
  const { perSecond } = report[operation];
  if (perSecond > best.perSecond) best = { clients, perSecond };
  console.log(row(`${clients} clients`, report, best.perSecond));
}
console.log(
  `\nat a rate, over ${flags.connections} connections; the peak is measured before each again`,
);
for (const times of [0.5, 1, 2, 4]) {
  const peak = (await ask(leader, best.clients, null))[operation].perSecond;
  const report = await ask(leader, Number(flags.connections), Math.round(times * peak));
  console.log(row(`${times} × ${whole(peak)}`, report, peak));
}
const { term } = (await (await fetch(`http://127.0.0.1:${leader.httpPort}/v1/status`)).json()) as {
  term: number;
};
console.log(
  `\nterm ${term}; unsent: came while all connections were in use, or told to wait; CPU: of all nodes for one that was done`,
);
cluster.end();
process.exit(0);
