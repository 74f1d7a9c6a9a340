/**
 * `npm run sim -- …`: simulates seeds and says what held.
 *
 * - `--seed N` replays one, with its last events; `--shrink` leaves out the faults it does not need.
 * - `--seeds A-B` runs a range; `--minutes M` runs random ones (from `--from N` on, if given).
 *   `--first` ends with the first that fails.
 */

import { parseArgs } from "node:util";
import {
  describeFailure,
  describeTotals,
  emptyTotals,
  runSeed,
  shrink,
  type Totals,
} from "./runs.ts";

const usage =
  "use: npm run sim -- --seed N [--shrink] | --seeds A-B | --minutes M [--from N] [--first]";

function wrong(problem: string): never {
  console.error(`${problem}; ${usage}`);
  process.exit(2);
}

function number(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0 || text.trim() === "") {
    wrong(`--${name} "${text}" is no number`);
  }
  return value;
}

async function replay(seed: number): Promise<Totals> {
  const totals = emptyTotals();
  const result = await runSeed(seed, totals);
  console.log(describeFailure(result, 60));
  console.log(`trace hash ${result.hash}`);
  return totals;
}

async function shrunk(seed: number): Promise<Totals> {
  const totals = emptyTotals();
  const { failure } = await runSeed(seed, totals);
  if (!failure) {
    console.log(`seed ${seed} holds`);
    return totals;
  }
  const { without, result } = await shrink(seed);
  console.log(describeFailure(result, 60));
  console.log(`it fails without: ${without.join(", ") || "nothing can be left out"}`);
  console.log(`it needs: ${[...result.options.faults].join(", ") || "no fault at all"}`);
  return totals;
}

async function many(
  seeds: Iterable<number>,
  endMs: number,
  endsWithFirst: boolean,
): Promise<Totals> {
  const totals = emptyTotals();
  for (const seed of seeds) {
    if (performance.now() >= endMs) break;
    const result = await runSeed(seed, totals);
    if (!result.failure) continue;
    console.log(describeFailure(result, 20));
    if (endsWithFirst) break;
  }
  return totals;
}

function* counting(from: number, through = Infinity): Generator<number> {
  for (let seed = from; seed <= through; seed++) yield seed;
}

function report(totals: Totals): void {
  const sorted = (counts: ReadonlyMap<string, number>): string =>
    [...counts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, count]) => `  ${String(count).padStart(9)}  ${name}`)
      .join("\n");
  console.log(`faults:\n${sorted(totals.faults)}`);
  console.log(`reached:\n${sorted(totals.coverage.counts)}`);
}

function parse(): Record<"seed" | "seeds" | "minutes" | "from", string | undefined> & {
  shrink: boolean;
  first: boolean;
} {
  const text = { type: "string" } as const;
  try {
    const { values } = parseArgs({
      options: {
        seed: text,
        seeds: text,
        minutes: text,
        from: text,
        shrink: { type: "boolean" },
        first: { type: "boolean" },
      },
    });
    const { seed, seeds, minutes, from } = values;
    const { shrink: shrinks = false, first = false } = values;
    return { seed, seeds, minutes, from, shrink: shrinks, first };
  } catch (error) {
    return wrong(error instanceof Error ? error.message : String(error));
  }
}

async function run(): Promise<Totals> {
  const { seed, seeds, minutes, from, first: endsWithFirst, shrink: isShrinking } = parse();
  if (seed !== undefined) {
    return isShrinking ? shrunk(number(seed, "seed")) : replay(number(seed, "seed"));
  }
  if (seeds !== undefined) {
    const [start = "", last = start] = seeds.split("-");
    const range = counting(number(start, "seeds"), number(last, "seeds"));
    return many(range, Infinity, endsWithFirst);
  }
  if (minutes === undefined) return wrong("what to run is missing");
  const start = from === undefined ? Math.floor(Math.random() * 2 ** 31) : number(from, "from");
  console.log(`random seeds from ${start} on`);
  const endMs = performance.now() + number(minutes, "minutes") * 60_000;
  return many(counting(start), endMs, endsWithFirst);
}

const totals = await run();
if (totals.seeds > 1) report(totals);
console.log(describeTotals(totals));
process.exitCode = totals.failures.length === 0 ? 0 : 1;
