/** `If-Match` and `If-None-Match` on writes (RFC 9110 §13.1). */

import type { RequestHead } from "./answer.ts";
import type { Match, Result, WriteOptions } from "./client-port.ts";
import { badRequest } from "./problem.ts";

export type Conditions = Pick<WriteOptions, "ifMatch" | "ifNoneMatch">;

const none: Conditions = {};

export function conditionsOf({ headers }: RequestHead): Result<{ conditions: Conditions }> {
  const match = headers.get("if-match");
  const noneMatch = headers.get("if-none-match");
  if (match === null && noneMatch === null) return { ok: true, conditions: none };
  const ifMatch = match === null ? undefined : matchOf(match);
  const ifNoneMatch = noneMatch === null ? undefined : matchOf(noneMatch);
  if (ifMatch === null) return odd("if-match");
  if (ifNoneMatch === null) return odd("if-none-match");
  const conditions = {
    ...(ifMatch === undefined ? {} : { ifMatch }),
    ...(ifNoneMatch === undefined ? {} : { ifNoneMatch }),
  };
  return { ok: true, conditions };
}

/** Which of the conditions did not hold of the row that was found; undefined where none was asked for. */
export function failedCondition(
  { ifMatch, ifNoneMatch }: Conditions,
  found: number | undefined,
): string | undefined {
  const isMatched = found !== undefined && (ifMatch === "*" || ifMatch === found);
  if (ifMatch !== undefined && !isMatched) return "if-match";
  return ifNoneMatch === undefined ? undefined : "if-none-match";
}

/** Lists and weak tags are no conditions of ours: a revision is one, and exact. */
function matchOf(text: string): Match | null {
  if (text.trim() === "*") return "*";
  const digits = /^"(\d{1,16})"$/.exec(text.trim())?.[1];
  return digits === undefined || !Number.isSafeInteger(Number(digits)) ? null : Number(digits);
}

const odd = (name: string) =>
  badRequest(`\`${name}\` of a write is * or one ETag, such as "12", quotes included`, name);
