/** `/v1/kv/<key>`: one row as an HTTP resource, its value the body and its revision the ETag. */

import type { Answer, Asker, RequestHead } from "./answer.ts";
import type {
  ClientPort,
  Failure,
  GetAnswer,
  PutAnswer,
  ReadMeta,
  ReadOptions,
  Result,
  WriteOptions,
} from "./client-port.ts";
import { isConditional } from "./command-answers.ts";
import { answerAtomic } from "./atomic-routes.ts";
import { conditionsOf, failedCondition, type Conditions } from "./conditions.ts";
import { keyOfPath, pathOf, queryOf } from "./key-path.ts";
import { laterHeader, refusedHeader } from "./later-headers.ts";
import { onceOf } from "./idempotency.ts";
import { defaultLimits } from "./limits.ts";
import { getChanged, type Wait } from "./long-poll.ts";
import { badRequest, refusal } from "./problem.ts";
import {
  type KnownParameters,
  type Parameters,
  parseLease,
  parseQuery,
  parseTtl,
} from "./query.ts";
import { parseRevision, parseTime, readOptionsOf, readParameters } from "./read-parameters.ts";
import { contentTypeBytesMax, type Row } from "./state-machine/command.ts";

const putParameters: KnownParameters = { taken: ["ttl", "lease"], later: [] };
const deleteParameters: KnownParameters = { taken: [], later: [] };
const getParameters: KnownParameters = { taken: [...readParameters, "wait", "after"], later: [] };

const contentTypeDefault = "application/octet-stream";
/** Printable ASCII only: it goes back out as a header. */
const contentTypeForm = /^[ -~]+$/;

/**
 * Values are what anybody stored. A browser that shows one treats it as a page of no origin, without
 * scripts, and no other site's page may embed it.
 */
const valueHeaders = {
  "Content-Security-Policy": "default-src 'none'; sandbox",
  "X-Content-Type-Options": "nosniff",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cache-Control": "no-cache",
};

const keyMethods = "GET, HEAD, PUT, DELETE, POST";

export interface KeyRequest {
  readonly head: RequestHead;
  readonly target: string;
  /** The bytes, or why they were not read. */
  readonly body: Uint8Array | Failure;
  readonly asker: Asker;
}

/** Answers every method on the key that `target` names. */
export function answerKey(request: KeyRequest, store: ClientPort): Answer | Promise<Answer> {
  const { head, target, body, asker } = request;
  const { method } = head;
  const write = method !== "GET" && method !== "HEAD";
  const path = keyOfPath(pathOf(target));
  if (!path.ok) return refusal(path, { write });
  const call: KeyCall = { head, target, body, asker, key: path.key, query: queryOf(target) };
  switch (method) {
    case "GET":
    case "HEAD":
      return get(call, store);
    case "PUT":
      return put(call, store);
    case "DELETE":
      return remove(call, store);
    case "POST":
      return post(call, store);
    default:
      return methodNotAllowed(method, keyMethods);
  }
}

/** The refusal of a method, with those that are taken. */
export function methodNotAllowed(method: string, allowed: string): Answer {
  const detail = `use one of ${allowed}`;
  const write = method !== "GET" && method !== "HEAD" && method !== "OPTIONS";
  return refusal(
    { ok: false, code: "method_not_allowed", detail },
    { write, headers: { Allow: allowed } },
  );
}

interface KeyCall extends KeyRequest {
  readonly key: string;
  readonly query: string;
}

function put(
  { head, target, body, key, query }: KeyCall,
  store: ClientPort,
): Answer | Promise<Answer> {
  const parsed = parseQuery(query, putParameters);
  if (!parsed.ok) return refusal(parsed, { write: true });
  const contentType = head.headers.get("content-type");
  const refused = refusedHeader(head) ?? refusedForm(head, contentType);
  if (refused !== null) return refusal(refused, { write: true });
  if (!(body instanceof Uint8Array)) return refusal(body, { write: true });
  const asked = conditionsOf(head);
  if (!asked.ok) return refusal(asked, { write: true });
  const once = onceOf(head, { target, body });
  if (!once.ok) return refusal(once, { write: true });
  const ttl = parseTtl(head, parsed.parameters);
  if (!ttl.ok) return refusal(ttl, { write: true });
  const leased = parseLease(head, parsed.parameters);
  if (!leased.ok) return refusal(leased, { write: true });
  const { ttlMs } = ttl;
  const { lease } = leased;
  if (ttlMs !== undefined && lease !== undefined) return refusal(bothTimes, { write: true });
  // Of most puts nothing more is asked.
  const options: WriteOptions = { contentType };
  if (isConditional(asked.conditions)) Object.assign(options, asked.conditions);
  if (once.once.idempotencyKey !== undefined) Object.assign(options, once.once);
  if (ttlMs !== undefined) Object.assign(options, { ttlMs });
  if (lease !== undefined) Object.assign(options, { lease });
  return store.put(key, body, options).then((answer) => putAnswer(key, answer, options));
}

