/**
 * Where the processor time of a put goes on a leader and on a follower under 64 clients: by function, as
 * `perf` (Debian: `linux-perf`) samples them, with what they call of the runtime; by system call; and how
 * many system calls there are. `--size` is that of the values in bytes (100). `KV_EXECUTABLE` names another
 * build to be measured.
 */

import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { must } from "../../server/raft/assert.ts";
import { keyCountFor } from "./cells.ts";
import { isInstalled, measure } from "./h2load.ts";
import { HttpWords } from "./http-words.ts";
import { JitDump } from "./jit-dump.ts";
import { OwnCluster, profiledLoad, type Load } from "./own.ts";
import type { Place } from "./subject.ts";

const { values: flags } = parseArgs({ options: { size: { type: "string", default: "100" } } });
const valueBytes = Number(flags.size);
const profiled: Load = { ...profiledLoad, valueBytes, keyCount: keyCountFor(valueBytes) };

const warmUpSeconds = 25;
const seconds = 5;
const samplesPerSecond = 5_000;
const namesShown = 30;
const mainThread = "kv";

const systemCalls = [
  ...["sendto", "recvfrom", "epoll_pwait2", "fdatasync", "pwrite64", "pread64"],
  ...["futex", "madvise", "statx"],
];

interface Frame {
  readonly address: bigint;
  readonly symbol: string;
  readonly object: string;
}

interface Sample {
  readonly thread: string;
  readonly timeNs: bigint;
  /** The innermost first. */
  readonly frames: readonly Frame[];
}

function* samplesIn(path: string): Generator<Sample> {
  const fields = "comm,tid,time,ip,sym,dso";
  const words = ["script", "-i", path, "--ns", "-F", fields, "--no-inline"];
  const { stdout } = spawnSync("perf", words, { encoding: "utf8", maxBuffer: 1 << 30 });
  for (const block of stdout.split("\n\n")) {
    const [head = "", ...lines] = block.trimStart().split("\n");
    const [, thread, time] = /^(.*?)\s+\d+\s+([\d.]+):/.exec(head) ?? [];
    if (thread === undefined || time === undefined) continue;
    const frames = lines.flatMap((line) => {
      const [, address, symbol, object] = /^\s*([0-9a-f]+) (.*) \((.*)\)$/.exec(line) ?? [];
      if (address === undefined || symbol === undefined || object === undefined) return [];
      return [{ address: BigInt(`0x${address}`), symbol, object }];
    });
    yield { thread: thread.trim(), timeNs: BigInt(time.replace(".", "")), frames };
  }
}

const isKernel = ({ object }: Frame): boolean => object.includes("kernel");

/** What the kernel did, from its frames. */
function kernelWork(frames: readonly Frame[]): string {
  for (const { symbol } of frames.toReversed()) {
    const [, call] = /^__x64_sys_(\w+)/.exec(symbol) ?? [];
    if (call !== undefined) return call;
    if (symbol.includes("exc_page_fault")) return "page faults";
  }
  return "interrupts";
}

class Shares {
  readonly #counts = new Map<string, number>();

  add(name: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }

