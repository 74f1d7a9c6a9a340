/**
 * `/v1/locks/NAME` and `/v1/elections/NAME`: queues in which the first holds the lock, or leads. The
 * token is the revision at which the place was taken: whoever writes under it can be fenced off.
 */

import type { Answer } from "./answer.ts";
import type { ClientPort, Failure, Result } from "./client-port.ts";
import { durationForm } from "./duration.ts";
import { leaderJson, watchLeaders } from "./leader-watch.ts";
import { Fields, reading } from "./json-fields.ts";
import { bareIn, jsonAnswer, jsonIn, type JsonCall } from "./json-routes.ts";
import { decodedPath, pathOf, queryOf } from "./key-path.ts";
import { methodNotAllowed } from "./key-routes.ts";
import { defaultLimits } from "./limits.ts";
import { badRequest, refusal } from "./problem.ts";
import { parseFlag, parseQuery, type Parameters } from "./query.ts";
import { parseRevision } from "./read-parameters.ts";
import { turnOf, withdraw, type Place } from "./queue-waits.ts";
import { queuePrefix } from "./state-machine/hidden-rows.ts";
import { transactionOf, type Operation } from "./state-machine/transaction.ts";
import { queueNameProblem } from "./transaction-json.ts";

const asWrite = { write: true };

export type QueueKind = "lock" | "election";

const queuePaths: Readonly<Record<QueueKind, string>> = {
  lock: "/v1/locks/",
  election: "/v1/elections/",
};

export interface QueueOptions {
  readonly store: ClientPort;
  readonly nowMs: () => number;
}

/** The request, and when its client has gone. */
export interface QueueCall extends JsonCall {
  readonly gone: AbortSignal;
}

interface Named extends QueueCall {
  readonly kind: QueueKind;
  readonly name: string;
  readonly queue: string;
}

export async function answerQueue(
  call: QueueCall,
  kind: QueueKind,
  options: QueueOptions,
): Promise<Answer | Response> {
  const { method } = call.head;
  const named = nameOf(call.target, kind);
  if (!named.ok) return refusal(named, { write: method !== "GET" && method !== "HEAD" });
  const { name } = named;
  const asked = { ...call, kind, name, queue: `${kind}/${name}` };
  switch (method) {
    case "GET":
    case "HEAD":
      return show(asked, options.store);
    case "POST":
      return enter(asked, options);
    case "DELETE":
      return leave(asked, options.store);
    case "PUT":
      if (kind === "election") return change(asked, options.store);
      break;
    default:
  }
  const methods = kind === "lock" ? "GET, HEAD, POST, DELETE" : "GET, HEAD, POST, PUT, DELETE";
  return methodNotAllowed(method, methods);
}

function nameOf(target: string, kind: QueueKind): Result<{ readonly name: string }> {
  const decoded = decodedPath(pathOf(target).slice(queuePaths[kind].length));
  if (!decoded.ok) return { ...decoded, field: "name" };
  const problem = queueNameProblem(decoded.text);
  return problem === null
    ? { ok: true, name: decoded.text }
    : badRequest(`the name of ${withArticle[kind]} ${problem}`, "name");
}

const withArticle: Readonly<Record<QueueKind, string>> = {
  lock: "a lock",
  election: "an election",
};

// ------------------------------------------------------------------ entering

interface Entering {
  readonly value: Uint8Array;
  readonly lease: number | null;
  readonly ttlMs: number;
  readonly waitMs: number;
}

async function enter(call: Named, { store, nowMs }: QueueOptions): Promise<Answer> {
  const read = jsonIn(call);
  if (!read.ok) return refusal(read, asWrite);
  const asked = reading(() => enteringIn(new Fields(read.value, ""), call.kind));
  if (!asked.ok) return refusal(asked, asWrite);
  const { value, lease, ttlMs, waitMs } = asked.value;
  const { queue, name, gone } = call;
  const join = { op: "join", key: queue, value, lease, ttlMs, waits: waitMs > 0 } as const;
  const answer = await store.transact(transactionOf([], join), read.once);
  if (!answer.ok) return refusal(answer, asWrite);
  const [joined] = answer.results;
  if (joined?.op !== "join" || joined.token === null || joined.lease === null) {
    return refusal(taken, asWrite);
  }
  const { token } = joined;
  // Whose lease stands in the queue already may wait in another request.
  if (waitMs === 0 && !joined.isFirst) return refusal(taken, asWrite);
  const ownTtlMs = lease === null ? ttlMs : null;
  const place: Place = { queue, token, lease: joined.lease, ownTtlMs };
  const turn = await turnOf(place, { store, nowMs, waitMs, gone });
  if (turn === "first") return entered(place, { name, store, gone });
  // It may be its turn yet: whoever asks again under the same idempotency key or lease has his place.
  if (typeof turn === "object") return refusal({ ...turn, outcome: "unknown" }, asWrite);
  return refusal(turn === "late" ? taken : lost, asWrite);
}

