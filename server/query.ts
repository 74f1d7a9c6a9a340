/** Query parameters, each known by name: an unknown one is refused rather than ignored. */

import type { RequestHead } from "./answer.ts";
import type { ReadLevel, Result } from "./client-port.ts";
import { durationForm, parseDuration } from "./duration.ts";
import { badRequest, notImplemented } from "./problem.ts";

export type Parameters = ReadonlyMap<string, string>;

export interface KnownParameters {
  readonly taken: readonly string[];
  /** Known to the interface but not executed yet. */
  readonly later: readonly string[];
}

const none: Parameters = new Map();

/** Undefined where an escape is broken. As in forms, `+` is a space here (in paths it is a plus). */
function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return undefined;
  }
}

/** Splits `query` (without its question mark). The first parameter that is not taken is an error. */
export function parseQuery(
  query: string,
  known: KnownParameters,
): Result<{ readonly parameters: Parameters }> {
  if (query === "") return { ok: true, parameters: none };
  const parameters = new Map<string, string>();
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = decode(equals < 0 ? pair : pair.slice(0, equals));
    const value = equals < 0 ? "" : decode(pair.slice(equals + 1));
    if (name === undefined) return badRequest("a parameter's name is not valid percent-encoding");
    if (known.later.includes(name)) {
      return notImplemented(`the parameter \`${name}\` is not implemented yet`, name);
    }
    if (!known.taken.includes(name)) {
      return badRequest(`there is no parameter \`${name}\` here`, name);
    }
    if (value === undefined) {
      return badRequest(`the value of \`${name}\` is not valid percent-encoding`, name);
    }
    if (parameters.has(name)) return badRequest(`\`${name}\` is given twice`, name);
    parameters.set(name, value);
  }
  return { ok: true, parameters };
}

/** `lease` is answered by a linearizable read, which promises more. */
export function parseLevel(parameters: Parameters): Result<{ readonly level: ReadLevel }> {
  const level = parameters.get("level") ?? "linearizable";
  if (level === "local") return { ok: true, level };
  if (level === "linearizable" || level === "lease") return { ok: true, level: "linearizable" };
  return badRequest("`level` is linearizable, lease or local", "level");
}

/** `?ttl=` or `X-TTL`, in milliseconds; undefined where neither is given. */
export function parseTtl(
  { headers }: RequestHead,
  parameters: Parameters,
): Result<{ readonly ttlMs: number | undefined }> {
  const [asked, header] = [parameters.get("ttl"), headers.get("x-ttl")];
  if (asked !== undefined && header !== null) {
    return badRequest("a TTL is in `ttl` or in `x-ttl`, not in both", "ttl");
  }
  const text = asked ?? header;
  if (text === null) return { ok: true, ttlMs: undefined };
  const ttlMs = parseDuration(text);
  if (ttlMs !== null) return { ok: true, ttlMs };
  const name = asked === undefined ? "x-ttl" : "ttl";
  return badRequest(`\`${name}\` ${durationForm}`, name);
}

/** `?lease=` or `X-Lease`; undefined where neither is given. */
export function parseLease(
  { headers }: RequestHead,
  parameters: Parameters,
): Result<{ readonly lease: number | undefined }> {
  const [asked, header] = [parameters.get("lease"), headers.get("x-lease")];
  if (asked !== undefined && header !== null) {
    return badRequest("a lease is in `lease` or in `x-lease`, not in both", "lease");
  }
  const text = asked ?? header;
  if (text === null) return { ok: true, lease: undefined };
  const lease = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : NaN;
  if (Number.isSafeInteger(lease)) return { ok: true, lease };
  const name = asked === undefined ? "x-lease" : "lease";
  return badRequest(`\`${name}\` is the id of a lease, a number`, name);
}

/** `?name`, `?name=true`, `?name=false`. */
export function parseFlag(
  parameters: Parameters,
  name: string,
): Result<{ readonly flag: boolean }> {
  const value = parameters.get(name);
  if (value === "" || value === "true") return { ok: true, flag: true };
  if (value === undefined || value === "false") return { ok: true, flag: false };
  return badRequest(`\`${name}\` is true or false`, name);
}

/** A whole number in decimal digits between 1 and `max`. */
export function parseCount(
  parameters: Parameters,
  name: string,
  { max, otherwise }: { readonly max: number; readonly otherwise: number },
): Result<{ readonly count: number }> {
  const text = parameters.get(name);
  if (text === undefined) return { ok: true, count: otherwise };
  const count = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= max) return { ok: true, count };
  return badRequest(`\`${name}\` is a number from 1 to ${max}`, name);
}
