/**
 * The store as reached through other processes' HTTP ports. It goes through `node:http` and not
 * `fetch`, whose URLs cannot hold the keys `.` and `..`, and which tells a refused connection from a
 * lost answer in three different ways on three runtimes.
 */

import { Buffer } from "node:buffer";
import { Agent } from "node:http";
import type {
  AtomicAnswer,
  AtomicOperation,
  ClientPort,
  CountAnswer,
  DeleteAnswer,
  DeleteRangeAnswer,
  DeleteRangeOptions,
  Failure,
  GetAnswer,
  ListAnswer,
  ListOptions,
  Match,
  PutAnswer,
  ReadOptions,
  Result,
  Selection,
  Status,
  TransactionAnswer,
  WriteOptions,
} from "./client-port.ts";
import type { CompactAnswer, Compacted, MembersAnswer } from "./cluster-port.ts";
import type { MemberChange } from "./member-change.ts";
import type { NodeId } from "./raft/entry.ts";
import {
  jsonBody,
  type Attempt,
  type Call,
  exchange,
  type HttpAnswer,
  type Silence,
  silenceOf,
} from "./http-exchange.ts";
import { pathOfKey } from "./key-path.ts";
import {
  failureOf,
  jsonOf,
  metaOf,
  notOurs,
  parsedJson,
  revisionOf,
  rowOf,
} from "./http-answers.ts";
import { HttpSessions } from "./http-sessions.ts";
import type { SessionPort } from "./session-port.ts";
import { badRequest } from "./problem.ts";
import { must } from "./raft/assert.ts";
import { rowOfJson, type JsonRow } from "./json-row.ts";
import { keyBytesMax, type Row } from "./state-machine/command.ts";
import type { Transaction } from "./state-machine/transaction.ts";
import { resultOfJson, transactionJson } from "./transaction-json.ts";
import { HttpWatch } from "./watch/http-watch.ts";
import type { WatchAnswer, WatchOptions } from "./watch/watch-port.ts";

/** Longer than a server holds a request: its answer says more than our giving up. */
const timeoutMsDefault = 10_000;
const connectionsMax = 64;

export interface HttpClientOptions {
  /** For one request, over all the endpoints that are tried. */
  readonly timeoutMs?: number;
}

/** Whether another endpoint may be asked after this answer: nothing was done, and it may help. */
function isPassing(failure: Failure): boolean {
  const { code } = failure;
  const passing = code === "no_leader" || code === "overloaded" || code === "stale";
  return passing && failure.outcome !== "unknown";
}

function keyProblem(key: string): Failure | null {
  const bytes = Buffer.byteLength(key);
  if (bytes >= 1 && bytes <= keyBytesMax && !key.includes("\0") && key.isWellFormed()) return null;
  const failure = badRequest(`a key is 1 to ${keyBytesMax} bytes of text without NUL`, "key");
  return { ...failure, outcome: "not_applied" };
}

interface Listing {
  readonly rows: readonly JsonRow[];
  readonly prefixes?: readonly string[];
  readonly cursor?: string;
  readonly revision: Row["revision"];
}

function queryOf(parameters: Readonly<Record<string, string | undefined>>): string {
  const pairs = Object.entries(parameters).filter((pair) => pair[1] !== undefined);
  if (pairs.length === 0) return "";
  return `?${pairs.map(([name, value = ""]) => `${name}=${encodeURIComponent(value)}`).join("&")}`;
}

/**
 * Asks one endpoint after the other, beginning with the one that answered last, as long as that is
 * safe: a read always, a write only where it surely was not executed or is executed once anyway.
 */
export class HttpClient implements ClientPort {
  readonly sessions: SessionPort;
  readonly #endpoints: readonly URL[];
  readonly #timeoutMs: number;
  /** Its idle sockets are not what a process lives for. */
  readonly #agent = new Agent({ keepAlive: true, maxSockets: connectionsMax });
  #preferred = 0;

