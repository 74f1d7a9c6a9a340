/**
 * The textbook register: a small number that is read, written, and compared and set, without revisions.
 * Its outputs say little about the order, and its model gives no hints but which operations are reads.
 */

import { unreachable } from "../../server/raft/assert.ts";
import type { Random } from "../raft/random.ts";
import { run, type Shape } from "./generator.ts";
import type { Operation } from "./history.ts";
import type { Model } from "./model.ts";
import { hasOrder } from "./reference.ts";

export type PlainInput =
  | { readonly kind: "read" }
  | { readonly kind: "write"; readonly value: number }
  | { readonly kind: "cas"; readonly from: number; readonly to: number };

/** The value read; of a write 1; of a compare-and-set whether it was set, 1 or 0. */
type PlainOutput = number;

type PlainOperation = Operation<PlainInput, PlainOutput>;

const values = 3;

function perform(value: number, input: PlainInput): { after: number; output: PlainOutput } {
  switch (input.kind) {
    case "read":
      return { after: value, output: value };
    case "write":
      return { after: input.value, output: 1 };
    case "cas": {
      const isSet = value === input.from;
      return { after: isSet ? input.to : value, output: Number(isSet) };
    }
    default:
      return unreachable(input);
  }
}

export const plainRegister: Model<number, PlainInput, PlainOutput> = {
  initial: () => 0,
  step(value, input, expected) {
    const { after, output } = perform(value, input);
    return expected === null || expected === output ? after : null;
  },
  isRead: ({ kind }, output) => kind === "read" || (kind === "cas" && output === 0),
  stateKey: String,
  describe: (input, output) => `${JSON.stringify(input)} → ${output ?? "unknown"}`,
};

export function isPlainLinearizable(operations: readonly PlainOperation[]): boolean {
  return hasOrder(operations, 0, (value, { input, output: expected }) => {
    const { after, output } = perform(value, input);
    return expected === null || expected === output ? [after] : [];
  });
}

export function plainHistory(random: Random, shape: Shape): PlainOperation[] {
  let value = 0;
  return run(random, shape, (isApplied) => {
    const input = random.pick<PlainInput>([
      { kind: "read" },
      { kind: "write", value: random.below(values) },
      { kind: "cas", from: random.below(values), to: random.below(values) },
    ]);
    const { after, output } = perform(value, input);
    if (isApplied) value = after;
    return { input, output };
  });
}

export function otherPlainOutput(random: Random, output: PlainOutput): PlainOutput {
  return (output + 1 + random.below(values - 1)) % values;
}
