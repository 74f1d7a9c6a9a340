/**
 * Watching other processes' HTTP ports: over as many connections, to whichever endpoint answers, as it
 * takes. What is given is whole revisions, so that a connection that breaks off loses and repeats nothing.
 */

import { Buffer } from "node:buffer";
import { request as httpRequest, type IncomingMessage } from "node:http";
import type { Failure, FailureCode } from "../client-port.ts";
import { failureOf, notOurs } from "../http-answers.ts";
import { must } from "../raft/assert.ts";
import { eventOfJson } from "./watch-json.ts";
import type { WatchAnswer, WatchBatches, WatchEvent, WatchOptions } from "./watch-port.ts";

/** A server gives a sign every five seconds: after so long it is gone. */
const silenceMs = 15_000;
/** After all endpoints were tried in vain. */
const pauseMs = 250;
/** Rounds in which those that may remember are waited for. */
const forgottenRoundsMax = 20;
/** Of one event: two values, escaped as long as can be. */
const lineLengthMax = 32 << 20;

type Batch = readonly WatchEvent[];

interface Connection {
  readonly batches: AsyncIterator<Batch, undefined>;
  readonly end: () => void;
}

/** Those after which another endpoint may do better. */
const passing: readonly FailureCode[] = ["no_leader", "overloaded", "stale", "unreachable"];

export class HttpWatch {
  readonly #endpoints: readonly URL[];
  readonly #options: WatchOptions;
  readonly #given = new AbortController();
  #at = 0;
  /** Everything up to here was given. */
  #since: number | undefined;
  /** Of a revision whose last change has not come yet. */
  #pending: WatchEvent[] = [];
  /** Of the last round: somebody did not answer who may remember what others do not. */
  #mayRemember = false;

  constructor(endpoints: readonly URL[], options: WatchOptions) {
    this.#endpoints = endpoints;
    this.#options = options;
    this.#since = options.since;
    const { signal, forMs } = options;
    const giveUp = (): void => this.#given.abort();
    signal?.addEventListener("abort", giveUp, { once: true });
    if (signal?.aborted) giveUp();
    if (forMs !== undefined) AbortSignal.timeout(forMs).addEventListener("abort", giveUp);
  }

  /** Beginning with that endpoint. Fails where none of them can be watched now. */
  async open(at: number): Promise<WatchAnswer> {
    this.#at = at % this.#endpoints.length;
    const opened = await this.#connect();
    if ("ok" in opened) return opened;
    return { ok: true, batches: this.#run(opened) };
  }

  async *#run(first: { connection: Connection; batch: Batch }): WatchBatches {
    let { connection, batch } = first;
    try {
      for (;;) {
        const given = this.#whole(batch);
        if (given.length > 0) yield given;
        const next = await connection.batches.next().catch(() => null);
        if (next !== null && next.done !== true) {
          batch = next.value;
          continue;
        }
        connection.end();
        this.#pending = [];
        const again = await this.#reconnect();
        if (again === null) return;
        if ("ok" in again) {
          yield [{ type: "over", failure: again }];
          return;
        }
        ({ connection, batch } = again);
      }
    } finally {
      connection.end();
    }
  }

  // ------------------------------------------------------------------ whole revisions

  #whole(batch: Batch): WatchEvent[] {
    const given: WatchEvent[] = [];
    for (const event of batch) {
      if (event.revision <= (this.#since ?? -1) && event.type !== "progress") continue;
      this.#pending.push(event);
      if (event.type !== "progress" && !event.isLast) continue;
      this.#since = Math.max(this.#since ?? 0, event.revision);
      given.push(...this.#pending);
      this.#pending = [];
    }
    return given;
  }

  // ------------------------------------------------------------------ connections

  /** Null where nobody wants to go on. */
  async #reconnect(): Promise<{ connection: Connection; batch: Batch } | Failure | null> {
    let forgottenRounds = 0;
    for (;;) {
      if (this.#given.signal.aborted) return null;
      this.#at = (this.#at + 1) % this.#endpoints.length;
      const opened = await this.#connect();
      if (!("ok" in opened)) return opened;
      if (this.#given.signal.aborted) return null;
      const isForgotten = opened.code === "compacted";
      if (isForgotten) forgottenRounds++;
      const mayComeBack = isForgotten
        ? this.#mayRemember && forgottenRounds < forgottenRoundsMax
        : passing.includes(opened.code);
      if (!mayComeBack) return opened;
      await pause(pauseMs);
    }
  }

  /**
   * To the first endpoint that answers with a beginning. One that does not remember may be one that has
   * just started: another may know more.
   */
  async #connect(): Promise<{ connection: Connection; batch: Batch } | Failure> {
    let failure: Failure = notOurs;
    let forgotten: Failure | null = null;
    for (let tries = 0; tries < this.#endpoints.length; tries++) {
      const endpoint = must(this.#endpoints[this.#at], "it is one of the endpoints");
      const opened = await this.#connectTo(endpoint);
      if (!("ok" in opened)) return opened;
      if (opened.code === "compacted") forgotten = opened;
      else failure = opened;
      if (opened.code !== "compacted" && !passing.includes(opened.code)) return opened;
      this.#at = (this.#at + 1) % this.#endpoints.length;
    }
    this.#mayRemember = failure !== notOurs;
    return forgotten ?? failure;
  }

  async #connectTo(endpoint: URL): Promise<{ connection: Connection; batch: Batch } | Failure> {
    const ended = new AbortController();
    const end = (): void => ended.abort();
    const signal = AbortSignal.any([ended.signal, this.#given.signal]);
    try {
      const answer = await inTime(answerOf(endpoint, this.#path, signal), end);
      if (answer.statusCode !== 200) return failureOf(await wholeAnswer(answer), false);
      const batches = batchesOf(answer, end);
      const first = await batches.next();
      if (first.done === true) return unreachable(endpoint, "it ended at once");
      return { connection: { batches, end }, batch: first.value };
    } catch (error) {
      end();
      const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
      return unreachable(endpoint, typeof code === "string" ? code : "no answer came");
    }
  }

  get #path(): string {
    const { key, prefix, start, end, before } = this.#options;
    const parameters = new URLSearchParams();
    const since = this.#since?.toString();
    const given = { key, prefix, start, end, since };
    for (const [name, value] of Object.entries(given)) {
      if (value !== undefined) parameters.set(name, value);
    }
    if (before === true) parameters.set("prev", "true");
    return `/v1/watch?${parameters.toString()}`;
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
async function* batchesOf(
  answer: IncomingMessage,
  end: () => void,
): AsyncGenerator<Batch, undefined> {
  const decoder = new TextDecoder();
  const chunks = answer[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let rest = "";
  for (;;) {
    const { value, done } = await inTime(chunks.next(), end);
    if (done === true) return undefined;
    const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > lineLengthMax) throw new Error("the line is longer than any of ours");
    const events: WatchEvent[] = [];
    for (const line of lines) {
      const event = eventOfJson(JSON.parse(line));
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

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
