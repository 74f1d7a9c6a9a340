/** How a read wants to be answered: how recent, and how long it may take to get there. */

import { parseDuration } from "./duration.ts";
import type { ReadOptions, Result } from "./client-port.ts";
import { defaultLimits } from "./limits.ts";
import { badRequest } from "./problem.ts";
import { parseLevel, type Parameters } from "./query.ts";
import { revisionOfText } from "./state-machine/integer.ts";

export const readParameters = ["level", "min_revision", "max_stale", "timeout"] as const;

/** A bound on the age alone asks for a local read within it. */
export function readOptionsOf(
  parameters: Parameters,
): Result<{ readonly options: ReadOptions & { readonly level: "linearizable" | "local" } }> {
  const given = parseLevel(parameters);
  if (!given.ok) return given;
  const maxStale = parseTime(parameters, "max_stale");
  if (!maxStale.ok) return maxStale;
  const timeout = parseTime(parameters, "timeout", defaultLimits.recencyWaitMsMax);
  if (!timeout.ok) return timeout;
  const minimum = parseRevision(parameters, "min_revision");
  if (!minimum.ok) return minimum;
  const isBounded = maxStale.ms !== undefined && !parameters.has("level");
  const options = {
    level: isBounded ? ("local" as const) : given.level,
    ...(maxStale.ms === undefined ? {} : { maxStaleMs: maxStale.ms }),
    ...(timeout.ms === undefined ? {} : { timeoutMs: timeout.ms }),
    ...(minimum.revision === undefined ? {} : { minRevision: minimum.revision }),
  };
  return { ok: true, options };
}

/** Undefined where it is not given. */
export function parseTime(
  parameters: Parameters,
  name: string,
  msMax = Number.MAX_SAFE_INTEGER,
): Result<{ readonly ms: number | undefined }> {
  const text = parameters.get(name);
  if (text === undefined) return { ok: true, ms: undefined };
  const ms = parseDuration(text);
  if (ms === null) return badRequest(`\`${name}\` is a time such as 500ms or 30s`, name);
  if (ms > msMax) return badRequest(`\`${name}\` is ${msMax / 1000} seconds at the most`, name);
  return { ok: true, ms };
}

/** Undefined where it is not given. */
export function parseRevision(
  parameters: Parameters,
  name: string,
): Result<{ readonly revision: number | undefined }> {
  const text = parameters.get(name);
  if (text === undefined) return { ok: true, revision: undefined };
  const revision = revisionOfText(text);
  if (revision === null) return badRequest(`\`${name}\` is a revision, in digits`, name);
  return { ok: true, revision };
}
