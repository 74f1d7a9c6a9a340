/** Durations, pauses and deadlines, alike on every runtime. */

import { badRequest, type Outcome } from "./error.ts";

/**
 * A number is milliseconds, as in every timer here (over HTTP a bare number is seconds). Text has its
 * unit: `500ms`, `30s`, `5m`, `2h`, `7d`.
 */
export type Duration = number | string;

const units: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/**
 * In whole milliseconds; throws a `bad_request` where it is none, zero or endless. `outcome`: of a write
 * it is a part of.
 */
export function millisecondsOf(duration: Duration, field: string, outcome?: Outcome): number {
  const ms = typeof duration === "number" ? duration : inText(duration);
  if (Number.isSafeInteger(Math.ceil(ms)) && ms > 0) return Math.ceil(ms);
  const detail = isBare(duration)
    ? `\`${field}\` is "${duration}" without a unit; write "${duration}s", or a number of milliseconds`
    : `\`${field}\` is a number of milliseconds above 0, or text such as 500ms, 30s, 5m, 2h, 7d`;
  throw badRequest(detail, field, { outcome });
}

const form = /^(\d{1,15}(?:\.\d{1,6})?)(ms|s|m|h|d)$/;

function inText(text: string): number {
  const [, digits = "", unit = ""] = form.exec(text) ?? [];
  return Number(digits) * (units[unit] ?? 0);
}

const isBare = (duration: Duration): boolean =>
  typeof duration === "string" && form.test(`${duration}s`);

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
