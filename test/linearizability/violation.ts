/** Makes a violation small and readable: the beginning of the history that shows it, and why it does. */

import { assert, must } from "../../server/raft/assert.ts";
import type { Operation } from "./history.ts";
import type { Model } from "./model.ts";
import { Search } from "./search.ts";

/** Operations printed of a long list: the last ones of the order, the first ones of the others. */
const linesMax = 12;

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
  let smallest = [...operations];
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const beginning = until(operations, times[middle] ?? 0);
    const finding = new Search(model, beginning, { stepsMax, isTraced: false }).run();
    if (finding.kind === "none") {
      smallest = beginning;
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return smallest;
}

/** The history as it was known at a time: what was running then has no output. */
function until<Input, Output>(
  operations: readonly Operation<Input, Output>[],
  time: number,
): Operation<Input, Output>[] {
  return operations
    .filter(({ callTime }) => callTime <= time)
    .map((one) => (one.returnTime <= time ? one : { ...one, output: null, returnTime: Infinity }));
}

/**
 * Says how far an order goes and what does not fit behind it. The operations must be a violation;
 * `total` is the number of those in the whole history.
 */
export function explainViolation<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
  total: number,
): string {
  // The same search found it before, so it ends.
  const finding = new Search(model, operations, { stepsMax: Infinity, isTraced: true }).run();
  assert(finding.kind === "none", "an explained history is a violation");
  const order = finding.order.map((offset) =>
    must(operations[offset], "an operation it was given"),
  );
  const placed = new Set(order);
  const left = operations.filter((operation) => !placed.has(operation));
  const text = (operation: Operation<Input, Output>): string => line(model, operation);
  const skipped = Math.max(0, order.length - linesMax);
  const key = JSON.stringify(operations[0]?.key);
  return [
    `key ${key}: no order explains the first ${operations.length} of ${total} operations`,
    `the longest order that does places ${order.length}${skipped > 0 ? ", the last of them" : ""}:`,
    ...order.slice(skipped).map(text),
    `which leads to: ${finding.state}`,
    "and behind it does not fit:",
    ...some(left.filter(({ output }) => output !== null).map(text)),
    ...section("nor does it help to place, of unknown outcome:", left.filter(isUnknown).map(text)),
  ].join("\n");
}

function isUnknown<Input, Output>({ output }: Operation<Input, Output>): boolean {
  return output === null;
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [title, ...some(lines)];
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
