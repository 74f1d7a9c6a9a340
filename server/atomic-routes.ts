/** `POST /v1/kv/<key>?op=…`: what is done to one value where it is. */

import type { Answer, RequestHead } from "./answer.ts";
import type { AtomicOperation, ClientPort, Failure, Result } from "./client-port.ts";
import { onceOf } from "./idempotency.ts";
import { integerJson, valueJson } from "./json-row.ts";
import { badRequest, refusal } from "./problem.ts";
import { parseQuery, parseTtl, type KnownParameters, type Parameters } from "./query.ts";
import type { Row } from "./state-machine/command.ts";
import { parseInteger } from "./state-machine/integer.ts";
import type { OperationResult } from "./state-machine/transaction.ts";

const known: Readonly<Record<AtomicOperation["op"], KnownParameters>> = {
  incr: { taken: ["op", "by", "min", "max", "ttl"], later: [] },
  max: { taken: ["op", "value"], later: [] },
  min: { taken: ["op", "value"], later: [] },
  append: { taken: ["op", "value"], later: [] },
  getdel: { taken: ["op"], later: [] },
  touch: { taken: ["op", "ttl"], later: [] },
};

export const atomicOperations: readonly string[] = Object.keys(known);
const opNames = atomicOperations.join(", ");
const asWrite = { write: true };

const isAtomic = (op: string): op is AtomicOperation["op"] => Object.hasOwn(known, op);

export interface AtomicCall {
  readonly head: RequestHead;
  readonly target: string;
  readonly key: string;
  readonly query: string;
  readonly body: Uint8Array | Failure;
  /** The answer with the bytes of a row, as a GET of it gives. */
  readonly rowAnswer: (row: Row) => Answer;
}

export async function answerAtomic(call: AtomicCall, store: ClientPort): Promise<Answer> {
  const read = operationOf(call);
  if (!read.ok) return refusal(read, asWrite);
  if (!(call.body instanceof Uint8Array)) return refusal(call.body, asWrite);
  const once = onceOf(call.head, { target: call.target, body: call.body });
  if (!once.ok) return refusal(once, asWrite);
  const answer = await store.atomic(read.operation, once.once);
  if (!answer.ok) return refusal(answer, asWrite);
  const { result, revision } = answer;
  const headers = { "X-KV-Revision": String(revision) };
  if (result.op === "getdel") {
    if (result.row === null) return refusal(notFound, { write: true, headers });
    const { status, headers: described, body } = call.rowAnswer(result.row);
    return { status, headers: { ...described, ...headers }, body };
  }
  if (result.op !== "touch") return jsonAnswer(call.key, result);
  if (result.row === null) return refusal(noKey, { write: true, headers });
  return jsonAnswer(call.key, { op: "append", ...result.row });
}

function jsonAnswer(key: string, result: OperationResult): Answer {
  const revision = "revision" in result ? result.revision : null;
  const body = JSON.stringify({ key, ...shown(result), revision });
  const etag = `"${revision}"`;
  return {
    status: 200,
    headers: {
      "Content-Type": "application/json",
      "X-Content-Type-Options": "nosniff",
      ETag: etag,
      "X-KV-Revision": String(revision),
    },
    body,
  };
}

function shown(result: OperationResult): object {
  if (result.op === "append") return valueJson(result.value);
  return "value" in result ? { value: integerJson(result.value) } : {};
}

const noKey: Failure = { ok: false, code: "not_found", detail: "there is no such key to touch" };

const notFound: Failure = {
  ok: false,
  code: "not_found",
  detail: "there is no such key, so nothing was deleted",
};

function operationOf(call: AtomicCall): Result<{ readonly operation: AtomicOperation }> {
  const op = /(?:^|&)op=([^&]*)/.exec(call.query)?.[1];
  if (op === undefined) {
    return badRequest("a POST on a key needs `op`; to store a value use PUT", "op");
  }
  if (!isAtomic(op)) return badRequest(`\`op\` is one of ${opNames}`, "op");
  const parsed = parseQuery(call.query, known[op]);
  if (!parsed.ok) return parsed;
  if (!(call.body instanceof Uint8Array)) return call.body;
  if (op !== "append" && call.body.byteLength > 0) {
    return badRequest(`\`${op}\` takes no body; name what it needs in the query`, "body");
  }
  const ttl = parseTtl(call.head, parsed.parameters);
  if (!ttl.ok) return ttl;
  if (op !== "incr" && op !== "touch" && ttl.ttlMs !== undefined) {
    return badRequest(`\`${op}\` changes no TTL`, "x-ttl");
  }
  const { parameters } = parsed;
  return withParameters(op, call.key, { parameters, body: call.body, ttlMs: ttl.ttlMs });
}

interface Given {
  readonly parameters: Parameters;
  readonly body: Uint8Array;
  readonly ttlMs: number | undefined;
}

function withParameters(
  op: AtomicOperation["op"],
  key: string,
  given: Given,
): Result<{ readonly operation: AtomicOperation }> {
  switch (op) {
    case "getdel":
      return { ok: true, operation: { op, key } };
    case "append":
      return append(key, given);
    case "incr":
      return increment(key, given);
    case "touch":
      if (given.ttlMs === undefined) return badRequest("`ttl` is missing", "ttl");
      return { ok: true, operation: { op, key, ttlMs: given.ttlMs } };
    default: {
      const value = integerIn(given.parameters, "value");
      if (!value.ok) return value;
      if (value.value === null) return badRequest("`value` is missing", "value");
      return { ok: true, operation: { op, key, value: value.value } };
    }
  }
}

function append(
  key: string,
  { parameters, body }: { readonly parameters: Parameters; readonly body: Uint8Array },
): Result<{ readonly operation: AtomicOperation }> {
  const text = parameters.get("value");
  if (text !== undefined && body.byteLength > 0) {
    return badRequest("what to append is in the body or in `value`, not in both", "value");
  }
  const value = text === undefined ? body : new TextEncoder().encode(text);
  return { ok: true, operation: { op: "append", key, value } };
}

function increment(
  key: string,
  { parameters, ttlMs }: Given,
): Result<{ readonly operation: AtomicOperation }> {
  const [by, min, max] = [
    integerIn(parameters, "by"),
    integerIn(parameters, "min"),
    integerIn(parameters, "max"),
  ] as const;
  if (!by.ok) return by;
  if (!min.ok) return min;
  if (!max.ok) return max;
  if (min.value !== null && max.value !== null && min.value > max.value) {
    return badRequest("`max` is below `min`", "max");
  }
  const bounds = { min: min.value, max: max.value };
  const operation = { op: "incr", key, by: by.value ?? 1n, ...bounds } as const;
  return { ok: true, operation: ttlMs === undefined ? operation : { ...operation, ttlMs } };
}

/** Null where it is not given. */
function integerIn(
  parameters: Parameters,
  name: string,
): Result<{ readonly value: bigint | null }> {
  const text = parameters.get(name);
  if (text === undefined) return { ok: true, value: null };
  const value = parseInteger(text);
  if (value !== null) return { ok: true, value };
  return badRequest(`\`${name}\` is a decimal integer of 64 bits`, name);
}