  /** `endpoints` are `http://host:port`; throws a TypeError where one is not. */
  constructor(endpoints: readonly string[], options: HttpClientOptions = {}) {
    this.#endpoints = endpoints.map((text) => {
      const url = new URL(text);
      if (url.protocol !== "http:") throw new TypeError(`${text} is not an http:// address`);
      return url;
    });
    if (endpoints.length === 0) throw new TypeError("there is no endpoint to ask");
    this.#timeoutMs = options.timeoutMs ?? timeoutMsDefault;
    this.sessions = new HttpSessions(
      (call, { signal, waitMs = 0 }) => this.#ask(call, signal, { waitMs }),
      this.#endpoints,
    );
  }

  /** Closes idle connections; the client can be used again. */
  close(): void {
    this.#agent.destroy();
  }

  async put(key: string, value: Uint8Array, options: WriteOptions = {}): Promise<PutAnswer> {
    const { contentType = null } = options;
    const path = pathOf(key) + queryOf(lastingParameters(options));
    const place = { method: "PUT", path, body: value, contentType } as const;
    const call = { ...place, ...matchHeaders(options), ...onceHeader(options) };
    const answer = keyProblem(key) ?? (await this.#ask(call, options.signal));
    if (isFailure(answer)) return answer;
    const revision = revisionOf(answer);
    if (revision === undefined) return { ...notOurs, outcome: "unknown" };
    return { ok: true, created: answer.status === 201, revision };
  }

  async delete(key: string, options: WriteOptions = {}): Promise<DeleteAnswer> {
    const headers = { ...matchHeaders(options), ...onceHeader(options) };
    const call = { method: "DELETE", path: pathOf(key), ...headers } as const;
    const answer = keyProblem(key) ?? (await this.#ask(call, options.signal));
    if (isFailure(answer)) return answer;
    const deleted = jsonOf(answer)?.["deleted"];
    const revision = revisionOf(answer);
    if (revision === undefined || (deleted !== 0 && deleted !== 1)) {
      return { ...notOurs, outcome: "unknown" };
    }
    return { ok: true, deleted, revision };
  }

  async get(key: string, options: ReadOptions = {}): Promise<GetAnswer> {
    const path = pathOf(key) + queryOf(recency(options));
    const answer =
      keyProblem(key) ??
      (await this.#ask({ method: "GET", path }, options.signal, { also: [404] }));
    if (isFailure(answer)) return answer;
    if (answer.status === 404) {
      const failure = failureOf(answer, false);
      if (failure.code !== "not_found") return failure;
      return { ok: true, ...metaOf(answer), row: null };
    }
    const row = rowOf(key, answer);
    return row === undefined ? notOurs : { ok: true, ...metaOf(answer), row };
  }

  async list(options: ListOptions): Promise<ListAnswer> {
    const { after, limit, keysOnly, reverse, delimiter } = options;
    const query = queryOf({
      ...selectionParameters(options),
      ...recency(options),
      delimiter,
      reverse: reverse === true ? "true" : undefined,
      limit: limit?.toString(),
      keys: keysOnly === true ? "true" : undefined,
      cursor: typeof after === "string" ? Buffer.from(after).toString("base64url") : undefined,
    });
    const answer = await this.#ask({ method: "GET", path: `/v1/kv${query}` }, options.signal);
    if (isFailure(answer)) return answer;
    const listing = jsonOf(answer) as unknown as Listing | undefined;
    if (!Array.isArray(listing?.rows)) return notOurs;
    const { rows, prefixes = [], cursor, revision } = listing;
    const more = cursor !== undefined;
    // The end of a listing is not gone on behind.
    const last = more ? Buffer.from(cursor, "base64url").toString() : null;
    const meta = metaOf(answer);
    return { ok: true, ...meta, rows: rows.map(rowOfJson), prefixes, more, last, revision };
  }

  async count(options: Selection & ReadOptions): Promise<CountAnswer> {
    const query = queryOf({
      ...selectionParameters(options),
      ...recency(options),
      count: "true",
    });
    const answer = await this.#ask({ method: "GET", path: `/v1/kv${query}` }, options.signal);
    if (isFailure(answer)) return answer;
    const count = jsonOf(answer)?.["count"];
    const revision = revisionOf(answer);
    if (typeof count !== "number" || revision === undefined) return notOurs;
    return { ok: true, ...metaOf(answer), count, revision };
  }

  async atomic(operation: AtomicOperation, options: WriteOptions = {}): Promise<AtomicAnswer> {
    const { key } = operation;
    const also = operation.op === "getdel" || operation.op === "touch" ? [404] : [];
    const call = { ...atomicCall(operation), ...onceHeader(options) };
    const answer = keyProblem(key) ?? (await this.#ask(call, options.signal, { also }));
    return isFailure(answer) ? answer : atomicAnswerOf(operation, answer);
  }

  async transact(transaction: Transaction, options: WriteOptions = {}): Promise<TransactionAnswer> {
    const body = jsonBody(transactionJson(transaction));
    const call = { method: "POST", path: "/v1/txn", ...body, ...onceHeader(options) } as const;
    const answer = await this.#ask(call, options.signal);
    if (isFailure(answer)) return answer;
    const found = transactionAnswerOf(transaction, jsonOf(answer));
    return found ?? { ...notOurs, outcome: "unknown" };
  }

  async deleteRange(
    selection: Selection,
    options: DeleteRangeOptions = {},
  ): Promise<DeleteRangeAnswer> {
    const limit = options.limit?.toString();
    const query = queryOf({ ...selectionParameters(selection), limit });
    const call = { method: "DELETE", path: `/v1/kv${query}`, ...onceHeader(options) } as const;
    const answer = await this.#ask(call, options.signal);
    if (isFailure(answer)) return answer;
    const deleted = jsonOf(answer)?.["deleted"];
    const revision = revisionOf(answer);
    if (typeof deleted !== "number" || revision === undefined) {
      return { ...notOurs, outcome: "unknown" };
    }
    return { ok: true, deleted, revision };
  }

  watch(options: WatchOptions): Promise<WatchAnswer> {
    return new HttpWatch(this.#endpoints, options).open(this.#preferred);
  }

  async status(): Promise<Result<{ readonly status: Status }>> {
    const answer = await this.#ask({ method: "GET", path: "/v1/status" }, undefined);
    if (isFailure(answer)) return answer;
    const status = jsonOf(answer) as unknown as Status | undefined;
    return status === undefined ? notOurs : { ok: true, status };
  }

  async members(): Promise<MembersAnswer> {
    return membersOf(await this.#ask({ method: "GET", path: "/v1/members" }, undefined), false);
  }

  async changeMembers(change: MemberChange, revision?: number): Promise<MembersAnswer> {
    const ifMatch = revision === undefined ? "*" : `"${revision}"`;
    const call = { ...memberCall(change), ifMatch };
    return membersOf(await this.#ask(call, undefined), true);
  }

  async transferLeadership(to: NodeId): Promise<Result<{ readonly leader: NodeId }>> {
    const call = { method: "POST", path: "/v1/transfer", ...jsonBody({ to }) } as const;
    const answer = await this.#ask(call, undefined);
    return isFailure(answer) ? answer : { ok: true, leader: to };
  }

  async compact(revision?: number): Promise<CompactAnswer> {
    const body = jsonBody(revision === undefined ? {} : { revision });
    const answer = await this.#ask({ method: "POST", path: "/v1/compact", ...body }, undefined);
    if (isFailure(answer)) return answer;
    const compacted = jsonOf(answer) as Compacted | undefined;
    return compacted === undefined ? notOurs : { ok: true, compacted };
  }

  /** The first answer of success (or of a status in `also`), or the failure that ended the search. */
  async #ask(
    call: Omit<Call, "signal">,
    signal: AbortSignal | undefined,
    { also = [], waitMs = 0 }: AskOptions = {},
  ): Promise<HttpAnswer | Failure> {
    const write = call.method !== "GET";
    const deadline = AbortSignal.timeout(this.#timeoutMs + waitMs);
    const limit = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
    const count = this.#endpoints.length;
    /** Of an endpoint that answered: it says more than one that did not. */
    let answered: Failure | undefined;
    const silent: Unheard[] = [];
    for (let tries = 1; tries <= count && !limit.aborted; tries++) {
      const endpoint = must(this.#endpoints[this.#preferred], "it is one of the endpoints");
      // The last one may use up what is left.
      const share = tries < count ? AbortSignal.timeout(Math.ceil(this.#timeoutMs / count)) : limit;
      const isConnected = false;
      const attempt: Attempt = {
        ...{ endpoint, agent: this.#agent, share, isConnected },
        call: { ...call, signal: limit },
      };
      const answer = await this.#tryOne(attempt);
      if ("status" in answer) {
        if (answer.status < 300 || also.includes(answer.status)) return answer;
        const failure = failureOf(answer, write);
        if (!isPassing(failure) || (write && failure.outcome !== "not_applied")) return failure;
        answered = failure;
      } else {
        silent.push({ host: endpoint.host, ...answer });
        // What is executed once may be sent again, wherever it has been.
        if (write && answer.sent && call.idempotencyKey === undefined) break;
      }
      this.#preferred = (this.#preferred + 1) % count;
    }
    const isUnknown = silent.some(({ sent }) => sent);
    if (answered && !(write && isUnknown)) return answered;
    return silent.length === 0 ? givenUp(write) : unheard(silent, { write, isLate: limit.aborted });
  }

  async #tryOne(attempt: Attempt): Promise<HttpAnswer | Silence> {
    try {
      return await exchange(attempt);
    } catch (error) {
      return silenceOf(error, attempt);
    }
  }
}

interface AskOptions {
  readonly also?: readonly number[];
  /** The server waits so long before it answers. */
  readonly waitMs?: number;
}

interface Unheard extends Silence {
  readonly host: string;
}

/** Names every endpoint with what came of it; those that are alike together. */
function unheard(
  silent: readonly Unheard[],
  { write, isLate }: { readonly write: boolean; readonly isLate: boolean },
): Failure {
  const hosts = new Map<string, string[]>();
  for (const { host, why } of silent) hosts.set(why, [...(hosts.get(why) ?? []), host]);
  const isUnknown = silent.some(({ sent }) => sent);
  const told = [...hosts].map(([why, of]) => `${of.join(", ")}: ${why}`);
  const advice =
    write && isUnknown ? "read the key to see what became of it" : "see that the nodes run there";
  return {
    ok: false,
    code: isLate || (isUnknown && write) ? "timeout" : "unreachable",
    detail: `${told.join("; ")}; ${advice}`,
    ...(write ? { outcome: isUnknown ? "unknown" : "not_applied" } : {}),
  };
}

/** The caller gave up before anything was sent. */
function givenUp(write: boolean): Failure {
  const detail = "given up before it was sent";
  return { ok: false, code: "timeout", detail, ...(write ? { outcome: "not_applied" } : {}) };
}

function isFailure(answer: HttpAnswer | Failure): answer is Failure {
  return "ok" in answer;
}

/** A key that is no text has no path; it is refused before it would be sent. */
function pathOf(key: string): string {
  return key.isWellFormed() ? pathOfKey(key) : "";
}

const etagOf = (match: Match): string => (match === "*" ? "*" : `"${match}"`);

function matchHeaders({
  ifMatch,
  ifNoneMatch,
}: WriteOptions): Pick<Call, "ifMatch" | "ifNoneMatch"> {
  return {
    ...(ifMatch === undefined ? {} : { ifMatch: etagOf(ifMatch) }),
    ...(ifNoneMatch === undefined ? {} : { ifNoneMatch: etagOf(ifNoneMatch) }),
  };
}

const lastingParameters = ({ ttlMs, lease }: Pick<WriteOptions, "ttlMs" | "lease">) => ({
  ttl: milliseconds(ttlMs),
  lease: lease?.toString(),
});

const onceHeader = ({ idempotencyKey }: WriteOptions): Pick<Call, "idempotencyKey"> =>
  idempotencyKey === undefined ? {} : { idempotencyKey };
const milliseconds = (ms: number | undefined): string | undefined =>
  ms === undefined ? undefined : `${ms}ms`;

const recency = ({ level, minRevision, maxStaleMs, timeoutMs }: ReadOptions) => ({
  level,
  min_revision: minRevision?.toString(),
  max_stale: milliseconds(maxStaleMs),
  timeout: milliseconds(timeoutMs),
});

const selectionParameters = ({ prefix, start, end }: Selection) => ({ prefix, start, end });

type Unsigned = Omit<Call, "signal">;

function atomicCall(operation: AtomicOperation): Unsigned {
  const { op, key } = operation;
  const path = (parameters: Readonly<Record<string, string | undefined>>): string =>
    pathOf(key) + queryOf({ op, ...parameters });
  switch (op) {
    case "incr": {
      const { by, min, max } = operation;
      const bounds = {
        min: min?.toString(),
        max: max?.toString(),
        ...lastingParameters(operation),
      };
      return { method: "POST", path: path({ by: by.toString(), ...bounds }) };
    }
    case "max":
    case "min":
      return { method: "POST", path: path({ value: operation.value.toString() }) };
    case "append":
      return { method: "POST", path: path({}), body: operation.value };
    case "touch":
      return { method: "POST", path: path(lastingParameters(operation)) };
    case "getdel":
      return { method: "POST", path: path({}) };
  }
}

function atomicAnswerOf(operation: AtomicOperation, answer: HttpAnswer): AtomicAnswer {
  const { op, key } = operation;
  const { headers, body, status } = answer;
  const revision = revisionOf(answer);
  if (status === 404) {
    const failure = failureOf(answer, true);
    if (failure.code !== "not_found" || revision === undefined) return failure;
    return { ok: true, result: { op: op === "touch" ? op : "getdel", row: null }, revision };
  }
  if (revision === undefined) return { ...notOurs, outcome: "unknown" };
  if (op === "getdel") {
    const contentType = headers["content-type"] ?? null;
    const row = { key, value: body, contentType, revision, createRevision: revision };
    return { ok: true, result: { op, row }, revision };
  }
  const result = resultOfJson(operation, parsedJson(body), revision);
  return result === null ? { ...notOurs, outcome: "unknown" } : { ok: true, result, revision };
}

function transactionAnswerOf(
  { then, otherwise }: Transaction,
  json: Readonly<Record<string, unknown>> | undefined,
): TransactionAnswer | null {
  const { succeeded, results, revision: index } = json ?? {};
  const isRight = typeof succeeded === "boolean" && typeof index === "number";
  if (!isRight || !Array.isArray(results)) return null;
  const revision = index as Row["revision"];
  const side = succeeded ? then : otherwise;
  const found = side.map((operation, at) => resultOfJson(operation, results[at], revision));
  if (found.some((result) => result === null)) return null;
  return { ok: true, succeeded, results: found.filter((result) => result !== null), revision };
}

function memberCall(change: MemberChange): Unsigned {
  const path = `/v1/members/${change.id}`;
  switch (change.kind) {
    case "add": {
      const { id, raft, http } = change;
      return { method: "POST", path: "/v1/members", ...jsonBody({ id, raft, http }) };
    }
    case "replace": {
      const { raft, http } = change;
      return { method: "PUT", path, ...jsonBody({ raft, http }) };
    }
    case "promote":
      return { method: "POST", path: `${path}/promote` };
    case "remove":
      return { method: "DELETE", path };
  }
}

function membersOf(answer: HttpAnswer | Failure, write: boolean): MembersAnswer {
  if (isFailure(answer)) return answer;
  const { members, revision } = jsonOf(answer) ?? {};
  if (!Array.isArray(members) || typeof revision !== "number") {
    return write ? { ...notOurs, outcome: "unknown" } : notOurs;
  }
  return { ok: true, members, revision };
}
