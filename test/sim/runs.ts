/** Many simulations, one after the other: what they reached, and what failed, said so that it can be replayed. */

import { execFileSync } from "node:child_process";
import { describeOptions, drawOptions, faultKinds, type FaultKind } from "./options.ts";
import { simulate, type SimResult } from "./simulation.ts";
import { Coverage } from "./trace.ts";

export interface Totals {
  seeds: number;
  events: number;
  calls: number;
  simulatedMs: number;
  /** Time that passed while they ran. */
  elapsedMs: number;
  readonly coverage: Coverage;
  readonly faults: Map<FaultKind, number>;
  readonly failures: SimResult[];
}

export const emptyTotals = (): Totals => ({
  seeds: 0,
  events: 0,
  calls: 0,
  simulatedMs: 0,
  elapsedMs: 0,
  coverage: new Coverage(),
  faults: new Map(),
  failures: [],
});

/** Simulates one seed and adds it to the totals. */
export async function runSeed(seed: number, totals: Totals): Promise<SimResult> {
  const started = performance.now();
  const result = await simulate(drawOptions(seed));
  totals.elapsedMs += performance.now() - started;
  totals.seeds++;
  totals.events += result.events;
  totals.calls += result.calls;
  totals.simulatedMs += result.simulatedMs;
  totals.coverage.merge(result.coverage);
  for (const [kind, count] of result.faults) {
    totals.faults.set(kind, (totals.faults.get(kind) ?? 0) + count);
  }
  if (result.failure) totals.failures.push(result);
  return result;
}

/**
 * Leaves out one kind of fault after the other, for as long as the seed still fails without: what is
 * left is what it needs.
 */
export async function shrink(seed: number): Promise<{ without: FaultKind[]; result: SimResult }> {
  const without = new Set<FaultKind>();
  let result = await simulate(drawOptions(seed));
  for (const kind of faultKinds) {
    if (!result.options.faults.has(kind)) continue;
    const tried = await simulate(drawOptions(seed, new Set([...without, kind])));
    if (!tried.failure) continue;
    without.add(kind);
    result = tried;
  }
  return { without: [...without], result };
}

/** All that is needed to see the failure again. */
export function describeFailure(result: SimResult, eventCount: number): string {
  const { failure, options, hash } = result;
  if (!failure) return `seed ${options.seed} holds`;
  return [
    `seed ${options.seed} fails: ${failure.error.stack ?? failure.error.message}`,
    `options: ${describeOptions(options)}`,
    `commit ${commit()}, trace hash ${hash}; the last events:`,
    ...failure.lastEvents.slice(-eventCount),
    `replay: npm run sim -- --seed ${options.seed}`,
  ].join("\n");
}

export function describeTotals(totals: Totals): string {
  const { seeds, events, calls, simulatedMs, elapsedMs, faults, failures } = totals;
  const faultCount = [...faults.values()].reduce((sum, count) => sum + count, 0);
  const rate = Math.round((events / elapsedMs) * 1_000);
  return (
    `${seeds} seeds, ${(simulatedMs / 3_600_000).toFixed(2)} simulated hours, ` +
    `${faultCount.toLocaleString("en")} faults, ${calls.toLocaleString("en")} answered calls, ` +
    `${events.toLocaleString("en")} events (${rate.toLocaleString("en")} a second), ` +
    `${failures.length} failed`
  );
}

/** What is being tested, for those who read the report elsewhere. */
function commit(): string {
  try {
    const git = (...words: string[]): string =>
      execFileSync("git", words, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    const head = git("rev-parse", "--short", "HEAD");
    const isClean = git("status", "--porcelain") === "";
    return isClean ? head : `${head} with changes`;
  } catch {
    return "unknown";
  }
}
