/** What `npm run bench:scale` measures, as rows for people. */

import type { Driven } from "./driven.ts";

export interface Point {
  /** The number that grows. */
  readonly x: number;
  readonly label: string;
  readonly put: Driven;
  readonly get: Driven;
}

export interface Series {
  readonly name: string;
  /** Everything that stays. */
  readonly about: string;
  /** Values differ by orders of magnitude. */
  readonly isLogarithmic: boolean;
  readonly points: readonly Point[];
}

/** One line of a table that is not about requests. */
export interface Fact {
  readonly what: string;
  readonly value: string;
}

const whole = (value: number): string => Math.round(value).toLocaleString("en-US");
const ms = (value: number): string => (value < 10 ? value.toFixed(2) : value.toFixed(0));
const cost = (value: number): string => (Number.isNaN(value) ? "-" : whole(value));

function refused(point: Point): string {
  const errors = point.put.errorCount + point.get.errorCount;
  return errors === 0 ? "" : whole(errors);
}

const figures = ["p50 ms", "p99 ms", "CPU µs"];
const head = ["puts/s", ...figures, "gets/s", ...figures, "errors"];

/** As Markdown, padded so that it reads in a terminal as well. */
export function tableOf(rows: readonly (readonly string[])[]): string {
  const [first = []] = rows;
  const widths = first.map((_, i) => Math.max(3, ...rows.map((cells) => cells[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((text, i) => (i === 0 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0))).join(" | ")} |`;
  const rule = `| ${widths.map((width, i) => (i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  const [title = [], ...others] = rows.map(line);
  return [title, rule, ...others].join("\n");
}

export function seriesTable(series: Series): string {
  const rows = series.points.map((point) => [
    point.label,
    ...[point.put.put, point.get.get].flatMap(({ perSecond, latencyMs }, i) => [
      whole(perSecond),
      ms(latencyMs.p50),
      ms(latencyMs.p99),
      cost(i === 0 ? point.put.cpuUs : point.get.cpuUs),
    ]),
    refused(point),
  ]);
  const isSmooth = rows.every((cells) => cells[cells.length - 1] === "");
  const all = [[series.name, ...head], ...rows];
  return tableOf(isSmooth ? all.map((cells) => cells.slice(0, -1)) : all);
}

export const factTable = (facts: readonly Fact[]): string =>
  tableOf([["besides", ""], ...facts.map(({ what, value }) => [what, value])]);
