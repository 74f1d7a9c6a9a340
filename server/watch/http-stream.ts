/** One stream of JSON lines from another process's HTTP port. */

import { Buffer } from "node:buffer";
import { request as httpRequest, type IncomingMessage } from "node:http";
import type { Failure, FailureCode } from "../client-port.ts";
import { failureOf } from "../http-answers.ts";

/** A server gives a sign every five seconds: after so long it is gone. */
const silenceMs = 15_000;
/** After all endpoints were tried in vain. */
export const pauseMs = 250;
/** Of one event: two values, escaped as long as can be. */
const lineLengthMax = 32 << 20;

/** What is read of a line; null for what is not understood, and left out. */
export type ReadLine<T> = (json: unknown) => T | null;

/** With what came first, so that it is known to go. */
export interface OpenedStream<T> {
  readonly connection: {
    readonly batches: AsyncIterator<readonly T[], undefined>;
    readonly end: () => void;
  };
  readonly batch: readonly T[];
}

/** Those after which another endpoint may do better. */
const passing: readonly FailureCode[] = ["no_leader", "overloaded", "stale", "unreachable"];

export const isPassing = (code: FailureCode): boolean => passing.includes(code);

export async function connectTo<T>(
  endpoint: URL,
  asked: { readonly path: string; readonly signal: AbortSignal; readonly read: ReadLine<T> },
): Promise<OpenedStream<T> | Failure> {
  const ended = new AbortController();
  const end = (): void => ended.abort();
  const signal = AbortSignal.any([ended.signal, asked.signal]);
  try {
    const answer = await inTime(answerOf(endpoint, asked.path, signal), end);
    if (answer.statusCode !== 200) return failureOf(await wholeAnswer(answer), false);
    const batches = batchesOf(answer, asked.read, end);
    const first = await batches.next();
    if (first.done === true) return unreachable(endpoint, "it ended at once");
    return { connection: { batches, end }, batch: first.value };
  } catch (error) {
    end();
    const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
    return unreachable(endpoint, typeof code === "string" ? code : "no answer came");
  }
}

const unreachable = ({ host }: URL, why: string): Failure => ({
  ok: false,
  code: "unreachable",
  detail: `${host}: ${why}; see that the nodes run there`,
});

function answerOf(endpoint: URL, path: string, signal: AbortSignal): Promise<IncomingMessage> {
  const { hostname, port } = endpoint;
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const headers = { Accept: "application/x-ndjson" };
  return new Promise((resolve, reject) => {
    const options = { host, port: port === "" ? 80 : port, path, headers, agent: false, signal };
    const request = httpRequest(options);
    request.on("error", reject);
    request.on("response", resolve);
    request.end();
  });
}

async function wholeAnswer(answer: IncomingMessage) {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  const { statusCode: status = 0, headers } = answer;
  return { status, headers, body: Buffer.concat(chunks) };
}

/** The lines of each chunk. Throws where the connection breaks off, or is silent for too long. */
async function* batchesOf<T>(
  answer: IncomingMessage,
  read: ReadLine<T>,
  end: () => void,
): AsyncGenerator<readonly T[], undefined> {
  const decoder = new TextDecoder();
  const chunks = answer[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let rest = "";
  for (;;) {
    const { value, done } = await inTime(chunks.next(), end);
    if (done === true) return undefined;
    const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > lineLengthMax) throw new Error("the line is longer than any of ours");
    const events: T[] = [];
    for (const line of lines) {
      const event = read(JSON.parse(line));
      if (event !== null) events.push(event);
    }
    if (events.length > 0) yield events;
  }
}

async function inTime<T>(promise: Promise<T>, end: () => void): Promise<T> {
  const timer = setTimeout(end, silenceMs);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

export const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms));
