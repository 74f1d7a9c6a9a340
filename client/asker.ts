/**
 * One call over as many tries as are safe: a read always, a write only where it surely was not done or
 * carries a key by which the server knows it again.
 */

import { type Endpoints, viewIn } from "./endpoints.ts";
import { errorOf, KvError, objectIn, type KvErrorCode, type Outcome } from "./error.ts";
import { pause } from "./time.ts";

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface Call {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** With its query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  /** Whether it would change something. */
  readonly write: boolean;
  /** May be sent again even though it may have been done. */
  readonly repeatable: boolean;
  /** Statuses besides 2xx that are answers and no errors. */
  readonly also?: readonly number[];
  readonly signal?: AbortSignal | undefined;
  /** Longer than usual: the server is asked to wait for so many milliseconds. */
  readonly waitMs?: number;
  /** What the path goes on with, where the server is told how long it may take. */
  readonly timing?: ((times: Timing) => string) | undefined;
}

/** Of one try. */
export interface Timing {
  /** For the answer, besides the wait. */
  readonly shareMs: number;
  /** Of what is left of it. */
  readonly waitMs: number;
}

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
}

export interface AskerOptions {
  readonly fetch: Fetch;
  readonly endpoints: Endpoints;
  readonly timeoutMs: number;
  readonly token: string | null;
  /** Ends everything. */
  readonly signal: AbortSignal;
}

/** Pauses between rounds over all endpoints; each is drawn between half of it and the whole. */
const pauseMsFirst = 50;
const pauseMsMax = 1_000;
const roundsMax = 1_000;
/** One silent server may not use up the time of all. */
const shareMsMin = 1_000;
/** Servers without a leader hold a request for two seconds. */
const heldMs = 2_500;
/** Long enough to learn that nobody listens. */
const connectMs = 200;
/** How old what is known of the members may get while requests are made. */
const refreshMs = 30_000;
/** After a failure it is asked for sooner. */
const refreshAfterFailureMs = 500;
const statusMs = 2_000;

/** Why a try gave no answer, and whether another may. */
interface Miss {
  readonly error: KvError;
  /** The server may have done what was asked. */
  readonly perhapsDone: boolean;
  /** Another server, or the same later, may answer. */
  readonly passing: boolean;
}

export class Asker {
  readonly #options: AskerOptions;
  #refreshedMs = -Infinity;
  #isRefreshing = false;

  constructor(options: AskerOptions) {
    this.#options = options;
  }

