/** Short words for histories in tests: `at(client, [call, return], put("a", { revision: 1 }))`. */

import type { Operation } from "./history.ts";
import type {
  CompareAndSetInput,
  CompareAndSetOutput,
  CounterInput,
  CounterOutput,
} from "./models.ts";

/** What is asked and what is answered; null: nobody knows. */
export interface Exchange<Input, Output> {
  readonly input: Input;
  readonly output: Output | null;
}

export type RowOperation = Operation<CompareAndSetInput, CompareAndSetOutput>;
export type RowExchange = Exchange<CompareAndSetInput, CompareAndSetOutput>;
export type CounterOperation = Operation<CounterInput, CounterOutput>;

/** An operation on the key "k". A single time is the call of one that has not returned. */
export function at<Input, Output>(
  client: number,
  [callTime, returnTime = Infinity]: readonly [number, number?],
  { input, output }: Exchange<Input, Output>,
): Operation<Input, Output> {
  return { client, key: "k", input, output, callTime, returnTime };
}

/** The revision at which it was written and whether it was created; without them: outcome unknown. */
export function put(value: string, revision?: number, created: boolean | null = null): RowExchange {
  const output = revision === undefined ? null : ({ kind: "put", revision, created } as const);
  return { input: { kind: "put", value }, output };
}

/** A put on a condition, which wrote a revision, or whose outcome is unknown. */
export function putIf(value: string, expected: number | null, revision?: number): RowExchange {
  const output =
    revision === undefined
      ? null
      : ({ kind: "put", revision, created: expected === null } as const);
  return { input: { kind: "putIf", value, revision: expected }, output };
}

/** A put on a condition that was not met; `actual` is the revision of the row. */
export function conflict(
  value: string,
  expected: number | null,
  actual: number | null,
): RowExchange {
  const input = { kind: "putIf", value, revision: expected } as const;
  return { input, output: { kind: "conflict", revision: actual } };
}

export function get(value: string, revision: number): RowExchange {
  return { input: { kind: "get" }, output: { kind: "get", row: { value, revision } } };
}

export const absent: RowExchange = { input: { kind: "get" }, output: { kind: "get", row: null } };

export const getUnknown: RowExchange = { input: { kind: "get" }, output: null };

/** Without an argument: outcome unknown. */
export function remove(deleted?: 0 | 1, revision: number | null = null): RowExchange {
  const output = deleted === undefined ? null : ({ kind: "delete", deleted, revision } as const);
  return { input: { kind: "delete" }, output };
}

/** The value after it; without one: outcome unknown. */
export function incr(by: number, value?: number): Exchange<CounterInput, CounterOutput> {
  return { input: { kind: "incr", by }, output: value ?? null };
}

export function count(value: number): Exchange<CounterInput, CounterOutput> {
  return { input: { kind: "get" }, output: value };
}
