/** What a measurement came to: lines for people, a value for programs. */

import type { Load, Tally } from "./load.ts";

const shares = { p50: 0.5, p95: 0.95, p99: 0.99, "p99.9": 0.999 } as const;

/** Rates are per second; latencies in milliseconds. */
interface OperationReport {
  readonly count: number;
  readonly perSecond: number;
  readonly latencyMs: Readonly<Record<keyof typeof shares | "mean" | "max", number>>;
  readonly errors: Readonly<Record<string, number>>;
  /** Of the errors those that said when to come again. */
  readonly refused: {
    readonly count: number;
    readonly latencyMs: { readonly p50: number; readonly p99: number };
  };
}

export interface BenchReport {
  readonly seconds: number;
  readonly clients: number;
  readonly endpoints: number;
  readonly valueBytes: number;
  readonly keys: number;
  readonly readPercent: number;
  readonly count: number;
  readonly perSecond: number;
  readonly errorCount: number;
  /** Of the gets: those of keys that nobody had written. */
  readonly notFound: number;
  /** Requests that were to come in a second; null where every client asked again at once. */
  readonly rate: number | null;
  /** Of these: what found no client free, and was not sent. */
  readonly missed: number;
  readonly put: OperationReport;
  readonly get: OperationReport;
}

const rounded = (value: number, digits = 3): number => Number(value.toFixed(digits));
const ms = (us: number): number => rounded(us / 1000);
const perSecond = (count: number, elapsedMs: number): number =>
  elapsedMs === 0 ? 0 : Math.round((1000 * count) / elapsedMs);

function operationReport(
  { latencies, errors, refusals }: Tally,
  elapsedMs: number,
): OperationReport {
  const of = (name: keyof typeof shares): number => ms(latencies.quantileUs(shares[name]));
  return {
    count: latencies.count,
    perSecond: perSecond(latencies.count, elapsedMs),
    latencyMs: {
      mean: ms(latencies.meanUs),
      p50: of("p50"),
      p95: of("p95"),
      p99: of("p99"),
      "p99.9": of("p99.9"),
      max: ms(latencies.maxUs),
    },
    errors: Object.fromEntries(errors),
    refused: {
      count: refusals.count,
      latencyMs: { p50: ms(refusals.quantileUs(0.5)), p99: ms(refusals.quantileUs(0.99)) },
    },
  };
}

export function benchReport(load: Load): BenchReport {
  const { elapsedMs, options } = load;
  const count = load.put.latencies.count + load.get.latencies.count;
  return {
    seconds: rounded(elapsedMs / 1000, 2),
    clients: options.clients,
    endpoints: options.endpoints.length,
    valueBytes: options.valueBytes,
    keys: options.keyCount,
    readPercent: options.readPercent,
    count,
    perSecond: perSecond(count, elapsedMs),
    errorCount: load.errorCount,
    notFound: load.notFound,
    rate: options.perSecond,
    missed: load.missed,
    put: operationReport(load.put, elapsedMs),
    get: operationReport(load.get, elapsedMs),
  };
}

const grouped = (count: number): string => count.toLocaleString("en-US");
const plural = (count: number, noun: string): string =>
  `${grouped(count)} ${noun}${count === 1 ? "" : "s"}`;
const shownMs = (value: number): string => `${value.toFixed(value < 10 ? 2 : 1)} ms`;

function refusedText({ put, get }: BenchReport): string[] {
  return [put, get].flatMap(({ refused: { count, latencyMs } }, i) =>
    count === 0
      ? []
      : [
          `  ${i === 0 ? "puts" : "gets"} refused for now ${grouped(count)}, ` +
            `in p50 ${shownMs(latencyMs.p50)}, p99 ${shownMs(latencyMs.p99)}`,
        ],
  );
}

function rows(name: string, report: OperationReport): string[] {
  const lines: string[] = [];
  if (report.count > 0) {
    const { p50, p95, p99, max } = report.latencyMs;
    const cells = [p50, p95, p99, report.latencyMs["p99.9"], max].map((value) =>
      shownMs(value).padStart(10),
    );
    const rate = `${grouped(report.perSecond)}/s`.padStart(12);
    lines.push(`${name.padEnd(5)}${grouped(report.count).padStart(12)}${rate}${cells.join("")}`);
  }
  return lines;
}

export function renderReport(report: BenchReport): string {
  const { clients, endpoints, errorCount, keys, notFound, valueBytes } = report;
  const head = ["p50", "p95", "p99", "p99.9", "max"].map((name) => name.padStart(10)).join("");
  const kinds = [...Object.entries(report.put.errors), ...Object.entries(report.get.errors)];
  const totals = new Map<string, number>();
  for (const [kind, count] of kinds) totals.set(kind, (totals.get(kind) ?? 0) + count);
  const told = [...totals].map(([kind, count]) => `  ${kind} ${grouped(count)}`);
  return [
    `${report.seconds} s, ${plural(clients, "client")} on ${plural(endpoints, "endpoint")}, ` +
      `values of ${grouped(valueBytes)} bytes under ${grouped(keys)} keys`,
    `${"".padEnd(5)}${"answered".padStart(12)}${"rate".padStart(12)}${head}`,
    ...rows("put", report.put),
    ...rows("get", report.get),
    ...(notFound > 0
      ? [`of the gets ${grouped(notFound)} found nothing: --fill writes all keys first`]
      : []),
    ...(report.missed > 0
      ? [`of those that came ${grouped(report.missed)} found no client free, and were not sent`]
      : []),
    `errors ${grouped(errorCount)}`,
    ...told,
    ...refusedText(report),
  ].join("\n");
}

/** One line, for a terminal, of what happened in the last `sinceMs`. */
export function renderProgress(load: Load, sinceMs: number): string {
  const rate = grouped(perSecond(load.recent.count, sinceMs));
  const p99 = shownMs(load.recent.quantileUs(0.99) / 1000);
  const errors = load.errorCount > 0 ? `, ${grouped(load.errorCount)} errors` : "";
  return `${Math.round(load.elapsedMs / 1000)} s: ${rate}/s, p99 ${p99}${errors}`;
}
