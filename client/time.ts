/** Durations, pauses and deadlines, alike on every runtime. */

import { KvError } from "./error.ts";

/** Milliseconds, or text such as `500ms`, `30s`, `5m`, `2h`, `7d`. */
export type Duration = number | string;

const units: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** In whole milliseconds; throws a `bad_request` where it is none, zero or endless. */
export function millisecondsOf(duration: Duration, field: string): number {
  const ms = typeof duration === "number" ? duration : inText(duration);
  if (Number.isSafeInteger(Math.ceil(ms)) && ms > 0) return Math.ceil(ms);
  const detail = `\`${field}\` is a number of milliseconds above 0, or such as 500ms, 30s, 5m, 2h, 7d`;
  throw new KvError("bad_request", detail, { field });
}

function inText(text: string): number {
  const [, digits = "", unit = ""] = /^(\d+)(ms|s|m|h|d)$/.exec(text) ?? [];
  return Number(digits) * (units[unit] ?? 0);
}

/** Resolves after `ms` or when `signal` aborts, whichever is first. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}

/** A timer that no process stays alive for. */
export function afterQuietly(ms: number, run: () => void): () => void {
  const timer: unknown = setTimeout(run, ms);
  const held = timer as { unref?: () => void };
  const { Deno } = globalThis as { Deno?: { unrefTimer?: (timer: unknown) => void } };
  if (typeof held.unref === "function") held.unref();
  else Deno?.unrefTimer?.(timer);
  return () => clearTimeout(timer as ReturnType<typeof setTimeout>);
}
