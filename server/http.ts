/** The HTTP interface of a node: which path is answered by what, behind one guard against strangers. */

import { type Context, Hono } from "hono";
import { type Answer, type Asker, type RequestHead, responseOf } from "./answer.ts";
import type { ClientPort, Failure } from "./client-port.ts";
import { answerCompact, answerMember, answerMembers, answerTransfer } from "./cluster-routes.ts";
import { answerKey, methodNotAllowed } from "./key-routes.ts";
import { answerFolder } from "./folder-routes.ts";
import { isFolderPath, keyPathPrefix, pathOf, queryOf, targetOf } from "./key-path.ts";
import { answerLease, answerLeases } from "./lease-routes.ts";
import { defaultLimits } from "./limits.ts";
import { metricsContentType } from "./metrics.ts";
import { openApi } from "./openapi.ts";
import { badRequest, problem, refusal } from "./problem.ts";
import type { Backups } from "./backups.ts";
import { answerQueue } from "./queue-routes.ts";
import { answerRange } from "./range-routes.ts";
import { answerWatch } from "./watch-routes.ts";
import { answerTransaction } from "./transaction-routes.ts";
import { admitOrigin, preflight, refusalOf, type WebGuardOptions } from "./web-guard.ts";

export interface HttpOptions extends WebGuardOptions {
  readonly store: ClientPort;
  /** Whether the process does its work at all. */
  live(): boolean;
  /** Whether it knows a leader, so that requests make sense here. */
  ready(): boolean;
  readonly version: string;
  readonly backups: Backups;
  /** The text of `/metrics`. */
  metrics(): Promise<string>;
  /** Is told of errors that were thrown in answering: each is a bug. */
  onBug?(error: unknown): void;
}

/** What the listener knows besides the request. */
export interface HttpEnv {
  /** The request target as it came over the wire; without it, it is taken from the request's URL. */
  readonly target?: string;
  /** The body, or why it was not read; without it, it is read from the request. */
  readonly body?: Uint8Array | Failure;
  readonly asker?: Asker;
}

export type HttpApp = Hono<{ Bindings: HttpEnv }>;

type Answerer = (request: Request, env: Known) => Response | Promise<Response>;

/** The environment with its gaps filled. */
type Known = Required<Pick<HttpEnv, "target">> & Pick<HttpEnv, "body" | "asker">;

const noLeader: Failure = {
  ok: false,
  code: "no_leader",
  detail: "this node knows no leader; a majority of the nodes has to be up",
};
const notLive: Failure = { ok: false, code: "internal", detail: "this node does not do its work" };
const noSuchPath: Failure = { ok: false, code: "not_found", detail: "there is nothing here" };
const fault: Failure = {
  ok: false,
  code: "internal",
  detail: "the server failed to answer; its log says more",
};
const notOriginForm = badRequest("the request target has to be a path");

function json(value: unknown): Response {
  const headers = { "Content-Type": "application/json", "Cache-Control": "no-store" };
  return new Response(JSON.stringify(value), { headers });
}

function isWrite(method: string): boolean {
  return method !== "GET" && method !== "HEAD" && method !== "OPTIONS";
}

/** An ordinary SQLite database. */
async function answerBackup(method: string, backups: Backups): Promise<Response> {
  // Who asks for the head alone would have the whole of it made.
  if (method !== "GET") return responseOf(methodNotAllowed(method, "GET"));
  const made = await backups.make();
  if (!made.ok) return problem(made);
  const headers = {
    "Content-Type": "application/vnd.sqlite3",
    "Content-Length": String(made.making.bytes),
    "Cache-Control": "no-store",
  };
  return new Response(backups.stream(made.making), { headers });
}

function readOnly(answer: (request: Request) => Response | Promise<Response>): Answerer {
  return (request) => {
    const { method } = request;
    const isRead = method === "GET" || method === "HEAD";
    return isRead ? answer(request) : responseOf(methodNotAllowed(method, "GET, HEAD"));
  };
}

/** Why a request is not answered, whatever it asks for; null where it is. */
function refusedFor(head: RequestHead, target: string, options: HttpOptions): Failure | null {
  return refusalOf(head, options) ?? (target.startsWith("/") ? null : notOriginForm);
}

/** Puts the guard before `answer`, and the browser's questions of allowed pages behind the guard. */
function guarded(options: HttpOptions, answer: Answerer): Answerer {
  return (request, env) => {
    const refused = refusedFor(request, env.target, options);
    if (refused !== null) return problem(refused, { write: isWrite(request.method) });
    if (!request.headers.has("origin")) return answer(request, env);
    return answerPage(request, env, { options, answer });
  };
}

async function answerPage(
  request: Request,
  env: Known,
  { options, answer }: { readonly options: HttpOptions; readonly answer: Answerer },
): Promise<Response> {
  const asks = request.method === "OPTIONS" && request.headers.has("access-control-request-method");
  const response = asks ? preflight("GET, HEAD, PUT, POST, DELETE") : await answer(request, env);
  admitOrigin(request, response, options);
  return response;
}

/** Hono gives no environment at all where it was given none. */
function knownIn(c: Context<{ Bindings: HttpEnv }>): Known {
  const env = c.env as HttpEnv | undefined;
  return { ...env, target: targetOf(c.req.raw, env?.target) };
}

