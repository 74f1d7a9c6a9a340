/** Finds test files, runs them a few at a time, and prints a line for each and every failure in full. */

import { readdirSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { type FileOptions, type FileRun, runFile, type Runtime } from "./run-file.ts";

export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

export interface RunOptions extends FileOptions {
  /** How many files run at once. */
  jobs: number;
}

/** All `*.test.ts` below `directory`, sorted, as paths from the current directory. */
export function findTests(directory: string): string[] {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
  return names
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => relative(".", join(directory, name)))
    .sort();
}

export function add(tally: Tally, more: Tally): void {
  tally.passed += more.passed;
  tally.failed += more.failed;
  tally.skipped += more.skipped;
}

/** The line that ends every run: nothing may follow it. */
export function closingLine(tally: Tally): string {
  const skipped = tally.skipped > 0 ? `, ${tally.skipped} skipped` : "";
  return `${tally.passed} passed, ${tally.failed} failed${skipped}`;
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function indent(text: string): string {
  return text.trimEnd().replaceAll(/^/gm, "    ");
}

function describe(path: string, runtime: Runtime, run: FileRun): string {
  const mark = run.failed > 0 ? "FAIL" : "ok  ";
  const counts = closingLine(run);
  const lines = [`${mark} ${runtime.padEnd(4)} ${path}: ${counts}, ${seconds(run.durationMs)}`];
  for (const why of run.skips) lines.push(indent(`skipped: ${why}`));
  for (const failure of run.failures) lines.push(indent(failure));
  if (run.failed > 0 && run.output.trim() !== "") {
    lines.push("  its output:", indent(run.output));
  }
  return lines.join("\n");
}

/** Runs the files and prints as they finish. */
export async function runFiles(paths: readonly string[], options: RunOptions): Promise<Tally> {
  const tally: Tally = { passed: 0, failed: 0, skipped: 0 };
  const waiting = [...paths];
  const work = async () => {
    for (let path = waiting.shift(); path !== undefined; path = waiting.shift()) {
      const run = await runFile(resolve(path), options);
      console.log(describe(path, options.runtime, run));
      add(tally, run);
    }
  };
  await Promise.all(Array.from({ length: options.jobs }, work));
  return tally;
}
