/**
 * The definition of linearizability, written down without any thought for time: try every order of
 * every selection of the unknown operations. It shares nothing with the checker or its models: a write
 * with an unknown outcome tries every revision, instead of a state that leaves it open.
 */

import { unreachable } from "../../server/raft/assert.ts";
import type { CounterOperation, RowOperation } from "./examples.ts";
import type { Operation } from "./history.ts";

/** All states that may follow an operation. */
export type Successors<State, Input, Output> = (
  state: State,
  operation: Operation<Input, Output>,
) => State[];

export function hasOrder<State, Input, Output>(
  operations: readonly Operation<Input, Output>[],
  state: State,
  successors: Successors<State, Input, Output>,
): boolean {
  if (operations.every(({ output }) => output === null)) return true;
  return operations.some((next) => {
    const rest = operations.filter((other) => other !== next);
    const isLate = rest.some(
      ({ output, returnTime }) => output !== null && returnTime < next.callTime,
    );
    return !isLate && successors(state, next).some((after) => hasOrder(rest, after, successors));
  });
}

interface ConcreteRow {
  readonly value: string | null;
  readonly revision: number;
}

/** `limit`: the greatest revision that an unknown write is thought to get. */
function rowSuccessors(limit: number) {
  return (row: ConcreteRow, { input, output }: RowOperation): ConcreteRow[] => {
    const isThere = row.value !== null;
    const later = Array.from({ length: limit - row.revision }, (_, i) => row.revision + 1 + i);
    const write = (value: string | null, revision: number | null): ConcreteRow[] =>
      later
        .filter((at) => revision === null || at === revision)
        .map((at) => ({ value, revision: at }));
    switch (input.kind) {
      case "get": {
        if (output === null) return [row];
        if (output.kind !== "get") return [];
        if (output.row === null) return isThere ? [] : [row];
        const { value, revision } = output.row;
        return row.value === value && row.revision === revision ? [row] : [];
      }
      case "delete": {
        if (output === null) return write(null, null);
        if (output.kind !== "delete" || output.deleted !== Number(isThere)) return [];
        // Nobody sees the revision of having deleted nothing, so it may be left out.
        const unseen = !isThere && output.revision === null ? [row] : [];
        return [...unseen, ...write(null, output.revision)];
      }
      case "put":
      case "putIf": {
        const isMet =
          input.kind === "put" ||
          (input.revision === null ? !isThere : isThere && row.revision === input.revision);
        if (output === null) return isMet ? write(input.value, null) : [row];
        if (output.kind === "conflict") {
          return !isMet && output.revision === (isThere ? row.revision : null) ? [row] : [];
        }
        if (output.kind !== "put" || !isMet) return [];
        return output.created === isThere ? [] : write(input.value, output.revision);
      }
      default:
        return unreachable(input);
    }
  };
}

export function isRowLinearizable(operations: readonly RowOperation[]): boolean {
  const revisions = operations.flatMap(({ output }) => {
    if (output?.kind === "get") return output.row?.revision ?? 0;
    return output?.revision ?? 0;
  });
  const limit = Math.max(0, ...revisions) + operations.length;
  return hasOrder(operations, { value: null, revision: 0 }, rowSuccessors(limit));
}

export function isCounterLinearizable(operations: readonly CounterOperation[]): boolean {
  return hasOrder(operations, 0, (value, { input, output }) => {
    const after = input.kind === "incr" ? value + input.by : value;
    return output === null || output === after ? [after] : [];
  });
}
