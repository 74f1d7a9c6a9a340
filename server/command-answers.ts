/** Writes with conditions as commands, and what the state machine says of commands as answers. */

import type {
  AtomicAnswer,
  DeleteAnswer,
  DeleteRangeAnswer,
  Failure,
  Match,
  PutAnswer,
  Result,
  TransactionAnswer,
  WriteOptions,
} from "./client-port.ts";
import { assert } from "./raft/assert.ts";
import type { Index } from "./raft/entry.ts";
import { fingerprintOf } from "./idempotency.ts";
import { encodeCommand } from "./state-machine/codec.ts";
import type {
  Command,
  CommandResult,
  DeleteCommand,
  MismatchResult,
  PlainCommand,
} from "./state-machine/command.ts";
import {
  transactionOf,
  type Condition,
  type FailedResult,
  type Operation,
  type OperationResult,
  type Transaction,
} from "./state-machine/transaction.ts";

/** What was executed, now or under its idempotency key before. */
export type Executed = Exclude<CommandResult, { readonly op: "refused" | "mismatch" | "expired" }>;

/** As it goes into the log: to be done once, where it comes under an idempotency key. */
export function commandOf(
  command: PlainCommand,
  { idempotencyKey: requestKey, fingerprint }: WriteOptions,
): Command {
  if (requestKey === undefined) return command;
  const own = fingerprint ?? fingerprintOf(encodeCommand(command));
  return { op: "once", requestKey, fingerprint: own, command };
}

/** The rest of what may come of a command is a failure whatever was asked. */
export function executedIn(result: CommandResult): Result<{ readonly result: Executed }> {
  if (result.op === "mismatch") return mismatches[result.why];
  assert(result.op !== "expired", "nobody asks for it");
  if (result.op !== "refused") return { ok: true, result };
  return { ok: false, code: "bad_request", detail: result.detail, outcome: "not_applied" };
}

const mismatch = (detail: string): Failure => ({
  ok: false,
  code: "idempotency_mismatch",
  detail,
  field: "idempotency-key",
  outcome: "not_applied",
});

const mismatches: Readonly<Record<MismatchResult["why"], Failure>> = {
  "other request": mismatch(
    "another request has used this idempotency key; nothing was done, take a new key",
  ),
  expired: mismatch(
    "the request of this idempotency key was executed too long ago to be answered again; " +
      "nothing was done now",
  ),
};

export const isConditional = ({ ifMatch, ifNoneMatch }: WriteOptions): boolean =>
  ifMatch !== undefined || ifNoneMatch !== undefined;

/** Where the conditions do not hold, it looks up the revision that stands in the way. */
export function conditionally(
  command: Extract<Operation, { readonly op: "put" }> | DeleteCommand,
  { ifMatch, ifNoneMatch }: WriteOptions,
): Transaction {
  const { key } = command;
  const conditions: Condition[] = [];
  if (ifMatch !== undefined) conditions.push(conditionOf(key, ifMatch, false));
  if (ifNoneMatch !== undefined) conditions.push(conditionOf(key, ifNoneMatch, true));
  return transactionOf(conditions, command, { op: "revision", key });
}

const conditionOf = (key: string, match: Match, not: boolean): Condition =>
  match === "*" ? { kind: "exists", key, not } : { kind: "revision", key, not, revision: match };

export function putAnswer(executed: Executed): PutAnswer {
  if (executed.op === "put") {
    return { ok: true, created: executed.created, revision: executed.revision };
  }
  const done = oneResult(executed);
  if ("ok" in done) return done;
  const { result, revision } = done;
  if (result.op === "revision") return conditionFailed(result.revision);
  assert(result.op === "put", "a put is answered as a put");
  return { ok: true, created: result.created, revision };
}

export function deleteAnswer(executed: Executed): DeleteAnswer {
  if (executed.op === "delete") {
    return { ok: true, deleted: executed.deleted, revision: executed.revision };
  }
  const done = oneResult(executed);
  if ("ok" in done) return done;
  const { result, revision } = done;
  if (result.op === "revision") return conditionFailed(result.revision);
  assert(result.op === "delete", "a delete is answered as a delete");
  return { ok: true, deleted: result.deleted, revision };
}

export function atomicAnswer(executed: Executed): AtomicAnswer {
  const done = oneResult(executed);
  return "ok" in done ? done : { ok: true, ...done };
}

export function deleteRangeAnswer(executed: Executed): DeleteRangeAnswer {
  const done = oneResult(executed);
  if ("ok" in done) return done;
  const { result, revision } = done;
  assert(result.op === "deleteRange", "a range is deleted as a range");
  return { ok: true, deleted: result.deleted, revision };
}

export function transactionAnswer(executed: Executed): TransactionAnswer {
  if (executed.op === "failed") {
    const { position, detail } = executed;
    return failureOf({ ...executed, detail: `operation ${position + 1}: ${detail}` });
  }
  assert(executed.op === "transaction", "a transaction is answered as a transaction");
  const { succeeded, results, revision } = executed;
  return { ok: true, succeeded, results, revision };
}

/** Only a transaction has so much in it. */
export const tooLarge = (detail: string): Failure => ({
  ok: false,
  code: "too_large",
  detail,
  field: "body",
  outcome: "not_applied",
});

function oneResult(
  executed: Executed,
): Failure | { readonly result: OperationResult; readonly revision: Index } {
  if (executed.op === "failed") {
    return failureOf(executed);
  }
  assert(executed.op === "transaction", "a transaction is answered as a transaction");
  const [result] = executed.results;
  assert(result !== undefined, "each operation has a result");
  return { result, revision: executed.revision };
}

/** What is remembered of an operation that could not be done says it in words alone. */
const fieldsOfDetails: readonly (readonly [end: RegExp, field: string])[] = [
  [/ would be below -?\d+$/, "min"],
  [/ would be above -?\d+$/, "max"],
  [/ is not a decimal integer of 64 bits$/, "key"],
  [/ is not an integer of 64 bits$/, "by"],
  [/ bytes long, the most is \d+$/, "value"],
  [/; name a smaller one or a limit$/, "limit"],
];

function failureOf({ code, detail }: FailedResult): Failure {
  const failure = { ok: false, code, detail, outcome: "not_applied" } as const;
  const inWords = fieldsOfDetails.find(([end]) => end.test(detail));
  const field = code === "not_found" ? "lease" : inWords?.[1];
  return field === undefined ? failure : { ...failure, field };
}

/** `found`: null where there is no row. */
function conditionFailed(found: Index | null): Failure {
  const is = found === null ? "the key is not there" : `the key is there at revision ${found}`;
  return {
    ok: false,
    code: "condition_failed",
    detail: `${is}, and the condition is another`,
    outcome: "not_applied",
    ...(found === null ? {} : { revision: found }),
  };
}
