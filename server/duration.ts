/** Durations as people write them: `500ms`, `30s`, `5m`, `2h`, `7d`, or a bare number of seconds. */

import { ttlMsMax } from "./state-machine/command.ts";

/** How long a request may wait for something to happen. */
export const waitMsMax = 600_000;

const units: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  "": 1_000,
};

/** What is right of a TTL; behind the name of the field. */
export const durationForm =
  "is a duration from 1ms to 3650d: 500ms, 30s, 5m, 2h, 7d or a number of seconds";

/** Milliseconds, rounded up; null where `text` is none, or is zero, negative or endless. */
export function parseDuration(text: string): number | null {
  const [, digits, unit = ""] = /^(\d{1,15}(?:\.\d{1,6})?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  if (digits === undefined) return null;
  const ms = Math.ceil(Number(digits) * (units[unit] ?? NaN));
  return ms >= 1 && ms <= ttlMsMax ? ms : null;
}