async function answerKeyResponse(
  request: Request,
  { target, body, asker = nobody }: Known,
  store: ClientPort,
): Promise<Response> {
  const bytes = body ?? new Uint8Array(await request.arrayBuffer());
  return responseOf(await answerKey({ head: request, target, body: bytes, asker }, store));
}

function withBody(store: ClientPort, answer: typeof answerMembers): Answerer {
  return async (request, { target, body }) => {
    const bytes = body ?? new Uint8Array(await request.arrayBuffer());
    return responseOf(await answer({ head: request, target, body: bytes }, store));
  };
}

function withQueue(options: HttpOptions, kind: "lock" | "election"): Answerer {
  return async (request, { target, body, asker = nobody }) => {
    const bytes = body ?? new Uint8Array(await request.arrayBuffer());
    const call = { head: request, target, body: bytes, gone: asker.gone() };
    const answer = await answerQueue(call, kind, options.store);
    return answer instanceof Response ? answer : responseOf(answer);
  };
}

const { signal: never } = new AbortController();
/** Who has asked without a connection goes at no time. */
const nobody: Asker = { gone: () => never };

/** Larger bodies are not read. Of what carries JSON, transactions alone carry many values. */
export const bodyBytesMax = (target: string): number =>
  pathOf(target) === transactionPath
    ? defaultLimits.transactionBytesMax
    : defaultLimits.valueBytesMax;

const transactionPath = "/v1/txn";

export type DirectAnswerer = (
  head: RequestHead & { readonly target: string },
  body: Uint8Array | Failure,
  asker: Asker,
) => Answer | Promise<Answer> | null;

/**
 * The short way for requests on a key that come from no page: the same answers as the application's,
 * without the standard's classes and without routing. Null: the request is the application's. Never
 * throws and never rejects.
 */
export function createDirect(options: HttpOptions): DirectAnswerer {
  const failed = (error: unknown, method: string): Answer => {
    options.onBug?.(error);
    return refusal(fault, { write: isWrite(method) });
  };
  return (head, body, asker) => {
    const { method, target } = head;
    if (!target.startsWith(keyPathPrefix) || head.headers.has("origin")) return null;
    if (isFolderPath(pathOf(target))) return null;
    const refused = refusedFor(head, target, options);
    if (refused !== null) return refusal(refused, { write: isWrite(method) });
    try {
      const answer = answerKey({ head, target, body, asker }, options.store);
      return answer instanceof Promise ? answer.catch((error) => failed(error, method)) : answer;
    } catch (error) {
      return failed(error, method);
    }
  };
}

/** The application; it needs nothing but `Request` and `Response`, and throws nothing. */
export function createApp(options: HttpOptions): HttpApp {
  const { store } = options;
  // Routing looks at the target itself: in a parsed URL another path may be left of it.
  const app: HttpApp = new Hono<{ Bindings: HttpEnv }>({
    getPath: (request, context) => pathOf(targetOf(request, context?.env?.target)),
  });
  const route = (path: string, answerer: Answerer) => {
    const answer = guarded(options, answerer);
    app.all(path, (c) => answer(c.req.raw, knownIn(c)));
  };
  route("/v1/kv", (request, { target }) => answerRange(request, target, store));
  route("/v1/kv/*", (request, env) =>
    isFolderPath(pathOf(env.target))
      ? answerFolder(request, env.target, store)
      : answerKeyResponse(request, env, store),
  );
  route(
    "/v1/status",
    readOnly(async () => {
      const answer = await store.status();
      return answer.ok ? json(answer.status) : problem(answer);
    }),
  );
  route("/v1/watch", (request, { target }) => answerWatch(request, queryOf(target), store));
  route(transactionPath, withBody(store, answerTransaction));
  route("/v1/leases", withBody(store, answerLeases));
  route("/v1/leases/*", withBody(store, answerLease));
  route("/v1/locks/*", withQueue(options, "lock"));
  route("/v1/elections/*", withQueue(options, "election"));
  route("/v1/members", withBody(store, answerMembers));
  route("/v1/members/*", withBody(store, answerMember));
  route("/v1/transfer", withBody(store, answerTransfer));
  route("/v1/compact", withBody(store, answerCompact));
  route(
    "/livez",
    readOnly(() => (options.live() ? json({ live: true }) : problem(notLive))),
  );
  route(
    "/readyz",
    readOnly(() => (options.ready() ? json({ ready: true }) : problem(noLeader))),
  );
  route(
    "/version",
    readOnly(() => json({ version: options.version })),
  );
  route(
    "/metrics",
    readOnly(async () => {
      const headers = { "Content-Type": metricsContentType, "Cache-Control": "no-store" };
      return new Response(await options.metrics(), { headers });
    }),
  );
  route(
    "/openapi.json",
    readOnly(() => json(openApi(options.version))),
  );
  route("/v1/backup", (request) => answerBackup(request.method, options.backups));
  const otherwise = guarded(options, (request) =>
    problem(noSuchPath, { write: isWrite(request.method) }),
  );
  app.notFound((c) => otherwise(c.req.raw, knownIn(c)));
  app.onError((error, c) => {
    options.onBug?.(error);
    return problem(fault, { write: isWrite(c.req.method) });
  });
  return app;
}