async function entered(
  place: Place,
  { name, store, gone }: { name: string; store: ClientPort; gone: AbortSignal },
): Promise<Answer> {
  // Nobody hears that it is his turn.
  if (gone.aborted) await withdraw(place, store);
  const { token, lease } = place;
  return jsonAnswer(200, { name, token, lease }, { "X-KV-Revision": String(token) });
}

function enteringIn(fields: Fields, kind: QueueKind): Entering {
  const max = Number.MAX_SAFE_INTEGER;
  const lease = fields.has("lease") ? fields.count("lease", { min: 1, max }) : null;
  const ttlMs = fields.duration("ttl");
  if (ttlMs === undefined && lease === null) fields.fail("ttl", durationForm);
  const waitMs = fields.get("wait") === 0 ? 0 : (fields.duration("wait") ?? 0);
  const most = defaultLimits.changeWaitMsMax;
  if (waitMs > most) fields.fail("wait", `is ${most / 1_000} seconds at the most`);
  const value = kind === "election" ? fields.value() : new Uint8Array();
  fields.end();
  return { value, lease, ttlMs: ttlMs ?? 1, waitMs };
}

const conflict = (detail: string, field?: string): Failure => ({
  ok: false,
  code: "conflict",
  detail,
  outcome: "not_applied",
  ...(field === undefined ? {} : { field }),
});

const taken = conflict("somebody else is in front; `wait` says how long to wait for one's turn");
const lost = conflict("the place in the queue is gone, because its lease is; ask again");

// ------------------------------------------------------------------ what is there

async function show(call: Named, store: ClientPort): Promise<Answer | Response> {
  const isElection = call.kind === "election";
  const parsed = parseQuery(queryOf(call.target), {
    taken: isElection ? ["watch"] : [],
    later: [],
  });
  if (!parsed.ok) return refusal(parsed);
  const watch = parseFlag(parsed.parameters, "watch");
  if (!watch.ok) return refusal(watch);
  if (watch.flag && call.head.method === "GET") return watchLeaders(call, store);
  const prefix = queuePrefix(call.queue);
  const listed = await store.list({ prefix, limit: 1 });
  if (!listed.ok) return refusal(listed);
  const [first] = listed.rows;
  if (isElection) return jsonAnswer(200, { leader: first ? leaderJson(first) : null });
  const counted = await store.count({ prefix, level: "local", minRevision: listed.revision });
  if (!counted.ok) return refusal(counted);
  const holder = first === undefined ? null : { token: first.createRevision, lease: first.lease };
  const waiting = Math.max(0, counted.count - 1);
  return jsonAnswer(200, { name: call.name, holder, waiting });
}

// ------------------------------------------------------------------ leaving and changing

async function leave(call: Named, store: ClientPort): Promise<Answer> {
  const read = bareIn(call, ["token"]);
  if (!read.ok) return refusal(read, asWrite);
  const token = tokenIn(read.parameters);
  if (!token.ok) return refusal(token, asWrite);
  const operation = { op: "leave", key: call.queue, token: token.token } as const;
  const done = await asHolder(store, operation, read.once);
  if ("ok" in done) return refusal(done, asWrite);
  const { revision } = done;
  return jsonAnswer(200, { released: true, revision }, { "X-KV-Revision": String(revision) });
}

async function change(call: Named, store: ClientPort): Promise<Answer> {
  const read = jsonIn(call, ["token"]);
  if (!read.ok) return refusal(read, asWrite);
  const token = tokenIn(read.parameters);
  if (!token.ok) return refusal(token, asWrite);
  const asked = reading(() => {
    const fields = new Fields(read.value, "");
    const value = fields.value();
    fields.end();
    return value;
  });
  if (!asked.ok) return refusal(asked, asWrite);
  const about = { key: call.queue, token: token.token };
  const operation = { op: "setValue", ...about, value: asked.value } as const;
  const done = await asHolder(store, operation, read.once);
  if ("ok" in done) return refusal(done, asWrite);
  const { name } = call;
  const { revision } = done;
  const headers = { "X-KV-Revision": String(revision) };
  return jsonAnswer(200, { name, token: token.token, revision }, headers);
}

/** Only for whom the token makes the first. */
async function asHolder(
  store: ClientPort,
  operation: Extract<Operation, { readonly op: "leave" | "setValue" }>,
  once: object,
): Promise<{ readonly revision: number } | Failure> {
  const { key, token } = operation;
  const holds = { kind: "holder", key, not: false, token } as const;
  const answer = await store.transact(transactionOf([holds], operation), once);
  if (!answer.ok) return answer;
  if (answer.succeeded) return { revision: answer.revision };
  return conflict(`the token ${token} is not the one that holds it`, "token");
}

function tokenIn(parameters: Parameters): Result<{ readonly token: number }> {
  const read = parseRevision(parameters, "token");
  if (!read.ok) return read;
  const { revision: token = 0 } = read;
  if (token > 0) return { ok: true, token };
  return badRequest("`token` is the number that was given on entering", "token");
}
