/**
 * Keeps web pages away from the store: a page the user happens to visit can make his browser send
 * requests here, under a name of its own (DNS rebinding) or with an `Origin` that is not ours.
 */

import type { Answer, RequestHead } from "./answer.ts";
import type { Failure } from "./client-port.ts";

export interface WebGuardOptions {
  /**
   * Names taken in `Host`, in lower case: `name:port`, or `name` alone for every port. IPv6
   * addresses are in brackets.
   */
  readonly hosts: ReadonlySet<string>;
  /** Origins besides our own whose pages may use the store, as browsers write them. */
  readonly origins: ReadonlySet<string>;
}

function withoutPort(host: string): string {
  const colon = host.lastIndexOf(":");
  return colon > host.lastIndexOf("]") ? host.slice(0, colon) : host;
}

function authorityOf(url: string): string {
  const start = url.indexOf("://") + 3;
  const end = url.indexOf("/", start);
  return end < 0 ? url.slice(start) : url.slice(start, end);
}

function isHostOf(origin: string, host: string): boolean {
  const start = origin.startsWith("http://") ? 7 : origin.startsWith("https://") ? 8 : -1;
  return start > 0 && origin.slice(start).toLowerCase() === host.toLowerCase();
}

/** Why the request is not for this server or not from a page it trusts; null where all is well. */
export function refusalOf(request: RequestHead, options: WebGuardOptions): Failure | null {
  const host = request.headers.get("host") ?? authorityOf(request.url ?? "");
  if (!options.hosts.has(host)) {
    const lower = host.toLowerCase();
    if (!options.hosts.has(lower) && !options.hosts.has(withoutPort(lower))) {
      return {
        ok: false,
        code: "wrong_host",
        detail: "the Host header names another server; add the name to the allowed hosts",
      };
    }
  }
  const origin = request.headers.get("origin");
  if (origin === null || options.origins.has(origin) || isHostOf(origin, host)) return null;
  return {
    ok: false,
    code: "forbidden",
    detail: "pages of this Origin may not use the store; add it to the allowed origins",
  };
}

const exposedHeaders =
  "ETag, X-KV-Revision, X-KV-Create-Revision, X-KV-Level, X-KV-Age, X-KV-Min-Revision, X-TTL, Retry-After";

/** What lets the page of an allowed foreign origin read an answer; null where there is none. */
function admissionOf(request: RequestHead, { origins }: WebGuardOptions) {
  const origin = request.headers.get("origin");
  if (origin === null || !origins.has(origin)) return null;
  return {
    "Access-Control-Allow-Origin": origin,
    "Access-Control-Expose-Headers": exposedHeaders,
    Vary: "Origin",
  };
}

/** Lets the page of an allowed foreign origin read `response`; others get no such header. */
export function admitOrigin(request: Request, response: Response, options: WebGuardOptions): void {
  const admission = admissionOf(request, options);
  if (admission === null) return;
  for (const [name, value] of Object.entries(admission)) response.headers.append(name, value);
}

/** The same for what is answered before anybody has looked at the request. */
export function admitted(request: RequestHead, answer: Answer, options: WebGuardOptions): Answer {
  const admission = admissionOf(request, options);
  if (admission === null) return answer;
  return { ...answer, headers: { ...answer.headers, ...admission } };
}

/** `Authorization` is asked for here and never needed for the question itself, which carries none. */
const allowedHeaders =
  "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-Lease, X-TTL";

/** The answer to a browser's question before it sends what is not a simple request. */
export function preflight(methods: string): Response {
  const headers = {
    "Access-Control-Allow-Methods": methods,
    "Access-Control-Allow-Headers": allowedHeaders,
    "Access-Control-Max-Age": "600",
  };
  return new Response(null, { status: 204, headers });
}
