/** One request to one endpoint, and its whole answer. */

import { Buffer } from "node:buffer";
import {
  type Agent,
  type ClientRequest,
  type IncomingMessage,
  request as httpRequest,
} from "node:http";

/** An answer larger than this is not one of ours: a listing is the largest. */
const answerBytesMax = 64 << 20;

export interface Call {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  readonly path: string;
  readonly body?: Uint8Array;
  readonly contentType?: string | null;
  readonly ifMatch?: string;
  readonly ifNoneMatch?: string;
  readonly idempotencyKey?: string;
  /** The caller has given up, or the time for all endpoints together is over. */
  readonly signal: AbortSignal;
}

/** Of a call whose body is JSON. */
export const jsonBody = (value: object): Pick<Call, "body" | "contentType"> => ({
  body: Buffer.from(JSON.stringify(value)),
  contentType: "application/json",
});

/** One call to one endpoint. */
export interface Attempt {
  readonly endpoint: URL;
  readonly agent: Agent;
  readonly call: Call;
  /**
   * Over where another endpoint has to be given its turn: nothing was heard of a read, or there is no
   * connection yet on which a write could have been sent.
   */
  readonly share: AbortSignal;
  /** There is a connection: what was asked may have arrived. */
  isConnected: boolean;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

/** No answer came. `sent`: the request may have reached the server all the same. */
export interface Silence {
  readonly sent: boolean;
  readonly why: string;
}

/** Before anything is sent these are known; every other error may follow a request that arrived. */
const unsentCodes = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EADDRNOTAVAIL",
]);

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  // A name with several addresses fails with one error for each, which are alike here.
  const first: unknown = error instanceof AggregateError ? error.errors[0] : undefined;
  const code =
    (error as { code?: unknown }).code ?? (first as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}

export function silenceOf(error: unknown, { call, share, isConnected }: Attempt): Silence {
  if (call.signal.aborted || (share.aborted && codeOf(error) === "ABORT_ERR")) {
    const why = isConnected ? "no answer came in time" : "no connection came about in time";
    return { sent: isConnected, why };
  }
  const code = codeOf(error);
  if (code !== undefined && unsentCodes.has(code)) {
    return { sent: false, why: `it cannot be reached (${code})` };
  }
  return { sent: true, why: `the connection broke off (${code ?? String(error)})` };
}

function collect(answer: IncomingMessage, request: ClientRequest): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    answer.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > answerBytesMax) request.destroy(new Error("the answer is too large"));
    });
    answer.on("end", () => {
      if (answer.complete) resolve(Buffer.concat(chunks));
      else reject(new Error("the answer was cut short"));
    });
    answer.on("error", reject);
    answer.on("close", () => reject(new Error("the answer was cut short")));
  });
}

export function exchange(attempt: Attempt): Promise<HttpAnswer> {
  const { endpoint, agent, call, share } = attempt;
  const { method, path, signal } = call;
  const headers: Record<string, string | number> = {};
  if (method === "PUT" || method === "POST") headers["Content-Length"] = call.body?.length ?? 0;
  if (typeof call.contentType === "string") headers["Content-Type"] = call.contentType;
  if (call.ifMatch !== undefined) headers["If-Match"] = call.ifMatch;
  if (call.ifNoneMatch !== undefined) headers["If-None-Match"] = call.ifNoneMatch;
  if (call.idempotencyKey !== undefined) headers["Idempotency-Key"] = call.idempotencyKey;
  const { hostname, port: givenPort } = endpoint;
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const port = givenPort === "" ? 80 : givenPort;
  const given = new AbortController();
  const giveUp = (): void => given.abort();
  const yieldTurn = (): void => {
    if (method === "GET" || !attempt.isConnected) given.abort();
  };
  return new Promise<HttpAnswer>((resolve, reject) => {
    signal.addEventListener("abort", giveUp);
    share.addEventListener("abort", yieldTurn);
    const options = { host, port, method, path, headers, agent, signal: given.signal };
    const request = httpRequest(options);
    request.on("error", reject);
    request.on("socket", (socket) => {
      // One that was kept from an earlier request stands already.
      if (socket.connecting) socket.once("connect", () => (attempt.isConnected = true));
      else attempt.isConnected = true;
    });
    request.on("response", (answer) => {
      share.removeEventListener("abort", yieldTurn);
      const { statusCode: status = 0, headers: answered } = answer;
      collect(answer, request).then((body) => resolve({ status, headers: answered, body }), reject);
    });
    request.end(call.body);
  }).finally(() => {
    signal.removeEventListener("abort", giveUp);
    share.removeEventListener("abort", yieldTurn);
  });
}
