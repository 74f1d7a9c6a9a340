/**
 * `npm run bench`: three nodes of ours, and where `etcd` and `h2load` are installed three of etcd
 * beside them on the same disk, asked in turns; and three bare nodes, which show what
 * the messages and syncs alone take. Prints a table and writes all figures as JSON.
 */

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { BenchReport } from "../../cmd/bench/report.ts";
import { BareCluster, BareSubject } from "./bare.ts";
import { cellName, isForBareNodes, plannedCells, syncsPerPutGoal, type Cell } from "./cells.ts";
import { kvExecutable } from "./cluster.ts";
import { percentile, syncTimes } from "./disk-sync.ts";
import { BodyFiles, EtcdCluster } from "./etcd.ts";
import { isInstalled, measure, type Generator, type Measured } from "./h2load.ts";
import { HttpWords } from "./http-words.ts";
import { OwnCluster } from "./own.ts";
import { cpuUs } from "./processor-time.ts";
import { keyPrefix, type Operation, type Subject } from "./subject.ts";
import { figureOf, table, type CellResult, type Round } from "./table.ts";

const { values: flags } = parseArgs({
  options: {
    /** A short subset: an idea in two minutes, no verdict. */
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    seconds: { type: "string" },
    /** A regular expression: only cells with such a name. */
    only: { type: "string", default: "" },
    /** How many clients a process of h2load has at the most, where there are 16 processes already. */
    clients: { type: "string", default: "4" },
    output: { type: "string", default: "bench.json" },
  },
});
const rounds = Number(flags.rounds ?? (flags.quick ? 2 : 5));
const seconds = Number(flags.seconds ?? (flags.quick ? 2 : 4));
const clientsPerProcess = Number(flags.clients);
/** As few processes as this have one client each. */
const processesMin = 16;
/** Of a mixed load's clients. */
const readersShare = 0.9;
const attemptsMax = 3;

const notes = `
Each client is one connection with one request at a time. Each process of h2load has keys of its own,
in random order. There is one for each of up to ${processesMin} clients; of more, up to ${clientsPerProcess} share one and go through its keys
in step, so that a row is written to the table less often. A process for each of them would leave less of
the processor to the nodes: it takes four times as much of it for a request as one for all. h2load
sends one body with all requests: etcd's is read from a file whose key is drawn anew every millisecond
(16 files), so it sees fewer different keys than ours where each client has a process of its own, and
more where they share one. Mixed: nine of ten clients read.
Only what was done while all processes ran is counted, a second after the last of them began; what was
refused (429) stands beside it. As many puts as were answered were found in the cluster
afterwards. CPU: processor time of all three nodes for one request that was done, load generator not
included. etcd's history is dropped between measurements. Values of 64 KiB are under 2,048 keys, all others under 100,000.
Bare: three nodes over the same runtime, of one thread each, that only receive, send and sync, without an
algorithm, checks or a state.`;

/** In memory where the system has such a place: what h2load reads and writes is not to be measured. */
function scratchDirectory(): string {
  try {
    return mkdtempSync("/dev/shm/kv-bench-");
  } catch {
    return mkdtempSync(join(tmpdir(), "kv-bench-"));
  }
}

/** The clients of one operation, divided among processes. */
async function generators(
  subject: Subject,
  cell: Cell,
  [operation, clients]: readonly [Operation, number],
): Promise<Generator[]> {
  const port = await subject.port(cell.place);
  const parts = Math.max(Math.min(clients, processesMin), Math.ceil(clients / clientsPerProcess));
  const { keyCount, valueBytes } = cell;
  return Array.from({ length: parts }, (_, part) => ({
    clients: Math.floor((clients * (part + 1)) / parts) - Math.floor((clients * part) / parts),
    words: subject.arguments({ operation, port, valueBytes, keyCount, part, parts }),
  }));
}

function operationsOf({ clients, kind }: Cell): (readonly [Operation, number])[] {
  if (kind !== "mixed") return [[kind, clients]];
  const readers = Math.min(clients - 1, Math.round(clients * readersShare));
  return [
    ["get", readers],
    ["put", clients - readers],
  ];
}

/** Both sides can count; an answer of a gRPC call is 200 also where it says no. */
function assertDone(cell: Cell, measured: Measured, writes: number): void {
  if (measured.failed > 0) throw new Error(`${measured.failed} requests failed`);
  if (cell.kind === "put" && writes < measured.total) {
    throw new Error(`${measured.total} puts were answered, ${writes} were done`);
  }
  if (cell.kind === "get" && !(measured.answerBytes >= measured.total * cell.valueBytes)) {
    throw new Error(`${measured.total} gets brought ${measured.answerBytes} bytes`);
  }
}

async function tryOnce(subject: Subject, cell: Cell, scratch: string): Promise<Round> {
  const parts = await Promise.all(
    operationsOf(cell).map((operation) => generators(subject, cell, operation)),
  );
  const port = await subject.port(cell.place);
  const before = { writes: await subject.writeCount(), cpuUs: cpuUs(subject.processIds) };
  const measured = await measure(parts.flat(), { scratch, seconds });
  const usedUs = cpuUs(subject.processIds) - before.cpuUs;
  const writes = (await subject.writeCount()) - before.writes;
  if ((await subject.port(cell.place)) !== port) throw new Error("the leader changed");
  assertDone(cell, measured, writes);
  const readShare = cell.kind === "mixed" ? 1 - Math.min(1, writes / measured.total) : null;
  return { ...measured, subject: subject.name, cpuUs: usedUs / measured.total, readShare };
}

