/** Serves HTTP through `Deno.serve`, whose requests carry the target as it was sent. */

import { badRequest, problem } from "../problem.ts";
import type { Listener, ListenOptions } from "./listen.ts";

interface DenoServer {
  readonly addr: { readonly port: number };
  readonly finished: Promise<void>;
  shutdown(): Promise<void>;
}

interface DenoServeOptions {
  readonly hostname: string;
  readonly port: number;
  readonly signal: AbortSignal;
  onListen(): void;
  onError(error: unknown): Response;
}

interface DenoRuntime {
  serve(options: DenoServeOptions, answer: (request: Request) => unknown): DenoServer;
}

const noHost = problem(
  badRequest("the request has no Host header, or its target names another server"),
);

function onError(): Response {
  return problem({ ok: false, code: "internal", detail: "the server failed to answer" });
}

const closing = problem({
  ok: false,
  code: "unreachable",
  detail: "this node is stopping; ask another",
  outcome: "not_applied",
});

/** The parts of a target's URL; null where the request is not one for us. */
function targetOf(request: Request): string | null {
  const host = request.headers.get("host");
  const { url } = request;
  const authorityStart = url.indexOf("://") + 3;
  // Where they differ the target was a whole URL, which only proxies are sent.
  if (host === null || !url.startsWith(host, authorityStart)) return null;
  return url.slice(authorityStart + host.length);
}

/** Counts the requests in flight: a server told to shut down can no longer be cut. */
class Requests {
  readonly #options: ListenOptions;
  #inFlight = 0;
  #whenIdle: (() => void) | null = null;

  constructor(options: ListenOptions) {
    this.#options = options;
  }

  readonly answer = async (request: Request): Promise<Response> => {
    if (this.#whenIdle !== null) return closing.clone();
    const target = targetOf(request);
    if (target === null) return noHost.clone();
    this.#inFlight += 1;
    try {
      return await this.#options.fetch(request, { target });
    } finally {
      this.#inFlight -= 1;
      if (this.#inFlight === 0) this.#finishDrain();
    }
  };

  #finishDrain(): void {
    this.#whenIdle?.();
  }

  /** Refuses new requests from now on; resolves when those in flight are answered. */
  drain(): Promise<void> {
    return new Promise((resolve) => {
      this.#whenIdle = resolve;
      if (this.#inFlight === 0) resolve();
    });
  }

  get inFlight(): number {
    return this.#inFlight;
  }
}

async function close(
  server: DenoServer,
  requests: Requests,
  { graceMs, cut }: { readonly graceMs: number; readonly cut: () => void },
): Promise<void> {
  const signal = AbortSignal.timeout(graceMs);
  const deadline = new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  await Promise.race([requests.drain(), deadline]);
  if (requests.inFlight > 0) {
    cut();
    await server.finished;
  } else {
    // Writes out the last answers. A client that does not read them is left to the process's end.
    await Promise.race([server.shutdown(), deadline]);
  }
}

/** See `listen.ts`. */
export async function listen(options: ListenOptions): Promise<Listener> {
  const deno = (globalThis as unknown as { Deno: DenoRuntime }).Deno;
  const abort = new AbortController();
  const requests = new Requests(options);
  const { hostname, port } = options;
  let server: DenoServer;
  try {
    server = deno.serve(
      { hostname, port, signal: abort.signal, onListen: () => {}, onError },
      requests.answer,
    );
  } catch (error) {
    const taken = error instanceof Error && error.name === "AddrInUse";
    if (taken) throw Object.assign(error, { code: "EADDRINUSE" });
    throw error;
  }
  return {
    port: server.addr.port,
    close: (graceMs) => close(server, requests, { graceMs, cut: () => abort.abort() }),
  };
}
