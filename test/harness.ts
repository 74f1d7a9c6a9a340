/**
 * The test runner: `node test/harness.ts [--runtime node|bun|deno|all] [--jobs N] [path part …]` runs
 * the test files whose path contains one of the parts, or all but the end-to-end tests. It fails unless
 * every file registered tests, ran all of them, and all passed or said why they were skipped.
 */

import { parseArgs } from "node:util";
import { killAll, type Runtime, runtimes } from "./harness/run-file.ts";
import {
  add,
  closingLine,
  findTests,
  runFiles,
  type RunOptions,
  type Tally,
} from "./harness/run-files.ts";

export const unitTimeoutMs = 60_000;
/** A test of the executable may start and kill many processes. */
export const endToEndTimeoutMs = 300_000;

/** Takes long, and on one runtime is enough; mostly it waits, or needs one core: beside each other. */
const endToEnd = /^test\/(?:e2e|faults|sim\/random-seeds)/;
/** Those that look at memory and at times under pressure: one after the other. */
const alone = /^test\/(?:faults\/overload|e2e\/(?:hostile|kill-leader))/;
/** Takes longest, so it begins first: begun last it would be left over, alone. */
const longest = /^test\/sim\/random-seeds/;
/** Of the text, of the tests' own checker, of clusters whose world is simulated: no runtime differs there. */
const sameEverywhere = /^test\/(?:style|linearizability|sim)\//;
const runtimeOfTheSame: Runtime = "bun";
const isEndToEnd = (path: string): boolean => endToEnd.test(path);

/** Runs what is selected on one runtime. */
export async function runSelected(
  selected: readonly string[],
  options: Omit<RunOptions, "timeoutMs">,
): Promise<Tally> {
  const { jobs } = options;
  const unit = selected.filter((path) => !isEndToEnd(path));
  const waiting = selected
    .filter((path) => isEndToEnd(path) && !alone.test(path))
    .sort((a, b) => Number(longest.test(b)) - Number(longest.test(a)));
  const slow = selected.filter((path) => alone.test(path));
  const tally = await runFiles(unit, { ...options, timeoutMs: unitTimeoutMs });
  // One more than there are cores: they wait more than they compute.
  const patient = { ...options, timeoutMs: endToEndTimeoutMs };
  add(tally, await runFiles(waiting, { ...patient, jobs: jobs + 1 }));
  add(tally, await runFiles(slow, { ...patient, jobs: 1 }));
  return tally;
}

export function unitTests(): string[] {
  return findTests("test").filter((path) => !isEndToEnd(path));
}

/** Those that `npm test`, which goes over all runtimes, leaves to this one. */
export function unitTestsOn(runtime: Runtime): string[] {
  if (runtime === runtimeOfTheSame) return unitTests();
  return unitTests().filter((path) => !sameEverywhere.test(path));
}

export function endToEndTests(): string[] {
  return findTests("test").filter(isEndToEnd);
}

/** Children run in groups of their own, so a signal from the terminal does not reach them. */
export function endChildrenOnSignals(): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      killAll();
      process.exit(1);
    });
  }
}

function usage(problem: string): never {
  console.error(`${problem}; use: test/harness.ts [--runtime NAME|all] [--jobs N] [path part …]`);
  process.exit(2);
}

function chosenRuntimes(name: string): readonly Runtime[] {
  if (name === "all") return runtimes;
  const found = runtimes.filter((runtime) => runtime === name);
  return found.length > 0 ? found : usage(`no runtime "${name}"`);
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      runtime: { type: "string", default: "node" },
      jobs: { type: "string", default: "2" },
    },
  });
  const jobs = Number(values.jobs);
  if (!Number.isInteger(jobs) || jobs < 1) usage(`--jobs ${values.jobs} is not a count`);
  const chosen =
    positionals.length === 0
      ? unitTests()
      : findTests("test").filter((path) => positionals.some((part) => path.includes(part)));
  if (chosen.length === 0) usage("no test file has such a path");
  endChildrenOnSignals();
  const tally: Tally = { passed: 0, failed: 0, skipped: 0 };
  for (const runtime of chosenRuntimes(values.runtime)) {
    add(tally, await runSelected(chosen, { runtime, jobs }));
  }
  console.log(closingLine(tally));
  process.exitCode = tally.failed === 0 && tally.passed > 0 ? 0 : 1;
}

if (import.meta.main) await main();
