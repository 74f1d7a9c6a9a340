/** What the checker has to know of an object: how operations change it and what they may answer. */

import type { Operation } from "./history.ts";

/**
 * A state may stand for several: a register that an unknown write has changed holds a revision that
 * nobody has seen yet, and the first read to show it narrows the state down. So a step has one result
 * at most, and there is no need to try every revision the write might have got.
 */
export interface Model<State, Input, Output> {
  initial(): State;
  /**
   * The state that follows; null where the output contradicts the state. An output of null says that
   * the operation happened, but not what it answered. The checker also tries that it did not happen,
   * so null is the right result where happening makes no difference or only rules futures out.
   */
  step(state: State, input: Input, output: Output | null): State | null;
  /** Equal states give equal text, others do not: the key of the cache. Explanations print it too. */
  stateKey(state: State): string;
  describe(input: Input, output: Output | null): string;
  /**
   * Inputs with equal text do the same. Of several unknown operations that do the same only the order
   * of their calls matters, so that 50 of them are 51 cases and not 2^50. Without it none are alike.
   */
  inputKey?(input: Input): string;
  /**
   * Whether it leaves every state as it is in which it can have this output, other than to narrow down
   * what is known of it. Writing what is there already is no read: elsewhere it changes something.
   */
  isRead?(input: Input, output: Output): boolean;
  /** Whether all that can follow the second state can follow the first. Without it: if they are equal. */
  covers?(state: State, other: State): boolean;
  /**
   * What the outputs of one key's operations, all taken together, tell about the unknown ones: the same
   * number of operations in the same order, an unknown one replaced by what is known of it, or by null
   * if it can change nothing. Must not change whether the history is linearizable.
   */
  resolve?(operations: readonly Operation<Input, Output>[]): (Operation<Input, Output> | null)[];
  /**
   * Of each operation of one key, where it must come: in every order that `step` allows, those with
   * outputs come in ascending order of rank; equal ranks, and those without one (null), come in any.
   * Spares the search what cannot succeed.
   */
  ranks?(operations: readonly (Operation<Input, Output> | null)[]): (number | null)[];
}
