/**
 * `/v1/locks/NAME` and `/v1/elections/NAME`: queues in which the first holds the lock, or leads. The
 * token is the revision at which the place was taken: whoever writes under it can be fenced off.
 */

import type { Answer } from "./answer.ts";
import type { ClientPort, Result } from "./client-port.ts";
import { durationForm } from "./duration.ts";
import { leaderJson } from "./leader-json.ts";
import { watchLeaders } from "./leader-watch.ts";
import { Fields, reading } from "./json-fields.ts";
import { bareIn, jsonAnswer, jsonIn, readAnswer, type JsonCall } from "./json-routes.ts";
import { decodedPath, pathOf, queryOf, queuePaths } from "./key-path.ts";
import { methodNotAllowed } from "./key-routes.ts";
import { defaultLimits } from "./limits.ts";
import { badRequest, refusal } from "./problem.ts";
import { parseFlag, parseQuery, type Parameters } from "./query.ts";
import { parseRevision } from "./read-parameters.ts";
import type { Entering, QueueKind } from "./session-port.ts";
import { queueNameProblem } from "./transaction-json.ts";

const asWrite = { write: true };

/** The request, and when its client has gone. */
export interface QueueCall extends JsonCall {
  readonly gone: AbortSignal;
}

interface Named extends QueueCall {
  readonly kind: QueueKind;
  readonly name: string;
}

export async function answerQueue(
  call: QueueCall,
  kind: QueueKind,
  store: ClientPort,
): Promise<Answer | Response> {
  const { method } = call.head;
  const named = nameOf(call.target, kind);
  if (!named.ok) return refusal(named, { write: method !== "GET" && method !== "HEAD" });
  const { name } = named;
  const asked = { ...call, kind, name };
  switch (method) {
    case "GET":
    case "HEAD":
      return show(asked, store);
    case "POST":
      return enter(asked, store);
    case "DELETE":
      return leave(asked, store);
    case "PUT":
      if (kind === "election") return change(asked, store);
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

async function enter(call: Named, store: ClientPort): Promise<Answer> {
  const read = jsonIn(call);
  if (!read.ok) return refusal(read, asWrite);
  const asked = reading(() => enteringIn(new Fields(read.value, ""), call.kind));
  if (!asked.ok) return refusal(asked, asWrite);
  const { gone: signal, kind, name } = call;
  const options = { ...read.once, signal };
  const entered = await store.sessions.enter({ kind, name }, asked.value, options);
  if (!entered.ok) return refusal(entered, asWrite);
  const { token, lease } = entered;
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
  if (watch.flag && call.head.method === "GET") return watchLeaders(call, store.sessions);
  if (isElection) {
    const answer = await store.sessions.leader(call.name);
    if (!answer.ok) return refusal(answer);
    return readAnswer({ leader: leaderJson(answer.leader) }, answer.revision);
  }
  const answer = await store.sessions.lockHolder(call.name);
  if (!answer.ok) return refusal(answer);
  const { holder, waiting, revision } = answer;
  return readAnswer({ name: call.name, holder, waiting }, revision);
}

// ------------------------------------------------------------------ leaving and changing

async function leave(call: Named, store: ClientPort): Promise<Answer> {
  const read = bareIn(call, ["token"]);
  if (!read.ok) return refusal(read, asWrite);
  const token = tokenIn(read.parameters);
  if (!token.ok) return refusal(token, asWrite);
  const { kind, name } = call;
  const done = await store.sessions.leave({ kind, name }, token.token, read.once);
  if (!done.ok) return refusal(done, asWrite);
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
  const about = { token: token.token, value: asked.value };
  const done = await store.sessions.proclaim(call.name, about, read.once);
  if (!done.ok) return refusal(done, asWrite);
  const { name } = call;
  const { revision } = done;
  const headers = { "X-KV-Revision": String(revision) };
  return jsonAnswer(200, { name, token: token.token, revision }, headers);
}

function tokenIn(parameters: Parameters): Result<{ readonly token: number }> {
  const read = parseRevision(parameters, "token");
  if (!read.ok) return read;
  const { revision: token = 0 } = read;
  if (token > 0) return { ok: true, token };
  return badRequest("`token` is the number that was given on entering", "token");
}
