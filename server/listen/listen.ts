/** Serves HTTP on the runtime at hand. */

import type { HttpEnv } from "../http.ts";

export interface ListenOptions {
  fetch(request: Request, env: HttpEnv): Response | Promise<Response>;
  readonly hostname: string;
  /** 0 for any that is free. */
  readonly port: number;
}

export interface Listener {
  readonly port: number;
  /**
   * Takes no more connections, lets requests in flight finish for up to `graceMs` milliseconds, and
   * cuts what is left.
   */
  close(graceMs: number): Promise<void>;
}

/**
 * Rejects with an error whose `code` is `EADDRINUSE` where the port is taken.
 *
 * On Bun this is `node:http` too, not `Bun.serve`: the latter tells only a parsed URL, in which
 * `/v1/kv/a/%2e%2e/b` has become `/v1/kv/b`, and a write would go to another key than was named.
 */
export async function listen(options: ListenOptions): Promise<Listener> {
  if ("Deno" in globalThis) return (await import("./deno.ts")).listen(options);
  return (await import("./node.ts")).listen(options);
}
