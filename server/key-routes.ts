/** `/v1/kv/<key>`: one row as an HTTP resource, its value the body and its revision the ETag. */

import type { ClientPort, Failure, ReadMeta } from "./client-port.ts";
import { keyOfPath, pathOf, queryOf } from "./key-path.ts";
import { badRequest, notImplemented, problem } from "./problem.ts";
import { type KnownParameters, parseLevel, parseQuery } from "./query.ts";
import type { BodyReader } from "./request-body.ts";
import { contentTypeBytesMax, type Row } from "./state-machine/command.ts";

const putParameters: KnownParameters = { taken: [], later: ["ttl", "lease"] };
const deleteParameters: KnownParameters = { taken: [], later: [] };
const getParameters: KnownParameters = {
  taken: ["level"],
  later: ["min_revision", "max_stale", "wait", "after", "timeout"],
};

/** Conditions on a write. To execute it without looking at them would be a lost update. */
const laterHeaders = ["if-match", "if-none-match", "idempotency-key", "ttl", "x-ttl", "lease"];

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

export interface KeyRouteOptions {
  readonly store: ClientPort;
  readonly bodies: BodyReader;
}

/** Answers every method on the key that `target` names. */
export async function answerKey(
  request: Request,
  target: string,
  options: KeyRouteOptions,
): Promise<Response> {
  const method = request.method;
  const write = method !== "GET" && method !== "HEAD";
  const path = keyOfPath(pathOf(target));
  if (!path.ok) return problem(path, { write });
  const call: KeyCall = { request, key: path.key, query: queryOf(target) };
  switch (method) {
    case "GET":
    case "HEAD":
      return get(call, options.store);
    case "PUT":
      return put(call, options);
    case "DELETE":
      return remove(call, options.store);
    case "POST":
      return problem(post(call.query), { write });
    default:
      return methodNotAllowed(method, keyMethods);
  }
}

/** The refusal of a method, with those that are taken. */
export function methodNotAllowed(method: string, allowed: string): Response {
  const detail = `use one of ${allowed}`;
  const write = method !== "GET" && method !== "HEAD" && method !== "OPTIONS";
  return problem(
    { ok: false, code: "method_not_allowed", detail },
    { write, headers: { Allow: allowed } },
  );
}

interface KeyCall {
  readonly request: Request;
  readonly key: string;
  readonly query: string;
}

async function put(call: KeyCall, { store, bodies }: KeyRouteOptions): Promise<Response> {
  const { request, key } = call;
  const query = parseQuery(call.query, putParameters);
  if (!query.ok) return problem(query, { write: true });
  const contentType = request.headers.get("content-type");
  const refused = refusedHeader(request) ?? refusedForm(request, contentType);
  if (refused !== null) return problem(refused, { write: true });
  const value = await bodies.read(request);
  if (!(value instanceof Uint8Array)) return problem(value, { write: true });
  const answer = await store.put(key, value, { contentType });
  if (!answer.ok) return problem(answer, { write: true });
  const { revision, created } = answer;
  return new Response(`{"key":${JSON.stringify(key)},"revision":${revision}}`, {
    status: created ? 201 : 200,
    headers: {
      "Content-Type": "application/json",
      ETag: `"${revision}"`,
      "X-KV-Revision": String(revision),
    },
  });
}

async function remove(call: KeyCall, store: ClientPort): Promise<Response> {
  const query = parseQuery(call.query, deleteParameters);
  if (!query.ok) return problem(query, { write: true });
  const refused = refusedHeader(call.request);
  if (refused !== null) return problem(refused, { write: true });
  const answer = await store.delete(call.key);
  if (!answer.ok) return problem(answer, { write: true });
  return new Response(`{"deleted":${answer.deleted},"revision":${answer.revision}}`, {
    headers: { "Content-Type": "application/json", "X-KV-Revision": String(answer.revision) },
  });
}

async function get(call: KeyCall, store: ClientPort): Promise<Response> {
  const { request } = call;
  const query = parseQuery(call.query, getParameters);
  if (!query.ok) return problem(query);
  const level = parseLevel(query.parameters);
  if (!level.ok) return problem(level);
  const condition = request.headers.get("if-match");
  if (condition !== null) return problem(laterHeader("if-match"));
  const answer = await store.get(call.key, { level: level.level });
  if (!answer.ok) return problem(answer);
  if (answer.row === null) return problem(notFound, { headers: readHeaders(answer) });
  return rowResponse(request, answer.row, readHeaders(answer));
}

function post(query: string): Failure {
  if (!/(?:^|&)op=/.test(query)) {
    return badRequest("a POST on a key needs `op`; to store a value use PUT", "op");
  }
  return notImplemented("operations on values are not implemented yet", "op");
}

const notFound: Failure = {
  ok: false,
  code: "not_found",
  detail: "there is no such key; keys are case-sensitive and slashes belong to them",
};

/** What every answer to a read says about how it was read. */
export function readHeaders(answer: ReadMeta): Record<string, string> {
  const headers: Record<string, string> = { "X-KV-Level": answer.level };
  if (answer.level === "local" && typeof answer.ageMs === "number") {
    headers["X-KV-Age"] = String(Math.round(answer.ageMs));
  }
  return headers;
}

function rowResponse(request: Request, row: Row, read: Record<string, string>): Response {
  const etag = `"${row.revision}"`;
  const headers: Record<string, string> = {
    "Content-Type": contentTypeOf(row),
    "Content-Length": String(row.value.length),
    ETag: etag,
    "X-KV-Revision": String(row.revision),
    ...read,
    ...valueHeaders,
  };
  const known = request.headers.get("if-none-match");
  if (known !== null && matches(known, etag)) {
    delete headers["Content-Length"];
    delete headers["Content-Type"];
    return new Response(null, { status: 304, headers });
  }
  const body = request.method === "HEAD" ? null : (row.value as Uint8Array<ArrayBuffer>);
  return new Response(body, { status: 200, headers });
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

function laterHeader(name: string): Failure {
  return notImplemented(`the header \`${name}\` is not implemented yet; leave it out`, name);
}

function refusedHeader(request: Request): Failure | null {
  for (const name of laterHeaders) if (request.headers.has(name)) return laterHeader(name);
  return null;
}

/** RFC 9110 §9.3.4 forbids to take part of a value for the whole; a coding would be lost on reading. */
function refusedForm(request: Request, contentType: string | null): Failure | null {
  if (contentType !== null) {
    if (contentType.length > contentTypeBytesMax || !contentTypeForm.test(contentType)) {
      const detail = `the content type is not 1 to ${contentTypeBytesMax} printable ASCII characters`;
      return badRequest(detail, "content-type");
    }
  }
  if (request.headers.has("content-range")) {
    return badRequest("a part of a value cannot be put; send the whole", "content-range");
  }
  const coding = request.headers.get("content-encoding");
  if (coding === null || coding.toLowerCase() === "identity") return null;
  return {
    ok: false,
    code: "unsupported_media_type",
    detail: "values are stored as sent, without a content encoding; say what it is in Content-Type",
    field: "content-encoding",
  };
}
