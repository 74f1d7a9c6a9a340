/** What goes into paths, queries and headers; what cannot is refused before anything is sent. */

import type { Timing } from "./asker.ts";
import { badRequest, type Outcome } from "./error.ts";
import { millisecondsOf, type Duration } from "./time.ts";
import type { Selection } from "./transaction.ts";

/** How long a server may wait at the most until it is recent enough. */
const recencyMsMax = 60_000;
/** Between the end of its wait and the end of ours. */
const answerMs = 500;

export const jsonHeaders = { "Content-Type": "application/json" };

/** Escaped for a URL. Half of a surrogate pair is no text, and has no bytes. */
export function escaped(text: string, field: string, outcome?: Outcome): string {
  try {
    return encodeURIComponent(text);
  } catch (cause) {
    const detail = `\`${field}\` holds half of a surrogate pair, which is no text`;
    throw badRequest(detail, field, { outcome, cause });
  }
}

/** The text as it is, where it could be escaped. */
export function wellFormed(text: string, field: string, outcome?: Outcome): string {
  escaped(text, field, outcome);
  return text;
}

export const keyPath = (key: string, outcome?: "not_applied"): string =>
  `/v1/kv/${escaped(key, "key", outcome)}`;

export function queryOf(
  parameters: Readonly<Record<string, string | undefined>>,
  outcome?: "not_applied",
): string {
  const pairs = Object.entries(parameters).filter((pair) => pair[1] !== undefined);
  const texts = pairs.map(([name, value = ""]) => `${name}=${escaped(value, name, outcome)}`);
  return texts.length === 0 ? "" : `?${texts.join("&")}`;
}

/** Of a write. */
export const ttlText = (ttl: Duration | undefined): string | undefined =>
  ttl === undefined ? undefined : `${millisecondsOf(ttl, "ttl", "not_applied")}ms`;

export const selectionParameters = ({ prefix, start, end }: Selection) => ({ prefix, start, end });

export interface Recency {
  readonly level?: string;
  readonly minRevision?: number;
  readonly maxStale?: Duration;
}

export function recencyParameters({ level, minRevision, maxStale }: Recency) {
  return {
    level,
    min_revision: minRevision?.toString(),
    max_stale: maxStale === undefined ? undefined : `${millisecondsOf(maxStale, "maxStale")}ms`,
  };
}

/**
 * A server that waits until it is recent enough says that it is not before we turn to the next one, and
 * one that waits for a change waits for what is left of that time.
 */
export function timingOf(
  path: string,
  { minRevision, maxStale }: Recency,
  isWaiting = false,
): ((times: Timing) => string) | undefined {
  const isBounded = minRevision !== undefined || maxStale !== undefined;
  if (!isBounded && !isWaiting) return undefined;
  return ({ shareMs, waitMs }) => {
    const boundMs = Math.min(recencyMsMax, shareMs - Math.min(answerMs, shareMs / 2));
    const times = [
      ...(isBounded ? [`timeout=${Math.max(1, Math.floor(boundMs))}ms`] : []),
      ...(isWaiting ? [`wait=${Math.max(1, Math.ceil(waitMs))}ms`] : []),
    ];
    return `${path.includes("?") ? "&" : "?"}${times.join("&")}`;
  };
}

export interface Matches {
  readonly ifMatch?: number | "*";
  readonly ifNoneMatch?: number | "*";
}

export function matchHeaders({ ifMatch, ifNoneMatch }: Matches): Record<string, string> {
  const tag = (match: number | "*"): string => (match === "*" ? "*" : `"${match}"`);
  return {
    ...(ifMatch === undefined ? {} : { "If-Match": tag(ifMatch) }),
    ...(ifNoneMatch === undefined ? {} : { "If-None-Match": tag(ifNoneMatch) }),
  };
}

/** Of a write: what a header cannot hold would look like a lost connection. */
export function headerText(text: string, field: string): string {
  if (/^[ -~]{1,255}$/.test(text)) return text;
  const detail = `\`${field}\` is 1 to 255 printable ASCII characters`;
  throw badRequest(detail, field, { outcome: "not_applied" });
}

/** 128 random bits; `randomUUID` is missing on pages that come over plain HTTP. */
export function newIdempotencyKey(): string {
  const bits = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bits, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
