/** Random histories: of a single object, which are linearizable, and damaged ones, which may not be. */

import { unreachable } from "../../server/raft/assert.ts";
import type { Random } from "../raft/random.ts";
import type { CounterOperation, RowOperation } from "./examples.ts";
import type { Operation } from "./history.ts";
import type { CompareAndSetInput, CompareAndSetOutput, CounterInput } from "./models.ts";

export interface Shape {
  readonly clients: number;
  readonly operations: number;
  /** Operations whose outcome the client does not learn; half of them never happen. */
  readonly unknown: number;
  /** Longest time from a call to its effect, and from there to its return. */
  readonly durationMax: number;
  /** Longest time from a client's return to its next call. */
  readonly pauseMax: number;
}

/** When an operation is called, happens (null: never) and returns. */
interface Timing {
  readonly client: number;
  readonly callTime: number;
  readonly effectTime: number | null;
  readonly returnTime: number;
  readonly isUnknown: boolean;
}

function timings(random: Random, shape: Shape): Timing[] {
  const clocks = Array.from({ length: shape.clients }, () => random.below(shape.pauseMax + 1));
  const unknown = new Set<number>();
  while (unknown.size < Math.min(shape.unknown, shape.operations)) {
    unknown.add(random.below(shape.operations));
  }
  const result: Timing[] = [];
  for (let i = 0; i < shape.operations; i++) {
    const client = clocks.indexOf(Math.min(...clocks));
    const callTime = clocks[client] ?? 0;
    const duration = random.below(shape.durationMax + 1);
    const returnTime = callTime + duration + random.below(shape.durationMax + 1);
    const isUnknown = unknown.has(i);
    const delay = isUnknown ? random.below(10 * shape.durationMax) : duration;
    const effectTime = isUnknown && random.below(2) === 0 ? null : callTime + delay;
    result.push({ client, callTime, effectTime, returnTime, isUnknown });
    clocks[client] = returnTime + random.below(shape.pauseMax + 1);
  }
  return result;
}

/**
 * Runs operations in the order of their effects. `perform` chooses one and says what it answers;
 * `isApplied` is false where it never happens, and the answer counts for nothing.
 */
export function run<Input, Output>(
  random: Random,
  shape: Shape,
  perform: (isApplied: boolean) => { input: Input; output: Output },
): Operation<Input, Output>[] {
  return timings(random, shape)
    .map((timing) => ({ timing, order: random.float() }))
    .sort(
      (a, b) =>
        (a.timing.effectTime ?? a.timing.callTime) - (b.timing.effectTime ?? b.timing.callTime) ||
        a.order - b.order,
    )
    .map(({ timing: { client, callTime, effectTime, returnTime, isUnknown } }) => {
      const { input, output } = perform(effectTime !== null);
      const seen = isUnknown ? { output: null, returnTime: Infinity } : { output, returnTime };
      return { client, key: "k", input, callTime, ...seen };
    })
    .sort((a, b) => a.callTime - b.callTime);
}

/** `values`: how many different ones are written; Infinity: each once. */
export function rowHistory(random: Random, shape: Shape, values: number): RowOperation[] {
  let row: { value: string; revision: number } | null = null;
  let revision = 0;
  let writes = 0;
  const perform = (input: CompareAndSetInput): CompareAndSetOutput => {
    const before = row;
    if (input.kind === "get") return { kind: "get", row: before };
    if (input.kind === "putIf" && input.revision !== (before?.revision ?? null)) {
      return { kind: "conflict", revision: before?.revision ?? null };
    }
    revision += 1 + random.below(2);
    if (input.kind === "delete") {
      row = null;
      return { kind: "delete", deleted: before === null ? 0 : 1, revision };
    }
    row = { value: input.value, revision };
    return { kind: "put", revision, created: before === null };
  };
  return run(random, shape, (isApplied) => {
    const value = `v${writes++ % values}`;
    const input = rowInput(random, value, row?.revision ?? null, revision);
    return { input, output: isApplied ? perform(input) : { kind: "get", row } };
  });
}

function rowInput(
  random: Random,
  value: string,
  current: number | null,
  latest: number,
): CompareAndSetInput {
  const choice = random.below(10);
  if (choice < 4) return { kind: "get" };
  if (choice < 7) return { kind: "put", value };
  if (choice < 8) return { kind: "delete" };
  const other = random.below(3) === 0 ? null : 1 + random.below(latest + 1);
  return { kind: "putIf", value, revision: choice < 9 ? current : other };
}

/** `amounts`: what increments choose from. */
export function counterHistory(
  random: Random,
  shape: Shape,
  amounts: readonly number[],
): CounterOperation[] {
  let value = 0;
  return run(random, shape, (isApplied) => {
    const input: CounterInput =
      random.below(3) === 0 ? { kind: "get" } : { kind: "incr", by: random.pick(amounts) };
    if (isApplied && input.kind === "incr") value += input.by;
    return { input, output: value };
  });
}

/** Changes one operation: its times, its output, or both with another's. */
export function damaged<Input, Output>(
  random: Random,
  history: readonly Operation<Input, Output>[],
  change: (random: Random, output: Output) => Output,
): Operation<Input, Output>[] {
  const target = random.pick(history);
  return history.map((operation) => {
    if (operation !== target) return operation;
    const { output, callTime, returnTime } = operation;
    if (output === null) return { ...operation, callTime: callTime + random.below(6) };
    switch (random.below(5)) {
      case 0:
        return { ...operation, returnTime: callTime + random.below(returnTime - callTime + 1) };
      case 1:
        return { ...operation, callTime: callTime + random.below(returnTime - callTime + 1) };
      case 2: {
        const shift = random.below(13) - 6;
        return { ...operation, callTime: callTime + shift, returnTime: returnTime + shift };
      }
      default:
        return { ...operation, output: change(random, output) };
    }
  });
}

/** Another output of the same kind. */
export function otherRowOutput(random: Random, output: CompareAndSetOutput): CompareAndSetOutput {
  const near = (revision: number): number => Math.max(1, revision + random.pick([-2, -1, 1, 2]));
  switch (output.kind) {
    case "put":
      return random.below(2) === 0
        ? { ...output, revision: near(output.revision) }
        : { ...output, created: output.created === false };
    case "get": {
      const row = output.row ?? { value: "v1", revision: 3 };
      const choice = random.below(3);
      if (choice === 0) return { kind: "get", row: null };
      if (choice === 1) return { kind: "get", row: { ...row, revision: near(row.revision) } };
      return { kind: "get", row: { ...row, value: `v${random.below(3)}` } };
    }
    case "delete":
      if (random.below(2) === 0) return { ...output, deleted: output.deleted === 1 ? 0 : 1 };
      return { ...output, revision: output.revision === null ? null : near(output.revision) };
    case "conflict": {
      const isAbsent = random.below(2) === 0;
      return { kind: "conflict", revision: isAbsent ? null : near(output.revision ?? 3) };
    }
    default:
      return unreachable(output);
  }
}

export function otherCount(random: Random, output: number): number {
  return output + random.pick([-2, -1, 1, 2]);
}
