/**
 * Loaded into a node before its own code, under Node.js: a first SIGUSR2 begins to sample what is allocated,
 * a second one writes it to the directory `KV_ALLOCATIONS`, by function.
 */

import { writeFileSync } from "node:fs";
import { Session, type HeapProfiler } from "node:inspector";
import { basename, join } from "node:path";

/** On average a sample is taken of so many bytes. */
const samplingInterval = 8 << 10;

const session = new Session();
session.connect();

/** What was collected meanwhile counts too. */
const everything = {
  includeObjectsCollectedByMajorGC: true,
  includeObjectsCollectedByMinorGC: true,
};

function addTo(sums: Record<string, number>, node: HeapProfiler.SamplingHeapProfileNode): void {
  const { functionName, url } = node.callFrame;
  const name = `${functionName || "a function without a name"} (${basename(url) || "runtime"})`;
  sums[name] = (sums[name] ?? 0) + node.selfSize;
  for (const child of node.children) addTo(sums, child);
}

function begin(): void {
  session.post("HeapProfiler.startSampling", { samplingInterval, ...everything });
  process.once("SIGUSR2", end);
}

function end(): void {
  session.post("HeapProfiler.stopSampling", (error, { profile }) => {
    if (error !== null) throw error;
    const sums: Record<string, number> = {};
    addTo(sums, profile.head);
    const directory = process.env["KV_ALLOCATIONS"] ?? ".";
    writeFileSync(join(directory, `${process.pid}.json`), JSON.stringify(sums));
  });
}

process.once("SIGUSR2", begin);
