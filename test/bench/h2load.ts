/**
 * One measurement with `h2load`: several processes at once, whose logs of all requests are put
 * together. Only what ended while all of them ran is counted.
 */

import { spawn, spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { percentile } from "./disk-sync.ts";

/** Before anything counts: connections stand, caches are warm, compilers done. */
const warmUpSeconds = 1;
/** How long the start of a process may take: more than the last, where that was too little. */
const startSecondsMax = 0.25;
let startSeconds = 1 / 60;

export interface Generator {
  readonly clients: number;
  readonly words: readonly string[];
}

export interface Measured {
  readonly seconds: number;
  readonly count: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Requests of the whole run that were refused because there were too many (429). */
  readonly refused: number;
  /** Those that failed otherwise. */
  readonly failed: number;
  /** Those that were done. */
  readonly total: number;
  /** Bytes of the bodies of all answers of the whole run. */
  readonly answerBytes: number;
}

export function isInstalled(program: string, flag = "--version"): boolean {
  return spawnSync(program, [flag], { stdio: "ignore" }).status === 0;
}

interface Finished {
  readonly log: string;
  readonly output: string;
}

function start(generator: Generator, seconds: number, log: string): Promise<Finished> {
  const words = ["-c", String(generator.clients), "-D", `${Math.ceil(1000 * seconds)}ms`];
  const child = spawn("h2load", [...words, `--log-file=${log}`, ...generator.words], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve({ log, output });
      else reject(new Error(`h2load ended with ${code}: ${output}`));
    });
  });
}

interface Requests {
  /** Of every request that was done: its end in microseconds since 1970, and its duration. */
  readonly endUs: number[];
  readonly tookUs: number[];
  readonly firstUs: number;
  readonly lastUs: number;
  readonly refused: number;
  readonly failed: number;
}

function readLog(path: string): Requests {
  const endUs: number[] = [];
  const tookUs: number[] = [];
  let firstUs = Infinity;
  let lastUs = -Infinity;
  let refused = 0;
  let failed = 0;
  for (const line of readFileSync(path, "utf8").split("\n")) {
    if (line === "") continue;
    const [began = "", status = "", took = ""] = line.split("\t");
    const end = Number(began) + Number(took);
    firstUs = Math.min(firstUs, Number(began));
    lastUs = Math.max(lastUs, end);
    if (status === "429") {
      refused++;
    } else if (status.startsWith("2")) {
      endUs.push(end);
      tookUs.push(Number(took));
    } else {
      failed++;
    }
  }
  return { endUs, tookUs, firstUs, lastUs, refused, failed };
}

const answerBytes = ({ output }: Finished): number =>
  Number(/\((\d+)\) data/.exec(output)?.[1] ?? Number.NaN);

interface Window {
  readonly fromUs: number;
  readonly toUs: number;
}

/** When all processes ran, after the warm-up; null where that was for less than half of the time. */
function commonWindow(logs: readonly Requests[], seconds: number): Window | null {
  const fromUs = Math.max(...logs.map(({ firstUs }) => firstUs)) + 1e6 * warmUpSeconds;
  const toUs = Math.min(fromUs + 1e6 * seconds, ...logs.map(({ lastUs }) => lastUs));
  return toUs - fromUs > 5e5 * seconds ? { fromUs, toUs } : null;
}

/** Ascending microseconds of what ended within the window. */
function durations(logs: readonly Requests[], { fromUs, toUs }: Window): Float64Array {
  const took: number[] = [];
  for (const { endUs, tookUs } of logs) {
    for (let i = 0; i < endUs.length; i++) {
      const end = endUs[i] ?? 0;
      if (end >= fromUs && end < toUs) took.push(tookUs[i] ?? 0);
    }
  }
  return Float64Array.from(took).sort();
}

/** `scratch`: a directory for the logs, better not on the disk that is measured. */
export async function measure(
  generators: readonly Generator[],
  { scratch, seconds }: { scratch: string; seconds: number },
): Promise<Measured> {
  const allSeconds = seconds + warmUpSeconds + generators.length * startSeconds;
  const finished = await Promise.all(
    generators.map((generator, i) => start(generator, allSeconds, join(scratch, `log-${i}`))),
  );
  const logs = finished.map(({ log }) => readLog(log));
  for (const { log } of finished) rmSync(log);
  const window = commonWindow(logs, seconds);
  if (window === null) {
    startSeconds = Math.min(startSecondsMax, 2 * startSeconds);
    throw new Error("the processes of h2load did not run side by side for long enough");
  }
  const sorted = durations(logs, window);
  const windowUs = window.toUs - window.fromUs;
  return {
    seconds: windowUs / 1e6,
    count: sorted.length,
    perSecond: (1e6 * sorted.length) / windowUs,
    p50Ms: percentile(sorted, 0.5) / 1000,
    p99Ms: percentile(sorted, 0.99) / 1000,
    refused: logs.reduce((sum, { refused }) => sum + refused, 0),
    failed: logs.reduce((sum, { failed }) => sum + failed, 0),
    total: logs.reduce((sum, { endUs }) => sum + endUs.length, 0),
    answerBytes: finished.reduce((sum, one) => sum + answerBytes(one), 0),
  };
}