  print(title: string, usEach: number): void {
    const sorted = [...this.#counts].sort(([, a], [, b]) => b - a);
    const texts = sorted.map(([name, count]) => `${name} ${(count * usEach).toFixed(1)}`);
    console.log(`  ${title}: ${texts.slice(0, namesShown).join(", ")}`);
  }
}

/** `usEach`: what a sample stands for, of one put. */
function printProfile(samples: Iterable<Sample>, dump: JitDump, usEach: number): void {
  const [kinds, kernel, callers, functions] = [
    new Shares(),
    new Shares(),
    new Shares(),
    new Shares(),
  ];
  let count = 0;
  for (const { thread, timeNs, frames } of samples) {
    const [innermost] = frames;
    if (innermost === undefined) continue;
    count++;
    const compiled = frames.map(({ address }) => dump.nameAt(address, timeNs));
    const name = compiled.find((found) => found !== null) ?? "no function";
    if (isKernel(innermost)) {
      const work = kernelWork(frames.filter(isKernel));
      kinds.add("kernel");
      kernel.add(work);
      if (thread === mainThread) callers.add(`${work} in ${name}`);
      continue;
    }
    if (thread !== mainThread) {
      kinds.add(thread);
      continue;
    }
    kinds.add(compiled[0] === null ? "runtime" : "functions");
    functions.add(name);
  }
  console.log(`  ${(count * usEach).toFixed(1)} us`);
  kinds.print("of which", usEach);
  kernel.print("in the kernel, all threads", usEach);
  callers.print("in the kernel, by function", usEach);
  functions.print("functions, with what they call of the runtime", usEach);
}

const run = promisify(execFile);

/** By name; null where the system does not let them be counted (that needs root and tracefs). */
async function countCalls(processId: number): Promise<Map<string, number> | null> {
  const events = systemCalls.map((name) => `syscalls:sys_enter_${name}`);
  const words = ["stat", "-x", ",", "-e", ["raw_syscalls:sys_enter", ...events].join(",")];
  const counts = new Map<string, number>();
  const counted = await run("perf", [...words, "-p", `${processId}`, "sleep", `${seconds}`]).catch(
    () => null,
  );
  if (counted === null) return null;
  for (const line of counted.stderr.split("\n")) {
    const [count = "", , event = ""] = line.split(",");
    if (/^\d+$/.test(count))
      counts.set(event.replace(/^.*sys_enter_?/, "") || "all", Number(count));
  }
  return counts;
}

async function showNode(cluster: OwnCluster, place: Place, scratch: string): Promise<void> {
  const processId = await cluster.processId(place);
  const samples = join(scratch, "samples");
  const sampled = ["-k", "CLOCK_MONOTONIC", "-F", `${samplesPerSecond}`, "-e", "cpu-clock", "-g"];
  const before = await cluster.writeCount();
  const which = ["-p", `${processId}`, "-o", samples];
  await run("perf", ["record", ...sampled, ...which, "sleep", `${seconds}`]);
  const between = await cluster.writeCount();
  const calls = await countCalls(processId);
  const after = await cluster.writeCount();
  const puts = between - before;
  console.log(`a put on the ${place} (${puts} in ${seconds} s)`);
  const dump = readdirSync(scratch).find((name) => name.endsWith(`-${processId}.dump`));
  const path = join(scratch, must(dump, "the runtime names what it compiles"));
  printProfile(samplesIn(samples), new JitDump(path), 1e6 / samplesPerSecond / puts);
  if (calls === null) console.log("  system calls: not counted here");
  else {
    const each = [...calls].map(
      ([name, count]) => `${name} ${(count / (after - between)).toFixed(2)}`,
    );
    console.log(`  system calls: ${each.join(", ")}`);
  }
}

const missing = ["perf", "h2load"].filter((program) => !isInstalled(program));
if (missing.length > 0) {
  console.error(`${missing.join(" and ")} not installed (Debian: linux-perf, nghttp2-client)`);
  process.exit(2);
}
const scratch = mkdtempSync(join(tmpdir(), "kv-functions-"));
process.env["BUN_JSC_useJITDump"] = "1";
process.env["BUN_JSC_jitDumpDirectory"] = scratch;
const cluster = await OwnCluster.start(new HttpWords(scratch));
await cluster.fill(profiled.keyCount, valueBytes);
const generators = await cluster.generators("put", profiled);
await measure(generators, { scratch, seconds: warmUpSeconds });
for (const place of ["leader", "follower"] as const) {
  // A little longer than it is looked at.
  const load = measure(generators, { scratch, seconds: 2 * seconds + 2 });
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  await showNode(cluster, place, scratch);
  await load;
}
cluster.end();
rmSync(scratch, { recursive: true });
process.exit(0);
