/** `kv bench`: asks a running cluster as fast as it answers, and says how fast that was. */

import { HttpClient } from "../../server/http-client.ts";
import type { SocketAddress } from "../../server/socket/socket.ts";
import { keyBytesMax, valueBytesMax } from "../../server/state-machine/command.ts";
import { UsageError } from "../arguments.ts";
import { exitCodes, StartError } from "../exit.ts";
import { shutdownSignals } from "../input.ts";
import { write } from "../output.ts";
import { systemClock, systemRandom } from "../system.ts";
import { Load, type LoadOptions } from "./load.ts";
import { benchReport, renderProgress, renderReport } from "./report.ts";

const clientsMax = 16_384;
const keyCountMax = 1_000_000_000;
const secondsMax = 86_400;
const perSecondMax = 1_000_000;
/** Between two lines of progress. */
const progressMs = 500;

export const benchFlags = {
  clients: {
    usage: "--clients <N>",
    help: "Clients, each with one request at a time (default: 64)",
  },
  size: { usage: "--size <BYTES>", help: "Bytes of every value (default: 100)" },
  keys: { usage: "--keys <N>", help: "Different keys, drawn evenly (default: 100000)" },
  prefix: {
    usage: "--prefix <TEXT>",
    help: "Of all keys; they are overwritten, and stay afterwards (default: bench-)",
  },
  reads: { usage: "--reads <PERCENT>", help: "Requests that read, the others write (default: 50)" },
  local: { usage: "--local", help: "Reads are answered by the asked node alone (level=local)" },
  fill: { usage: "--fill", help: "Write every key once before measuring" },
  rate: {
    usage: "--rate <N>",
    help: "Requests a second, whatever becomes of those before (default: as fast as they are answered)",
  },
  duration: { usage: "--duration <SECONDS>", help: "How long to measure (default: 10)" },
} as const;

export type BenchFlag = keyof typeof benchFlags;

/** Those flags that are followed by a value. */
export const benchValueFlags = Object.entries(benchFlags).flatMap(([name, { usage }]) =>
  usage.includes("<") ? [name] : [],
);

export interface BenchOptions {
  /** As `http://HOST:PORT`. */
  readonly endpoints: readonly string[];
  readonly format: "text" | "json";
  /** The text of a flag; undefined where it was not given. */
  readonly text: (flag: BenchFlag) => string | undefined;
  readonly isSet: (flag: BenchFlag) => boolean;
}

function numberOf(
  options: BenchOptions,
  flag: BenchFlag,
  range: { least: number; most: number; otherwise: number; whole?: boolean },
): number {
  const text = options.text(flag);
  if (text === undefined) return range.otherwise;
  const isWhole = range.whole ?? true;
  const form = isWhole ? /^\d{1,15}$/ : /^\d{1,9}(?:\.\d{1,6})?$/;
  const value = form.test(text) ? Number(text) : Number.NaN;
  if (!(value >= range.least && value <= range.most)) {
    const kind = isWhole ? "a whole number" : "a number";
    throw new UsageError(
      `--${flag}: "${text}" is not ${kind} from ${range.least} to ${range.most}`,
    );
  }
  return value;
}

function addressOf(endpoint: string): SocketAddress {
  const { hostname, port } = new URL(endpoint);
  return { host: hostname.replace(/^\[(.*)\]$/, "$1"), port: port === "" ? 80 : Number(port) };
}

function prefixOf(options: BenchOptions): string {
  const prefix = options.text("prefix") ?? "bench-";
  const room = keyBytesMax - String(keyCountMax).length;
  if (new TextEncoder().encode(prefix).byteLength > room || prefix.includes("\0")) {
    throw new UsageError(`--prefix is longer than ${room} bytes, or has a NUL byte`);
  }
  return prefix;
}

function loadOptions(options: BenchOptions): LoadOptions {
  return {
    endpoints: options.endpoints.map(addressOf),
    clients: numberOf(options, "clients", { least: 1, most: clientsMax, otherwise: 64 }),
    valueBytes: numberOf(options, "size", { least: 0, most: valueBytesMax, otherwise: 100 }),
    keyCount: numberOf(options, "keys", { least: 1, most: keyCountMax, otherwise: 100_000 }),
    keyPrefix: prefixOf(options),
    readPercent: numberOf(options, "reads", { least: 0, most: 100, otherwise: 50 }),
    isLocal: options.isSet("local"),
    isFill: false,
    perSecond:
      options.text("rate") === undefined
        ? null
        : numberOf(options, "rate", { least: 1, most: perSecondMax, otherwise: 1 }),
    clock: systemClock,
    random: systemRandom,
  };
}

/** Shows how it goes in one line that is overwritten, where somebody watches; returns how to end it. */
function showProgress(load: Load, what: string): () => void {
  if (!process.stderr.isTTY) return () => {};
  let shownMs = 0;
  const timer = setInterval(() => {
    const line = renderProgress(load, load.elapsedMs - shownMs);
    shownMs = load.elapsedMs;
    load.recent.clear();
    process.stderr.write(`\r${what} ${line}\x1b[K`);
  }, progressMs);
  return () => {
    clearInterval(timer);
    process.stderr.write("\r\x1b[K");
  };
}

/** Resolves when somebody interrupts. */
const interrupted = (): Promise<"interrupted"> =>
  new Promise((resolve) => {
    for (const signal of shutdownSignals) process.once(signal, () => resolve("interrupted"));
  });

/** Runs the load until one of `ends` resolves, and returns with what. */
async function run<T>(load: Load, what: string, ends: readonly Promise<T>[]): Promise<T> {
  load.start();
  const endProgress = showProgress(load, what);
  // Keeps the process alive where no connection does.
  const awake = setInterval(() => {}, 60_000);
  const end = await Promise.race(ends);
  clearInterval(awake);
  load.stop();
  endProgress();
  return end;
}

/** Somebody has to answer before clients are let loose. */
async function assertReachable(endpoints: readonly string[]): Promise<void> {
  const status = await new HttpClient(endpoints).status();
  if (!status.ok) throw new StartError(status.detail, exitCodes.unreachable);
}

/** Runs it and ends the process: with 0 where at least one request was answered as it should be. */
export async function runBench(options: BenchOptions): Promise<void> {
  const plan = loadOptions(options);
  const seconds = numberOf(options, "duration", {
    least: 0.1,
    most: secondsMax,
    otherwise: 10,
    whole: false,
  });
  await assertReachable(options.endpoints);
  const interruption = interrupted();
  if (options.isSet("fill")) {
    const fill = new Load({ ...plan, isFill: true, perSecond: null });
    const end = await run<unknown>(fill, "filling,", [fill.filled, interruption]);
    if (end === "interrupted") return finish(fill, options.format);
  }
  const load = new Load(plan);
  const over = load.begun.then(
    () => new Promise<void>((resolve) => setTimeout(resolve, 1000 * seconds)),
  );
  await run<unknown>(load, "measuring,", [over, interruption]);
  await finish(load, options.format);
}

async function finish(load: Load, format: BenchOptions["format"]): Promise<void> {
  const report = benchReport(load);
  const text = format === "json" ? JSON.stringify(report) : renderReport(report);
  await write(process.stdout, `${text}\n`);
  process.exit(report.count > 0 ? exitCodes.done : exitCodes.unreachable);
}
