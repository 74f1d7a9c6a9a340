/** Counters are integers of 64 bits, of which a `number` holds those below 2^53 exactly. */

import { KvError } from "./error.ts";

/** A `number` while it is exact, a `bigint` beyond. */
export type Integer = number | bigint;

/** What the server's JSON has: a number, or digits where a number would not be exact. */
export function integerOf(json: unknown): Integer {
  if (typeof json === "number") return json;
  if (typeof json === "string" && /^-?\d{1,19}$/.test(json)) return BigInt(json);
  throw new KvError("protocol", "the server's answer holds no integer", { outcome: "unknown" });
}
