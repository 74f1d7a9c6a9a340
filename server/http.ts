/** The HTTP interface of a node: which path is answered by what, behind one guard against strangers. */

import { type Context, Hono } from "hono";
import type { ClientPort, Failure } from "./client-port.ts";
import { answerKey, methodNotAllowed } from "./key-routes.ts";
import { pathOf, queryOf, targetOf } from "./key-path.ts";
import { badRequest, problem } from "./problem.ts";
import { answerRange } from "./range-routes.ts";
import { BodyReader } from "./request-body.ts";
import { valueBytesMax as valueBytesMaxDefault } from "./state-machine/command.ts";
import { admitOrigin, preflight, refusalOf, type WebGuardOptions } from "./web-guard.ts";

export interface HttpOptions extends WebGuardOptions {
  readonly store: ClientPort;
  /** Whether the process does its work at all. */
  live(): boolean;
  /** Whether it knows a leader, so that requests make sense here. */
  ready(): boolean;
  readonly version: string;
  readonly valueBytesMax?: number;
  /** Is told of errors that were thrown in answering: each is a bug. */
  onBug?(error: unknown): void;
}

/** What the listener knows besides the request. */
export interface HttpEnv {
  /** The request target as it came over the wire; without it, it is taken from the request's URL. */
  readonly target?: string;
}

export type HttpApp = Hono<{ Bindings: HttpEnv }>;

type Answerer = (request: Request, target: string) => Response | Promise<Response>;

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

function readOnly(answer: () => Response | Promise<Response>): Answerer {
  return (request) => {
    const { method } = request;
    return method === "GET" || method === "HEAD" ? answer() : methodNotAllowed(method, "GET, HEAD");
  };
}

/** Puts the guard before `answer`, and the browser's questions of allowed pages behind the guard. */
function guarded(options: HttpOptions, answer: Answerer): Answerer {
  return (request, target) => {
    const refusal = refusalOf(request, options);
    if (refusal !== null) return problem(refusal, { write: isWrite(request.method) });
    if (!target.startsWith("/")) return problem(notOriginForm, { write: isWrite(request.method) });
    if (!request.headers.has("origin")) return answer(request, target);
    return answerPage(request, target, { options, answer });
  };
}

async function answerPage(
  request: Request,
  target: string,
  { options, answer }: { readonly options: HttpOptions; readonly answer: Answerer },
): Promise<Response> {
  const asks = request.method === "OPTIONS" && request.headers.has("access-control-request-method");
  const response = asks ? preflight("GET, HEAD, PUT, DELETE") : await answer(request, target);
  admitOrigin(request, response, options);
  return response;
}

/** Hono gives no environment at all where it was given none. */
function targetIn(c: Context<{ Bindings: HttpEnv }>): string {
  return targetOf(c.req.raw, (c.env as HttpEnv | undefined)?.target);
}

/** The application; it needs nothing but `Request` and `Response`, and throws nothing. */
export function createApp(options: HttpOptions): HttpApp {
  const { store } = options;
  const bodies = new BodyReader(options.valueBytesMax ?? valueBytesMaxDefault);
  // Routing looks at the target itself: in a parsed URL another path may be left of it.
  const app: HttpApp = new Hono<{ Bindings: HttpEnv }>({
    getPath: (request, context) => pathOf(targetOf(request, context?.env?.target)),
  });
  const route = (path: string, answerer: Answerer) => {
    const answer = guarded(options, answerer);
    app.all(path, (c) => answer(c.req.raw, targetIn(c)));
  };
  route("/v1/kv", (request, target) => answerRange(request, queryOf(target), store));
  route("/v1/kv/*", (request, target) => answerKey(request, target, { store, bodies }));
  route(
    "/v1/status",
    readOnly(async () => {
      const answer = await store.status();
      return answer.ok ? json(answer.status) : problem(answer);
    }),
  );
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
  const otherwise = guarded(options, (request) =>
    problem(noSuchPath, { write: isWrite(request.method) }),
  );
  app.notFound((c) => otherwise(c.req.raw, targetIn(c)));
  app.onError((error, c) => {
    options.onBug?.(error);
    return problem(fault, { write: isWrite(c.req.method) });
  });
  return app;
}