  /** Rejects with a KvError and nothing else. */
  async ask(call: Call): Promise<Reply> {
    const { endpoints, timeoutMs } = this.#options;
    const endMs = performance.now() + timeoutMs + (call.waitMs ?? 0);
    const limit = new Limit(endMs - performance.now(), call.signal, this.#options.signal);
    let perhapsDone = false;
    let last: KvError | null = null;
    /** What a server said is a better reason than that another one said nothing. */
    let said: KvError | null = null;
    try {
      rounds: for (let round = 0; round < roundsMax; round++) {
        const candidates = endpoints.candidates();
        for (const [offset, url] of candidates.entries()) {
          const leftMs = endMs - performance.now();
          if (limit.signal.aborted || isTooLate({ call, last, leftMs, perhapsDone })) break rounds;
          const left = candidates.length - offset;
          const times = timesOf(call, { leftMs, left, timeoutMs });
          const got = await this.#try(url, call, { limit, times });
          if (!("error" in got)) return got;
          if (limit.signal.aborted && !got.perhapsDone) break rounds;
          perhapsDone ||= got.perhapsDone;
          if (!got.passing) throw got.error.withOutcome(outcomeOf(call, perhapsDone));
          last = got.error;
          if (last.status !== null) said = last;
        }
        const pauseMs = Math.min(pauseMsMax, pauseMsFirst * 2 ** Math.min(round, 10));
        await pause(pauseMs * (0.5 + Math.random() / 2), limit.signal);
        if (limit.signal.aborted) break;
      }
      throw limit.errorAfter(said ?? last).withOutcome(outcomeOf(call, perhapsDone));
    } finally {
      limit.end();
    }
  }

  /**
   * A stream that goes on, from the first server that begins it. One that has no history so far back
   * may only have started later than others: it is told as `compacted` when none of those that answer
   * has more.
   */
  async open(call: Call): Promise<{ readonly url: string; readonly response: Response }> {
    const { endpoints, timeoutMs } = this.#options;
    const limit = new Limit(timeoutMs, call.signal, this.#options.signal);
    let last: KvError | null = null;
    try {
      for (let round = 0; round < roundsMax; round++) {
        const asked = new Set<string>();
        let forgotten: KvError | null = null;
        for (;;) {
          const url = endpoints.candidates().find((each) => !asked.has(each));
          if (url === undefined || limit.signal.aborted) break;
          asked.add(url);
          const got = await this.#begin(url, call, limit);
          if (!("error" in got)) return { url, response: got };
          if (got.error.code === "compacted") {
            forgotten = further(got.error, forgotten);
            // Where one endpoint was given, the others are not known yet.
            if (asked.size === 1) await this.#look();
          } else if (!got.passing) throw got.error;
          last = got.error;
        }
        if (forgotten !== null && !limit.signal.aborted) throw forgotten;
        const pauseMs = Math.min(pauseMsMax, pauseMsFirst * 2 ** Math.min(round, 10));
        await pause(pauseMs * (0.5 + Math.random() / 2), limit.signal);
        if (limit.signal.aborted) break;
      }
      throw limit.errorAfter(last);
    } finally {
      limit.end();
    }
  }

  async #begin(url: string, call: Call, limit: Limit): Promise<Response | Miss> {
    // The stream outlives the time that its beginning may take.
    const given = new AbortController();
    const giveUp = (): void => given.abort();
    const timer = setTimeout(giveUp, Math.max(shareMsMin, limit.leftMs / 2));
    limit.signal.addEventListener("abort", giveUp);
    const streams = [call.signal, this.#options.signal].filter((each) => each !== undefined);
    const signal = AbortSignal.any([...streams, given.signal]);
    try {
      const response = await this.#options.fetch(url + call.path, this.#init(call, signal));
      if (response.ok) {
        this.#options.endpoints.answered(url);
        this.#refresh(refreshMs);
        return response;
      }
      return this.#refused(url, call, { status: response.status, body: await response.text() });
    } catch (error) {
      return this.#silent(url, call, { error, limit });
    } finally {
      clearTimeout(timer);
      limit.signal.removeEventListener("abort", giveUp);
    }
  }

  async #try(
    url: string,
    call: Call,
    { limit, times }: { readonly limit: Limit; readonly times: Timing },
  ): Promise<Reply | Miss> {
    // A write that must not be repeated waits for its answer as long as there is time.
    const share = new AbortController();
    const shareMs = times.shareMs + times.waitMs;
    const timer = call.repeatable ? setTimeout(() => share.abort(), shareMs) : undefined;
    const signal = AbortSignal.any([limit.signal, share.signal]);
    try {
      const address = url + call.path + (call.timing?.(times) ?? "");
      const response = await this.#options.fetch(address, this.#init(call, signal));
      const { status, headers } = response;
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (response.ok || (call.also?.includes(status) === true && isOurs(status, headers))) {
        this.#options.endpoints.answered(url);
        this.#refresh(refreshMs);
        return { status, headers, bytes };
      }
      return this.#refused(url, call, { status, body: new TextDecoder().decode(bytes) });
    } catch (error) {
      return this.#silent(url, call, { error, limit });
    } finally {
      clearTimeout(timer);
    }
  }

  #init({ method, headers, body }: Call, signal: AbortSignal): RequestInit {
    const { token } = this.#options;
    const authorization = token === null ? {} : { Authorization: `Bearer ${token}` };
    return {
      method,
      headers: { ...headers, ...authorization },
      signal,
      redirect: "error",
      cache: "no-store",
      credentials: "omit",
      ...(body === undefined ? {} : { body: body as BodyInit }),
    };
  }

  #refused(
    url: string,
    call: Call,
    { status, body }: { readonly status: number; readonly body: string },
  ): Miss {
    const { endpoints } = this.#options;
    const error = errorOf(status, body, call.write);
    const leader = objectIn(body)["leader"];
    if (typeof leader === "number") endpoints.hint(leader);
    const perhapsDone = call.write && error.outcome === "unknown";
    const passing = isPassing(error) && (!perhapsDone || call.repeatable);
    if (passing) {
      if (error.code !== "overloaded") endpoints.failed(url);
      this.#refresh(refreshAfterFailureMs);
    } else endpoints.answered(url);
    return { error, perhapsDone, passing };
  }

  #silent(
    url: string,
    call: Call,
    { error, limit }: { readonly error: unknown; readonly limit: Limit },
  ): Miss {
    const neverSent = isRefusedConnection(error);
    const perhapsDone = call.write && !neverSent;
    const outcome = outcomeOf(call, perhapsDone);
    if (limit.signal.aborted) {
      return { error: limit.errorAfter(null).withOutcome(outcome), perhapsDone, passing: false };
    }
    this.#options.endpoints.failed(url);
    this.#refresh(refreshAfterFailureMs);
    const text = `no answer came from ${url}`;
    const why = new KvError("unreachable", text, { outcome, cause: error });
    return { error: why, perhapsDone, passing: !perhapsDone || call.repeatable };
  }

  /** Asks for the members now and then, beside the requests; nobody waits for it. */
  #refresh(everyMs: number): void {
    const nowMs = performance.now();
    if (this.#isRefreshing || nowMs - this.#refreshedMs < everyMs) return;
    this.#refreshedMs = nowMs;
    this.#isRefreshing = true;
    void this.#look().finally(() => (this.#isRefreshing = false));
  }

  async #look(): Promise<void> {
    const { endpoints, fetch, signal } = this.#options;
    for (const url of endpoints.candidates()) {
      const call = { method: "GET", path: "/v1/status", write: false, repeatable: true } as const;
      const limit = new Limit(statusMs, undefined, signal);
      try {
        const response = await fetch(url + call.path, this.#init(call, limit.signal));
        const view = viewIn(objectIn(await response.text()));
        if (view === null) continue;
        endpoints.learn(url, view);
        return;
      } catch {
        // The next one may know.
      } finally {
        limit.end();
      }
    }
  }
}

