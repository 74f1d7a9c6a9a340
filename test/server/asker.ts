/** Asks the routes over a store in memory, without a network. */

import type { HttpOptions } from "../../server/http.ts";
import { appOf } from "./raw-http.ts";
import { MapStore } from "./map-store.ts";

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

export function client(options: Partial<HttpOptions> = {}) {
  const store = new MapStore();
  const app = appOf(store, options);
  const ask = async (method: string, path: string, more: RequestInit = {}): Promise<Answered> => {
    const response = await app.request(`http://localhost:8001${path}`, { method, ...more });
    const text = await response.text();
    let json: Record<string, unknown> = {};
    const isOne = response.headers.get("content-type")?.includes("json") === true;
    if (isOne && text.startsWith("{") && !text.endsWith("\n"))
      json = JSON.parse(text) as Record<string, unknown>;
    return { status: response.status, headers: response.headers, text, json };
  };
  return { store, ask };
}

export const asJson = (value: unknown): RequestInit => ({
  body: JSON.stringify(value),
  headers: { "content-type": "application/json" },
});