/** Null where no attempt came to a figure: the cell has one round less then. */
async function measureCell(subject: Subject, cell: Cell, scratch: string): Promise<Round | null> {
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    try {
      return await tryOnce(subject, cell, scratch);
    } catch (error) {
      console.error(`${subject.name}, ${cellName(cell)}: ${(error as Error).message}`);
    } finally {
      await subject.tidy();
    }
  }
  return null;
}

/** Ours alone, with our own load generator, where the other one is missing. */
async function measureAlone(subject: Subject, cell: Cell): Promise<Round> {
  const reads = cell.kind === "put" ? 0 : cell.kind === "get" ? 100 : 90;
  const numbers = {
    clients: cell.clients,
    reads,
    keys: cell.keyCount,
    size: cell.valueBytes,
    duration: seconds,
  };
  const words = Object.entries(numbers).flatMap(([name, number]) => [`--${name}`, String(number)]);
  const endpoint = `127.0.0.1:${await subject.port(cell.place)}`;
  const common = ["--prefix", keyPrefix, "--endpoints", endpoint, "-o", "json"];
  const before = cpuUs(subject.processIds);
  const { stdout } = spawnSync(kvExecutable, ["bench", ...words, ...common], { encoding: "utf8" });
  const report = JSON.parse(stdout) as BenchReport;
  const main = cell.kind === "put" ? report.put : report.get;
  const refused = report.put.refused.count + report.get.refused.count;
  return {
    subject: subject.name,
    seconds: report.seconds,
    count: report.count,
    total: report.count,
    perSecond: report.perSecond,
    p50Ms: main.latencyMs.p50,
    p99Ms: main.latencyMs.p99,
    refused,
    failed: report.errorCount - refused,
    answerBytes: Number.NaN,
    cpuUs: (cpuUs(subject.processIds) - before) / report.count,
    readShare: cell.kind === "mixed" ? report.get.count / report.count : null,
  };
}

/** All rounds of all cells, the cells of one size together; whoever comes first changes every round. */
async function measureAll(subjects: readonly Subject[], scratch: string): Promise<CellResult[]> {
  const wanted = new RegExp(flags.only);
  const cells = plannedCells(flags.quick).filter((cell) => wanted.test(cellName(cell)));
  const results = cells.map((cell): CellResult => ({ cell, rounds: [] }));
  let filledBytes = 0;
  for (const { cell, rounds: done } of results) {
    const asked = subjects.filter(({ name }) => name !== "bare" || isForBareNodes(cell));
    if (cell.valueBytes !== filledBytes) {
      for (const subject of subjects) await subject.fill(cell.keyCount, cell.valueBytes);
      filledBytes = cell.valueBytes;
    }
    for (let round = 0; round < rounds; round++) {
      for (const subject of round % 2 === 0 ? asked : asked.toReversed()) {
        const own = isGeneratorThere
          ? await measureCell(subject, cell, scratch)
          : await measureAlone(subject, cell);
        if (own === null) continue;
        done.push(own);
        const rate = Math.round(own.perSecond);
        console.error(`${cellName(cell)}, round ${round + 1}: ${subject.name} ${rate}/s`);
      }
    }
  }
  return results;
}

function tellSync(results: readonly CellResult[], syncsMs: readonly number[]): string {
  const syncMs = percentile(syncsMs, 0.5);
  const single = results.find(({ cell }) => cell.kind === "put" && cell.clients === 1);
  const text = `fdatasync of 4 KiB: p50 ${syncMs.toFixed(3)} ms`;
  if (single === undefined) return text;
  const putMs = figureOf(single, "kv", "p50Ms").median;
  const ratio = (putMs / syncMs).toFixed(2);
  return `${text}; one client's put: p50 ${putMs.toFixed(3)} ms, ${ratio} times that (goal: ${syncsPerPutGoal})`;
}

const isGeneratorThere = isInstalled("h2load");
const isOtherThere = isInstalled("etcd");
const scratch = scratchDirectory();
process.once("exit", () => rmSync(scratch, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));

const words = new HttpWords(scratch);
const own = await OwnCluster.start(words);
process.once("exit", () => own.end());
const bodies = new BodyFiles(scratch);
const subjects: Subject[] = [own];
if (isGeneratorThere && isOtherThere) {
  const other = await EtcdCluster.start(`${own.directory}-etcd`, bodies);
  process.once("exit", () => other.end());
  subjects.push(other, new BareSubject(await BareCluster.start(own.directory), words));
} else {
  const missing = [...(isOtherThere ? [] : ["etcd"]), ...(isGeneratorThere ? [] : ["h2load"])];
  console.log(`${missing.join(" and ")} not found: ours is measured alone`);
  if (!isGeneratorThere) console.log("the load comes from kv bench, which takes more of the CPU");
}
const syncsMs = syncTimes(own.directory);
const results = await measureAll(subjects, scratch);
syncsMs.push(...syncTimes(own.directory));
syncsMs.sort((a, b) => a - b);
const machine = `${cpus().length} × ${cpus()[0]?.model ?? "unknown"}`;
console.log(`${machine}, ${rounds} rounds of ${seconds} s, medians (least-most)\n`);
console.log(table(results));
console.log(`\n${tellSync(results, syncsMs)}`);
if (isGeneratorThere) console.log(notes);
const fdatasyncMs = percentile(syncsMs, 0.5);
const record = { machine, rounds, seconds, fdatasyncMs, notes: notes.trim(), results };
writeFileSync(flags.output, `${JSON.stringify(record, null, 2)}\n`);
console.log(`\nall figures: ${flags.output}`);
process.exit(0);
