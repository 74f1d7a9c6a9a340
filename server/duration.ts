/** Durations as texts: `500ms`, `30s`, `5m`, `2h`, `7d`, or a bare number of seconds. */

const unitMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Milliseconds, from 1 on; null where the text is no duration, or zero, negative or endless. */
export function parseDuration(text: string): number | null {
  const [, digits = "", unit = "s"] = /^(\d{1,12}(?:\.\d{1,3})?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  const ms = Math.round(Number(digits) * (unitMs[unit] ?? 0));
  return digits !== "" && ms >= 1 && Number.isSafeInteger(ms) ? ms : null;
}
