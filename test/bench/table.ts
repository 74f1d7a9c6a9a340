/** The comparison as a table: medians over the rounds with their spread, and what they come to. */

import { cellName, type Cell } from "./cells.ts";
import type { Measured } from "./h2load.ts";
import type { Subject } from "./subject.ts";

export interface Round extends Measured {
  readonly subject: Subject["name"];
  /** Processor time of all its nodes for one request. */
  readonly cpuUs: number;
  /** Of a mixed load: the share of requests that read. */
  readonly readShare: number | null;
}

export interface CellResult {
  readonly cell: Cell;
  readonly rounds: Round[];
}

export interface Summary {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export function summary(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  const lower = sorted[sorted.length - 1 - middle] ?? Number.NaN;
  return {
    median: (upper + lower) / 2,
    least: sorted[0] ?? Number.NaN,
    most: sorted[sorted.length - 1] ?? Number.NaN,
  };
}

type Figure = "perSecond" | "p50Ms" | "p99Ms" | "cpuUs";

export function figureOf(result: CellResult, name: Subject["name"], figure: Figure): Summary {
  const own = result.rounds.filter(({ subject }) => subject === name);
  return summary(own.map((round) => round[figure]));
}

/** What `name` comes to beside etcd, by the medians; null where one of them was not measured. */
export function ratioOf(
  result: CellResult,
  figure: Figure,
  name: Subject["name"] = "kv",
): number | null {
  const ratio = figureOf(result, name, figure).median / figureOf(result, "etcd", figure).median;
  return Number.isNaN(ratio) ? null : ratio;
}

/** Of ours, in all rounds: how many of a hundred requests were refused. */
function refusedPercent({ rounds }: CellResult): number {
  const own = rounds.filter(({ subject }) => subject === "kv");
  const refused = own.reduce((sum, round) => sum + round.refused, 0);
  return (100 * refused) / own.reduce((sum, round) => sum + round.refused + round.total, 0);
}

const whole = (value: number): string => Math.round(value).toLocaleString("en-US");
const spread = ({ median, least, most }: Summary): string =>
  Number.isNaN(median) ? "-" : `${whole(median)} (${whole(least)}-${whole(most)})`;
const ms = ({ median }: Summary): string => (Number.isNaN(median) ? "-" : median.toFixed(2));
const times = (ratio: number | null): string => (ratio === null ? "-" : ratio.toFixed(2));

function verdict(result: CellResult): string {
  const refused = refusedPercent(result);
  const refusals = refused > 0 ? `${refused.toFixed(1)} % refused` : "";
  const rate = ratioOf(result, "perSecond");
  const p99 = ratioOf(result, "p99Ms");
  if (rate === null || p99 === null) return refusals === "" ? "-" : refusals;
  const { goal } = result.cell;
  const missed = [
    ...(goal !== null && rate < goal ? ["rate"] : []),
    // What was refused has no place in it.
    ...(p99 > 1 || refusals !== "" ? ["p99"] : []),
    ...(refusals === "" ? [] : [refusals]),
  ];
  return missed.length === 0 ? "reached" : `missed: ${missed.join(", ")}`;
}

function row(result: CellResult): string[] {
  const { goal } = result.cell;
  return [
    cellName(result.cell),
    spread(figureOf(result, "kv", "perSecond")),
    spread(figureOf(result, "etcd", "perSecond")),
    times(ratioOf(result, "perSecond")),
    goal === null ? "" : String(goal),
    times(ratioOf(result, "perSecond", "bare")),
    ms(figureOf(result, "kv", "p99Ms")),
    ms(figureOf(result, "etcd", "p99Ms")),
    spread(figureOf(result, "kv", "cpuUs")),
    spread(figureOf(result, "etcd", "cpuUs")),
    verdict(result),
  ];
}

const head = [
  ...["cell", "kv /s", "etcd /s", "ratio", "goal", "bare ratio", "kv p99 ms", "etcd p99 ms"],
  ...["kv CPU µs", "etcd CPU µs", "goals"],
];

export function table(results: readonly CellResult[]): string {
  const rows = [head, ...results.map(row)];
  const widths = head.map((_, i) => Math.max(...rows.map((cells) => cells[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((text, i) => (i === 0 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0)))
      .join("  ");
  return rows.map(line).join("\n");
}