/** A condition that did not hold is named. */
function refusedWrite(failure: Failure, options: Conditions): Answer {
  if (failure.code !== "condition_failed") return refusal(failure, { write: true });
  const field = failedCondition(options, failure.revision);
  return refusal(field === undefined ? failure : { ...failure, field }, { write: true });
}

function putAnswer(key: string, answer: PutAnswer, options: WriteOptions): Answer {
  if (!answer.ok) return refusedWrite(answer, options);
  const { revision, created } = answer;
  return {
    status: created ? 201 : 200,
    headers: {
      "Content-Type": "application/json",
      ETag: `"${revision}"`,
      "X-KV-Revision": String(revision),
    },
    body: `{"key":${JSON.stringify(key)},"revision":${revision}}`,
  };
}

const bothTimes = badRequest("`lease` does not go with a TTL: the lease has one", "lease");

async function remove(
  { head, target, body, key, query }: KeyCall,
  store: ClientPort,
): Promise<Answer> {
  const parsed = parseQuery(query, deleteParameters);
  if (!parsed.ok) return refusal(parsed, { write: true });
  const refused = refusedHeader(head);
  if (refused !== null) return refusal(refused, { write: true });
  const asked = conditionsOf(head);
  if (!asked.ok) return refusal(asked, { write: true });
  for (const name of ["x-ttl", "x-lease"]) {
    if (!head.headers.has(name)) continue;
    return refusal(badRequest(`\`${name}\` is for what stays a while`, name), { write: true });
  }
  if (!(body instanceof Uint8Array)) return refusal(body, { write: true });
  const once = onceOf(head, { target, body });
  if (!once.ok) return refusal(once, { write: true });
  const answer = await store.delete(key, { ...asked.conditions, ...once.once });
  if (!answer.ok) return refusedWrite(answer, asked.conditions);
  return {
    status: 200,
    headers: { "Content-Type": "application/json", "X-KV-Revision": String(answer.revision) },
    body: `{"deleted":${answer.deleted},"revision":${answer.revision}}`,
  };
}

const newest: ReadOptions = {};

function get(call: KeyCall, store: ClientPort): Answer | Promise<Answer> {
  const { head, key, query } = call;
  if (query !== "" || head.headers.has("if-match")) return getAsAsked(call, store);
  return store.get(key, newest).then((answer) => getAnswer(head, answer, newest));
}

async function getAsAsked(
  { head, key, query, asker }: KeyCall,
  store: ClientPort,
): Promise<Answer> {
  const parsed = parseQuery(query, getParameters);
  if (!parsed.ok) return refusal(parsed);
  const { parameters } = parsed;
  const recent = readOptionsOf(parameters);
  if (!recent.ok) return refusal(recent);
  if (head.headers.has("if-match")) return refusal(laterHeader("if-match"));
  const { options } = recent;
  if (!parameters.has("wait")) {
    if (parameters.has("after")) return refusal(badRequest("`after` goes with `wait`", "after"));
    return getAnswer(head, await store.get(key, options), options);
  }
  const wait = waitOf(parameters);
  if (!wait.ok) return refusal(wait);
  const watched = { ...options, signal: asker.gone() };
  const found = await getChanged(store, key, { wait: wait.wait, options: watched });
  if (found.kind === "unchanged") return unchanged(found.answer, options);
  return getAnswer(head, found.answer, options);
}

function getAnswer(head: RequestHead, answer: GetAnswer, asked: ReadOptions): Answer {
  if (!answer.ok) return refusal(answer);
  const { row } = answer;
  if (row === null) return refusal(notFound, { headers: goneHeaders(answer, asked) });
  const known = head.headers.get("if-none-match");
  if (known !== null && matches(known, `"${row.revision}"`)) return unchanged(answer, asked);
  return rowAnswer(head, row, { read: answer, asked });
}

type Got = Extract<GetAnswer, { readonly ok: true }>;

/** Of a key without a row: `X-KV-Revision` is that of the state, behind which one can wait for it. */
function goneHeaders(answer: Got, asked: ReadOptions): Record<string, string> {
  const headers = readHeaders(answer, asked);
  if (answer.revision !== undefined) headers["X-KV-Revision"] = String(answer.revision);
  return headers;
}

function unchanged(answer: Got, asked: ReadOptions): Answer {
  const { row } = answer;
  if (row === null) {
    const headers = { ...goneHeaders(answer, asked), "Cache-Control": "no-cache" };
    return { status: 304, headers, body: null };
  }
  const revision = String(row.revision);
  const about = { ETag: `"${revision}"`, "X-KV-Revision": revision, ...readHeaders(answer, asked) };
  const headers: Record<string, string> = { ...about, ...valueHeaders };
  addHistory(headers, row);
  return { status: 304, headers, body: null };
}