/** Of two that have forgotten, the one that remembers more. */
function further(error: KvError, other: KvError | null): KvError {
  const from = ({ oldestRevision = Infinity }: KvError): number => oldestRevision;
  return other === null || from(error) < from(other) ? error : other;
}

/** The time a call has, and the signals that end it before. */
class Limit {
  readonly signal: AbortSignal;
  readonly #deadline = new AbortController();
  readonly #endMs: number;
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #others: readonly AbortSignal[];

  constructor(ms: number, ...others: readonly (AbortSignal | undefined)[]) {
    this.#others = others.filter((each) => each !== undefined);
    this.signal = AbortSignal.any([this.#deadline.signal, ...this.#others]);
    this.#endMs = performance.now() + ms;
    this.#timer = setTimeout(() => this.#deadline.abort(), ms);
  }

  get leftMs(): number {
    return this.#endMs - performance.now();
  }

  /** What to say when it is over: what the last server said is the reason that helps. */
  errorAfter(last: KvError | null): KvError {
    const by = this.#others.find(({ aborted }) => aborted);
    if (by !== undefined) {
      return new KvError("aborted", "the call was given up", { cause: by.reason });
    }
    return last ?? new KvError("timeout", "no answer came in time");
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

/** `left` servers have not been asked in this round. */
function timesOf(
  { write, waitMs = 0, timing }: Call,
  { leftMs, left, timeoutMs }: { leftMs: number; left: number; timeoutMs: number },
): Timing {
  const shareMsLeast = write ? heldMs : shareMsMin;
  // Where the server is not told, it waits as long as it was told first.
  if (timing === undefined) return { shareMs: Math.max(shareMsLeast, leftMs / left), waitMs };
  const waitMsLeft = Math.min(waitMs, Math.max(0, leftMs - timeoutMs));
  const answerMs = leftMs - waitMsLeft;
  const shareMs = Math.min(answerMs, Math.max(shareMsLeast, answerMs / left));
  return { shareMs, waitMs: waitMsLeft };
}

/** To know that nothing was done is worth more than one more try that might be cut off. */
function isTooLate({
  call,
  last,
  leftMs,
  perhapsDone,
}: {
  readonly call: Call;
  /** What the last try brought; null before the first. */
  readonly last: KvError | null;
  readonly leftMs: number;
  readonly perhapsDone: boolean;
}): boolean {
  if (!call.write || perhapsDone || last === null) return false;
  return leftMs < (last.status === null ? connectMs : heldMs);
}

const passingCodes: ReadonlySet<KvErrorCode> = new Set<KvErrorCode>([
  "no_leader",
  "overloaded",
  "stale",
  "timeout",
  "wrong_host",
]);

function isPassing({ code, status }: KvError): boolean {
  // A gateway between us and the nodes speaks without our codes.
  return passingCodes.has(code) || (code === "protocol" && status !== null && status >= 502);
}

function outcomeOf({ write }: Call, perhapsDone: boolean): Outcome | undefined {
  return write ? (perhapsDone ? "unknown" : "not_applied") : undefined;
}

/** A 404 of something in between is no word on a key. */
function isOurs(status: number, headers: Headers): boolean {
  return status !== 404 || headers.get("content-type") === "application/problem+json";
}

/** Each runtime says in its own way that there was nobody to send to; a browser says nothing. */
function isRefusedConnection(error: unknown): boolean {
  const texts: string[] = [];
  let next: unknown = error;
  for (let depth = 0; depth < 4 && next instanceof Error; depth++) {
    texts.push(next.message, String((next as { code?: unknown }).code));
    next = next.cause;
  }
  return /ECONNREFUSED|ConnectionRefused|ENOTFOUND|connection refused/i.test(texts.join(" "));
}
