/**
 * The keys `.` and `..`: URLs cannot hold them as the last part of a path, escaped or not, so they are
 * written by transactions.
 */

import { KvError } from "./error.ts";
import type { Matches } from "./request-parts.ts";
import type {
  CommitOptions,
  Condition,
  Operation,
  Transaction,
  TransactionResult,
} from "./transaction.ts";

export const isDotKey = (key: string): boolean => key === "." || key === "..";

export async function writeDotKey(
  transaction: Transaction,
  operations: readonly (Operation & { readonly key: string })[],
  options: Matches & CommitOptions,
): Promise<TransactionResult> {
  const key = operations[0]?.key ?? ".";
  const conditions = conditionsOf(key, options);
  const answer = await transaction
    .when(...conditions)
    .do(...operations)
    .otherwise({ op: "get", key })
    .commit(options);
  if (answer.succeeded) return answer;
  const [found] = answer.results;
  const revision = found?.op === "get" ? (found.entry?.revision ?? 0) : 0;
  const detail = "the condition does not hold";
  throw new KvError("condition_failed", detail, { outcome: "not_applied", revision });
}

function conditionsOf(key: string, { ifMatch, ifNoneMatch }: Matches): Condition[] {
  const conditions: Condition[] = [];
  const add = (match: number | "*", not: boolean): void => {
    const what = match === "*" ? { exists: true } : { revision: match };
    conditions.push({ key, not, ...what });
  };
  if (ifMatch !== undefined) add(ifMatch, false);
  if (ifNoneMatch !== undefined) add(ifNoneMatch, true);
  return conditions;
}