function waitOf(parameters: Parameters): Result<{ readonly wait: Wait }> {
  const time = parseTime(parameters, "wait", defaultLimits.changeWaitMsMax);
  if (!time.ok) return time;
  const after = parseRevision(parameters, "after");
  if (!after.ok) return after;
  return { ok: true, wait: { ms: time.ms ?? 0, after: after.revision } };
}

async function post(
  { head, target, key, query, body }: KeyCall,
  store: ClientPort,
): Promise<Answer> {
  for (const name of ["if-match", "if-none-match"]) {
    if (!head.headers.has(name)) continue;
    return refusal(badRequest(`\`${name}\` is for PUT and DELETE`, name), { write: true });
  }
  const refused = refusedHeader(head);
  if (refused !== null) return refusal(refused, { write: true });
  return answerAtomic({ head, target, key, query, body, rowAnswer: valueAnswer }, store);
}

const notFound: Failure = {
  ok: false,
  code: "not_found",
  detail: "there is no such key; keys are case-sensitive and slashes belong to them",
};

/** What every answer to a read says about how it was read: each bound that it was asked to keep. */
export function readHeaders(answer: ReadMeta, asked: ReadOptions): Record<string, string> {
  const headers: Record<string, string> = { "X-KV-Level": answer.level };
  if (answer.level === "local" && typeof answer.ageMs === "number") {
    headers["X-KV-Age"] = String(Math.round(answer.ageMs));
  }
  if (asked.minRevision !== undefined) headers["X-KV-Min-Revision"] = String(asked.minRevision);
  return headers;
}

function rowAnswer(
  head: RequestHead,
  row: Row,
  { read, asked }: { readonly read: ReadMeta; readonly asked: ReadOptions },
): Answer {
  const revision = String(row.revision);
  // In one piece: this is made for every read.
  const headers: Record<string, string> = {
    ETag: `"${revision}"`,
    "X-KV-Revision": revision,
    "X-KV-Level": read.level,
    "Content-Security-Policy": valueHeaders["Content-Security-Policy"],
    "X-Content-Type-Options": valueHeaders["X-Content-Type-Options"],
    "Cross-Origin-Resource-Policy": valueHeaders["Cross-Origin-Resource-Policy"],
    "Cache-Control": valueHeaders["Cache-Control"],
    "Content-Type": contentTypeOf(row),
    "Content-Length": String(row.value.length),
  };
  if (asked !== newest) Object.assign(headers, readHeaders(read, asked));
  addHistory(headers, row);
  return { status: 200, headers, body: head.method === "HEAD" ? null : row.value };
}

/** What is to be said of some rows only: that they have been changed, or that they go. */
function addHistory(headers: Record<string, string>, row: Row): void {
  if (row.createRevision !== row.revision) {
    headers["X-KV-Create-Revision"] = String(row.createRevision);
  }
  if (row.ttlMs !== undefined) headers["X-TTL"] = String(row.ttlMs / 1000);
}

/** The value of a row that nothing else is said of. */
function valueAnswer(row: Row): Answer {
  const about = {
    "Content-Type": contentTypeOf(row),
    "Content-Length": String(row.value.length),
  };
  return { status: 200, headers: { ...valueHeaders, ...about }, body: row.value };
}

/** RFC 9110 §13.1.2: a list of entity tags, compared weakly, or `*`. */
function matches(condition: string, etag: string): boolean {
  if (condition.trim() === "*") return true;
  return condition.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag);
}

/** A type that some other client stored may be none that a header can hold. */
function contentTypeOf(row: Row): string {
  const type = row.contentType;
  return type !== null && contentTypeForm.test(type) ? type : contentTypeDefault;
}

/** RFC 9110 §9.3.4 forbids to take part of a value for the whole; a coding would be lost on reading. */
function refusedForm({ headers }: RequestHead, contentType: string | null): Failure | null {
  if (contentType !== null) {
    if (contentType.length > contentTypeBytesMax || !contentTypeForm.test(contentType)) {
      const detail = `the content type is not 1 to ${contentTypeBytesMax} printable ASCII characters`;
      return badRequest(detail, "content-type");
    }
  }
  if (headers.has("content-range")) {
    return badRequest("a part of a value cannot be put; send the whole", "content-range");
  }
  const coding = headers.get("content-encoding");
  if (coding === null || coding.toLowerCase() === "identity") return null;
  return {
    ok: false,
    code: "unsupported_media_type",
    detail: "values are stored as sent, without a content encoding; say what it is in Content-Type",
    field: "content-encoding",
  };
}
