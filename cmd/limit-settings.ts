/** `--limits`: what a node may be given more or less of than others, because it concerns itself alone. */

import { UsageError } from "./arguments.ts";
import { http1Limits, type Http1Limits } from "../server/listen/http1-limits.ts";
import { defaultLimits, type Limits } from "../server/limits.ts";

interface Bounds {
  readonly min: number;
  readonly max: number;
}

/**
 * By the names in `/v1/status`. What is part of the replicated state, or of what nodes promise each other, is not
 * among them: all nodes would have to change it at the same entry.
 */
const settable = {
  watchersMax: { min: 1, max: 100_000 },
  watchChangesMax: { min: 16, max: 1_000_000 },
  watchBytesMax: { min: 64 << 10, max: 256 << 20 },
  // Clients take a watch for broken that is silent for three times as long.
  watchProgressMs: { min: 100, max: 5_000 },
  listBytesMax: { min: 64 << 10, max: 32 << 20 },
  pendingWritesMax: { min: 16, max: 1_000_000 },
  pendingReadsMax: { min: 16, max: 1_000_000 },
  diskFreeBytesMin: { min: 1 << 20, max: 2 ** 50 },
} as const satisfies Partial<Record<keyof Limits, Bounds>>;

const httpConnections: Bounds = { min: 16, max: 1_000_000 };

export interface LimitSettings {
  readonly limits: Partial<Limits>;
  readonly http: Partial<Http1Limits>;
}

export const limitsHelp =
  `NAME=N,… of ${[...Object.keys(settable), "httpConnectionsMax"].join(", ")}; ` +
  `such as watchersMax=${2 * defaultLimits.watchersMax} (default: as /v1/status shows them)`;

/** `from` is the flag or the variable that `text` came from. */
export function parseLimits(text: string, from: string): LimitSettings {
  const limits: Partial<Record<keyof Limits, number>> = {};
  let http: Partial<Http1Limits> = {};
  const seen = new Set<string>();
  for (const part of text.split(",")) {
    const [, name = "", digits = ""] = /^([a-zA-Z]+)=(\d{1,16})$/.exec(part.trim()) ?? [];
    const isHttp = name === "httpConnectionsMax";
    const bounds = isHttp ? httpConnections : boundsOf(name);
    if (bounds === null) {
      const known = [...Object.keys(settable), "httpConnectionsMax"].join(", ");
      throw new UsageError(`${from}: "${part}" is not NAME=NUMBER with one of ${known}`);
    }
    if (seen.has(name)) throw new UsageError(`${from}: ${name} is there twice; give it once`);
    seen.add(name);
    const value = Number(digits);
    if (value < bounds.min || value > bounds.max) {
      throw new UsageError(`${from}: ${name} is a number from ${bounds.min} to ${bounds.max}`);
    }
    if (isHttp) http = { connectionsMax: value };
    else limits[name as keyof typeof settable] = value;
  }
  return { limits, http };
}

const boundsOf = (name: string): Bounds | null =>
  Object.hasOwn(settable, name) ? settable[name as keyof typeof settable] : null;

export const withHttpLimits = (http: Partial<Http1Limits>): Http1Limits => ({
  ...http1Limits,
  ...http,
});
