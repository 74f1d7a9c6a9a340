/** Serves HTTP through `node:http`, on Node and on Bun. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { badRequest, problem } from "../problem.ts";
import { malformedAnswer } from "./malformed.ts";
import type { Listener, ListenOptions } from "./listen.ts";

/** More than this many wait in the kernel's queue: each costs a descriptor and some kilobytes. */
const connectionsMax = 10_000;
/** A request's headers, and then the whole of it, have to arrive within these. */
const headersTimeoutMs = 10_000;
const requestTimeoutMs = 60_000;
const timeoutCheckMs = 1_000;
/** Longer than clients keep idle connections, so that it is they who close. */
const keepAliveTimeoutMs = 75_000;
/** Room for a key of 2,048 bytes, each of them escaped, and the usual headers. */
const headerBytesMax = 16 << 10;
/** Requests that wait on one connection for the one before them; more are refused. */
const pipelinedMax = 256;
/** How often closing looks for connections that have become idle. */
const idleCheckMs = 10;

/** Targets that survive being parsed as part of a URL. The others travel beside the request. */
const plainTarget = /^\/(?!\/)[A-Za-z0-9_~!$&'()*+,;=:@/?-]*$/;

interface Incoming extends IncomingMessage {
  originalTarget?: string;
  readonly socket: Connection;
}

interface Connection extends Socket {
  /** Whether a request is being answered. */
  busy?: boolean;
  /** Those that came after it. */
  waiting?: (() => Promise<void>)[];
  /** The request that came last, as long as not all are answered, and its answer. */
  newest?: Exchange | null;
  /** The newest request said that it is the last one. */
  isEnding?: boolean;
  /** What came was no request: nothing more is taken. */
  isRefused?: boolean;
}

interface Exchange {
  readonly incoming: Incoming;
  readonly outgoing: ServerResponse;
}

/**
 * Answers the requests of a connection one after the other. RFC 9112 §9.3.2 lets only safe ones run
 * beside each other when they are pipelined, and one connection should not occupy the store with many.
 */
function inTurn({ socket }: Incoming, answer: () => Promise<void>): boolean {
  if (socket.busy === true) {
    socket.waiting ??= [];
    if (socket.waiting.length >= pipelinedMax) return false;
    socket.waiting.push(answer);
    return true;
  }
  socket.busy = true;
  const proceed = (): void => {
    const following = socket.waiting?.shift();
    if (following === undefined) {
      socket.busy = false;
      socket.newest = null;
    } else following().then(proceed, proceed);
  };
  answer().then(proceed, proceed);
  return true;
}

const tooMany = JSON.stringify({
  type: "about:blank",
  title: "Too much at once",
  status: 429,
  code: "overloaded",
  detail: "too many requests wait on this connection; await their answers or use another",
  outcome: "not_applied",
});

function refuseTooMany(outgoing: ServerResponse): void {
  const headers = { "Content-Type": "application/problem+json", "Retry-After": 1 };
  outgoing.writeHead(429, { ...headers, "Content-Length": tooMany.length }).end(tooMany);
}

/** RFC 9112 §9.6: what follows such a request on its connection is not looked at. */
function isLast({ headers, httpVersion }: Incoming): boolean {
  const wish = headers.connection ?? "";
  return /\bclose\b/i.test(wish) || (httpVersion === "1.0" && !/\bkeep-alive\b/i.test(wish));
}

/**
 * What came is no request. Whatever came whole before it is answered first: a client would take this
 * answer for that of a write that is being done. (Left alone, Node puts its 400 in front.)
 */
function refuseMalformed(code: string | undefined, socket: Connection): void {
  if (socket.isRefused === true) return;
  socket.isRefused = true;
  const refuseNow = (): void => {
    if (socket.writable) socket.end(malformedAnswer(code));
    socket.destroySoon();
  };
  const { newest } = socket;
  if (socket.busy !== true || !newest) {
    refuseNow();
    return;
  }
  if (newest.incoming.complete) {
    if (socket.isEnding !== true) (socket.waiting ??= []).push(() => Promise.resolve(refuseNow()));
    return;
  }
  // The newest request's own body is broken: this is its answer, in its turn.
  if (socket.waiting !== undefined && socket.waiting.length > 0) {
    socket.waiting[socket.waiting.length - 1] = () => Promise.resolve(refuseNow());
  } else if (newest.outgoing.headersSent) socket.destroy();
  else refuseNow();
}

function refuse(error: unknown): Response {
  const detail = error instanceof Error ? error.message : "it cannot be understood";
  return problem(badRequest(`the request is malformed: ${detail}`));
}

function serverOf(options: ListenOptions): Server {
  const answer = getRequestListener(
    (request, env) => {
      const incoming = env.incoming as Incoming;
      const target = incoming.originalTarget ?? incoming.url ?? "/";
      return options.fetch(request, { target });
    },
    { errorHandler: refuse },
  );
  const server = createServer(
    {
      headersTimeout: headersTimeoutMs,
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: timeoutCheckMs,
      keepAliveTimeout: keepAliveTimeoutMs,
      maxHeaderSize: headerBytesMax,
      noDelay: true,
      // Refused in its turn like everything else; Node would answer ahead of what came before.
      requireHostHeader: false,
    },
    (incoming: Incoming, outgoing) => {
      const target = incoming.url ?? "";
      if (!plainTarget.test(target)) {
        incoming.originalTarget = target;
        incoming.url = "/";
      }
      const { socket } = incoming;
      if (socket.isEnding === true) return;
      socket.isEnding = isLast(incoming);
      if (!server.listening) outgoing.setHeader("Connection", "close");
      const run = () => answer(incoming, outgoing).catch(() => void outgoing.destroy());
      if (inTurn(incoming, run)) socket.newest = { incoming, outgoing };
      else refuseTooMany(outgoing);
    },
  );
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    refuseMalformed(error.code, socket as Connection);
  });
  server.maxConnections = connectionsMax;
  return server;
}

async function close(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise<"closed">((resolve) => server.close(() => resolve("closed")));
  const deadline = AbortSignal.timeout(graceMs);
  while (!deadline.aborted) {
    // A connection becomes idle when its answer is out; neither runtime closes it then.
    server.closeIdleConnections();
    const pause = new Promise<"later">((resolve) => {
      setTimeout(resolve, idleCheckMs, "later");
    });
    if ((await Promise.race([closed, pause])) === "closed") return;
  }
  server.closeAllConnections();
  await closed;
}

/** See `listen.ts`. */
export function listen(options: ListenOptions): Promise<Listener> {
  const server = serverOf(options);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.hostname, () => {
      server.off("error", reject);
      const { port } = server.address() as AddressInfo;
      resolve({ port, close: (graceMs) => close(server, graceMs) });
    });
  });
}
