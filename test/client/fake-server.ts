/** Servers in this process, for what real ones do too seldom or at no chosen moment. */

import { connect, type Client } from "../../client/client.ts";
import type { ConnectOptions } from "../../client/client.ts";

export interface Asked {
  readonly origin: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
}

export type Handler = (asked: Asked, turn: number) => Response | Promise<Response> | "refused";

/** A client of `handler`, which stands for all endpoints, and everything that was asked. */
export function fakeClient(
  handler: Handler,
  options: ConnectOptions = {},
): { readonly kv: Client; readonly asked: readonly Asked[] } {
  const asked: Asked[] = [];
  const kv = connect(["one:1", "two:2"], {
    timeout: 3_000,
    ...options,
    fetch: async (url, init) => {
      const { origin, pathname, search } = new URL(url);
      if (pathname === "/v1/status") return new Response("{}");
      const method = init.method ?? "GET";
      const question = {
        origin,
        method,
        path: pathname + search,
        headers: new Headers(init.headers),
      };
      asked.push(question);
      const answer = await handler(question, asked.length);
      if (answer !== "refused") return answer;
      throw new TypeError("fetch failed", { cause: new Error("connect ECONNREFUSED") });
    },
  });
  return { kv, asked };
}

export function problem(status: number, code: string, more: object = {}): Response {
  const body = JSON.stringify({ status, code, detail: `this is ${code}`, ...more });
  return new Response(body, { status, headers: { "Content-Type": "application/problem+json" } });
}

export const written = (revision: number): Response =>
  new Response(`{"key":"k","revision":${revision}}`, {
    headers: { "X-KV-Revision": String(revision) },
  });

/** Ends after the lines, as a connection that was lost. */
export function lines(...objects: readonly object[]): Response {
  return new Response(objects.map((each) => `${JSON.stringify(each)}\n`).join(""));
}
