/** `/v1/txn`: conditions and operations over any keys, all or nothing, in one log entry. */

import type { Answer } from "./answer.ts";
import type { ClientPort, Failure } from "./client-port.ts";
import { jsonAnswer, jsonIn, type JsonCall } from "./json-routes.ts";
import { methodNotAllowed } from "./key-routes.ts";
import { refusal } from "./problem.ts";
import type { Transaction } from "./state-machine/transaction.ts";
import { resultJson, transactionOfJson } from "./transaction-json.ts";

const asWrite = { write: true };

export async function answerTransaction(call: JsonCall, store: ClientPort): Promise<Answer> {
  const { method } = call.head;
  if (method !== "POST") return methodNotAllowed(method, "POST");
  const json = jsonIn(call);
  if (!json.ok) return refusal(json, asWrite);
  const read = transactionOfJson(json.value);
  if (!read.ok) return refusal(read, asWrite);
  const answer = await store.transact(read.value, json.once);
  if (!answer.ok) return refusal(named(answer, read.value), asWrite);
  const { succeeded, results, revision } = answer;
  const body = { succeeded, results: results.map(resultJson), revision };
  return jsonAnswer(200, body, { "X-KV-Revision": String(revision) });
}

/**
 * The field with the path to it, where an operation could not be done. Which side was to be done is not
 * told, and not always to be known.
 */
function named(failure: Failure, { conditions, then, otherwise }: Transaction): Failure {
  const number = /^operation (\d+): /.exec(failure.detail)?.[1];
  if (number === undefined) return failure;
  const at = Number(number) - 1;
  const mayBeThen = at < then.length;
  const mayBeElse = at < otherwise.length && conditions.length > 0;
  if (mayBeThen === mayBeElse) return failure;
  const operation = `${mayBeThen ? "then" : "else"}[${at}]`;
  return { ...failure, field: failure.field ? `${operation}.${failure.field}` : operation };
}
