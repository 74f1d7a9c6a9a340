/** The linearizability checker: is there an order of these operations that a single object explains? */

import type { Operation } from "./history.ts";
import type { Model } from "./model.ts";
import { Search } from "./search.ts";
import { explainViolation, smallestViolation } from "./violation.ts";

/**
 * For each key, and again for each of the dozen searches that shorten a violation. `cost.test.ts` holds
 * 10,000 operations of ten clients to 100,000 steps.
 */
const stepsMaxDefault = 2_000_000;

export type Verdict<Input, Output> =
  | { readonly kind: "linearizable" }
  | {
      readonly kind: "violation";
      readonly key: string;
      /**
       * The shortest beginning of that key's history that no order explains. What had not returned by
       * then has no output in it, whatever became of it later.
       */
      readonly history: Operation<Input, Output>[];
      /** For people, of several lines. */
      readonly explanation: string;
    }
  /** The search was given up: nothing is shown, neither that there is an order nor that there is none. */
  | { readonly kind: "undecided"; readonly key: string };

export interface CheckOptions {
  /** The most steps of the model to take for one key before giving up. */
  readonly stepsMax?: number;
}

/** Checks every key. A violation of any key counts more than an undecided one. */
export function checkHistory<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
  options: CheckOptions = {},
): Verdict<Input, Output> {
  const stepsMax = options.stepsMax ?? stepsMaxDefault;
  let undecided: string | null = null;
  for (const [key, history] of Map.groupBy(operations, (operation) => operation.key)) {
    const finding = new Search(model, history, stepsMax).run();
    if (finding === "none") {
      const smallest = smallestViolation(model, history, stepsMax);
      const explanation = explainViolation(model, smallest, history.length);
      return { kind: "violation", key, history: smallest, explanation };
    }
    if (finding === "undecided") undecided ??= key;
  }
  return undecided === null ? { kind: "linearizable" } : { kind: "undecided", key: undecided };
}
