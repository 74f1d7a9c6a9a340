/** Makes a violation small and readable: the beginning of the history that shows it, and why it does. */

import { must } from "../../server/raft/assert.ts";
import type { Operation } from "./history.ts";
import type { Model } from "./model.ts";
import { Search } from "./search.ts";

/** Operations printed of a long list: the last ones of the order, the first ones of the others. */
const linesMax = 12;
/** For an order to print; that there is none with the last return is known by then. */
const orderStepsMax = 2_000_000;

/**
 * The shortest beginning of a history, up to some return, that is not linearizable. Beginnings of
 * linearizable histories are linearizable, so halving finds it. The history as a whole must be a
 * violation; a beginning that cannot be decided counts as good, and the result is then longer.
 */
export function smallestViolation<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
  stepsMax: number,
): Operation<Input, Output>[] {
  const returns = operations.filter(({ output }) => output !== null);
  const times = [...new Set(returns.map(({ returnTime }) => returnTime))].sort((a, b) => a - b);
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const beginning = until(operations, times[middle] ?? 0);
    const finding = new Search(model, beginning, stepsMax).run();
    if (finding === "none") high = middle;
    else low = middle + 1;
  }
  return until(operations, times[high] ?? 0);
}

/** The history as it was known at a time: what was running then has no output. */
function until<Input, Output>(
  operations: readonly Operation<Input, Output>[],
  time: number,
): Operation<Input, Output>[] {
  return operations
    .filter(({ callTime }) => callTime <= time)
    .map((one) => (one.returnTime <= time ? one : open(one)));
}

/** The operation as it was known before it returned. */
function open<Input, Output>(operation: Operation<Input, Output>): Operation<Input, Output> {
  return { ...operation, output: null, returnTime: Infinity };
}

/**
 * Shows an order of all that was known before the last return, and what returned then, which no such
 * order has room for. `total` is the number of operations in the whole history.
 */
export function explainViolation<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
  total: number,
): string {
  const ends = operations.filter(({ output }) => output !== null).map((one) => one.returnTime);
  const last = Math.max(...ends);
  const text = (operation: Operation<Input, Output>): string => line(model, operation);
  const key = JSON.stringify(operations[0]?.key);
  return [
    `key ${key}: no order explains the first ${operations.length} of ${total} operations`,
    ...orderBefore(model, operations, last),
    `no order has room for what returned at ${last}:`,
    ...some(operations.filter(({ returnTime }) => returnTime === last).map(text)),
  ].join("\n");
}

function orderBefore<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
  time: number,
): string[] {
  const before = operations.map((one) => (one.returnTime < time ? one : open(one)));
  const search = new Search(model, before, orderStepsMax);
  if (search.run() !== "found") return ["the search for an order of those before it was given up"];
  const { offsets, state } = search.order();
  const text = (offset: number): string =>
    line(model, must(before[offset], "an operation it was given"));
  const placed = new Set(offsets);
  const left = [...before.keys()].filter(
    (offset) => !placed.has(offset) && operations[offset]?.returnTime !== time,
  );
  const skipped = Math.max(0, offsets.length - linesMax);
  return [
    `an order of what was known before${skipped > 0 ? `, ${skipped} operations and then` : ""}:`,
    ...offsets.slice(skipped).map(text),
    `  which leads to ${state}`,
    ...(left.length === 0 ? [] : ["not in it, their outcome being unknown by then:"]),
    ...some(left.map(text)),
  ];
}

function some(lines: readonly string[]): string[] {
  if (lines.length <= linesMax) return [...lines];
  return [...lines.slice(0, linesMax), `  and ${lines.length - linesMax} more`];
}

function line<State, Input, Output>(
  model: Model<State, Input, Output>,
  { client, callTime, returnTime, input, output }: Operation<Input, Output>,
): string {
  const end = output === null ? "…" : returnTime;
  return `  [${callTime}, ${end}] client ${client}: ${model.describe(input, output)}`;
}
