/**
 * The store as a program uses it: `connect` to some of its nodes, and put, get, delete, list, count,
 * transact and watch, wherever the leader is. For Node, Bun, Deno and browsers.
 */

import { Asker, type Call, type Fetch, type Reply } from "./asker.ts";
import { bytesOf, textOf, type Value } from "./bytes.ts";
import { type Codec, TypedStore } from "./codec.ts";
import { isDotKey, writeDotKey } from "./dot-keys.ts";
import { Endpoints } from "./endpoints.ts";
import { Entry, entryOfJson, isJsonRow } from "./entry.ts";
import { badRequest, KvError, objectIn } from "./error.ts";
import { integerOf, type Integer } from "./integer.ts";
import { Lease } from "./lease.ts";
import {
  acquire,
  leaderIn,
  Leadership,
  Lock,
  pathOf as queuePathOf,
  type Leader,
  type LockOptions,
  type LockPort,
} from "./lock.ts";
import {
  headerText,
  jsonHeaders,
  keyPath,
  matchHeaders,
  newIdempotencyKey,
  queryOf,
  recencyParameters,
  selectionParameters,
  timingOf,
  ttlText,
} from "./request-parts.ts";
import { millisecondsOf, type Duration } from "./time.ts";
import { Transaction, type Selection } from "./transaction.ts";
import { type Change, watch, type WatchSelection } from "./watch.ts";

export { bytes, json, text, TypedStore } from "./codec.ts";
export type { Codec, TypedChange, TypedEntry } from "./codec.ts";
export { Entry } from "./entry.ts";
export { KvError } from "./error.ts";
export type { KvErrorCode, Outcome } from "./error.ts";
export type { Integer } from "./integer.ts";
export type { Lease } from "./lease.ts";
export type { Leader, Leadership, Lock, LockOptions } from "./lock.ts";
export type { Duration } from "./time.ts";
export type { Condition, Operation, OperationResult, Transaction } from "./transaction.ts";
export type { Selection, TransactionResult } from "./transaction.ts";
export type { Change, WatchSelection } from "./watch.ts";

/** Longer than a server holds a request: its answer says more than our giving up. */
const timeoutMsDefault = 10_000;
const pageRowsDefault = 1_000;
const pageRowsMax = 10_000;

export interface ConnectOptions {
  /** For one call, all tries together. Default 10 s. */
  readonly timeout?: Duration;
  /** Sent as a bearer token. */
  readonly token?: string;
  /** Ends every call, as `close()` does. */
  readonly signal?: AbortSignal;
  /**
   * Whether every write carries a key by which the servers know it again, so that it is retried even
   * where it may have been done. Default true.
   */
  readonly idempotencyKeys?: boolean;
  /** In place of the runtime's own. */
  readonly fetch?: Fetch;
}

interface CallOptions {
  readonly signal?: AbortSignal;
}

interface WriteOptions extends CallOptions {
  /** The same key gives the same answer, however often it is sent; makes a retry safe. */
  readonly idempotencyKey?: string;
}

export interface DeleteOptions extends WriteOptions {
  /** Only if the row has this revision, or, `"*"`, any; otherwise `condition_failed`. */
  readonly ifMatch?: number | "*";
  /** Only if there is no row (`"*"`), or none of this revision. */
  readonly ifNoneMatch?: number | "*";
}

export interface PutOptions extends DeleteOptions {
  readonly contentType?: string;
  /** The row goes by itself after this time: a number is milliseconds, over HTTP it is seconds. */
  readonly ttl?: Duration;
  /** The row goes with this lease, whose id it is; `not_found` where that is gone. */
  readonly lease?: number;
}

export interface GetOptions extends CallOptions {
  /** `local`: what the asked node has, which may be old. */
  readonly level?: "linearizable" | "lease" | "local";
  /** The answering node has applied this revision. */
  readonly minRevision?: number;
  /** How old a `local` answer may be. */
  readonly maxStale?: Duration;
}

export interface WaitOptions extends GetOptions {
  /** Until the key changes, so long at the most; ten minutes are the most that servers wait. */
  readonly wait: Duration;
  /**
   * The revision that is known: a change behind it ends the wait, also one that has happened already.
   * Without it, a change from when a server is asked, and one between two tries is missed.
   */
  readonly after?: number;
}

export interface ListOptions extends Selection, GetOptions {
  /** From the greatest key down. */
  readonly reverse?: boolean;
  /** Entries altogether; without it, all. */
  readonly limit?: number;
}

export interface DeleteRangeOptions extends WriteOptions {
  /** So many at the most, the first ones; 10,000 are the most that one call deletes. */
  readonly limit?: number;
}

export interface IncrementOptions extends WriteOptions {
  /** `conflict` where the result would leave these bounds. */
  readonly min?: Integer;
  readonly max?: Integer;
  /** Applied where the counter is made. */
  readonly ttl?: Duration;
}

/**
 * Nothing is asked before the first call. Throws a TypeError where an endpoint is neither `host:port`
 * nor a URL of that alone, and a KvError where `timeout` is no time.
 */
export function connect(
  endpoints: string | readonly string[],
  options: ConnectOptions = {},
): Client {
  return new Client(endpoints, options);
}

/** Every promise rejects with a KvError, and no method throws anything else. */
export class Client {
  readonly #asker: Asker;
  readonly #closing = new AbortController();
  readonly #signal: AbortSignal;
  readonly #idempotencyKeys: boolean;

  /** As `connect`. */
  constructor(endpoints: string | readonly string[], options: ConnectOptions) {
    const { signal } = options;
    const send: Fetch = options.fetch ?? ((url, init) => fetch(url, init));
    const all = signal === undefined ? [this.#closing.signal] : [this.#closing.signal, signal];
    this.#signal = AbortSignal.any(all);
    this.#idempotencyKeys = options.idempotencyKeys ?? true;
    this.#asker = new Asker({
      // A browser's own is a method of its window, and of no other object.
      fetch: (url, init) => send(url, init),
      endpoints: new Endpoints(endpoints, () => performance.now()),
      timeoutMs: millisecondsOf(options.timeout ?? timeoutMsDefault, "timeout"),
      token: options.token ?? null,
      signal: this.#signal,
    });
  }

  /** Ends every call and watch. */
  close(): void {
    this.#closing.abort(new Error("the client was closed"));
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async put(
    key: string,
    value: Value,
    options: PutOptions = {},
  ): Promise<{ readonly revision: number }> {
    const { contentType, ttl, lease } = options;
    const body = bytesOf(value);
    if (!ArrayBuffer.isView(body)) {
      const detail = "a value is a text or a Uint8Array";
      throw badRequest(detail, "value", { outcome: "not_applied" });
    }
    if (isDotKey(key)) {
      const described = contentType === undefined ? {} : { contentType };
      const lives = ttl === undefined ? {} : { ttl };
      const leased = lease === undefined ? {} : { lease };
      const put = { op: "put", key, value: body, ...described, ...lives, ...leased } as const;
      const { revision } = await writeDotKey(this.txn(), [put], options);
      return { revision };
    }
    const type = contentType === undefined ? null : headerText(contentType, "contentType");
    const headers = {
      ...matchHeaders(options),
      ...(type === null ? {} : { "Content-Type": type }),
    };
    const path = keyPath(key, "not_applied");
    const query = queryOf({ ttl: ttlText(ttl), lease: lease?.toString() });
    const call = { method: "PUT", path: path + query, headers, body } as const;
    return { revision: revisionOf(await this.#write(call, options), "unknown") };
  }

  /** With `wait`: what the key has changed to, undefined where it is gone, null where nothing came. */
  get(key: string, options: WaitOptions): Promise<Entry | undefined | null>;
  /** Undefined where there is no such key. */
  get(key: string, options?: GetOptions): Promise<Entry | undefined>;
  async get(
    key: string,
    options: GetOptions & Partial<WaitOptions> = {},
  ): Promise<Entry | undefined | null> {
    const { wait, after } = options;
    if (wait === undefined && after !== undefined) {
      throw badRequest("`after` goes with `wait`", "after");
    }
    if (isDotKey(key)) {
      if (wait !== undefined) {
        throw badRequest("a key of dots alone cannot be waited for; watch it", "key");
      }
      // Nothing lies between a key and its continuation with the smallest character.
      for await (const entry of this.list({ ...options, start: key, end: `${key}\u0001` })) {
        return entry;
      }
      return undefined;
    }
    const path =
      keyPath(key) + queryOf({ ...recencyParameters(options), after: after?.toString() });
    const isWaiting = wait !== undefined;
    const waitMs = isWaiting ? millisecondsOf(wait, "wait") : 0;
    const reply = await this.#read({ path, also: [404, 304], waitMs, isWaiting }, options);
    if (reply.status === 304) return null;
    if (reply.status === 404) return undefined;
    const revision = revisionOf(reply);
    // Left out where it is the same.
    const createRevision = Number(reply.headers.get("x-kv-create-revision") ?? revision);
    return entryOf(key, reply, { revision, createRevision });
  }

  async delete(
    key: string,
    options: DeleteOptions = {},
  ): Promise<{ readonly deleted: boolean; readonly revision: number }> {
    if (isDotKey(key)) {
      const { results, revision } = await writeDotKey(this.txn(), [{ op: "delete", key }], options);
      return { deleted: results[0]?.op === "delete" && results[0].deleted === 1, revision };
    }
    const path = keyPath(key, "not_applied");
    const call = { method: "DELETE", path, headers: matchHeaders(options) } as const;
    const reply = await this.#write(call, options);
    return { deleted: jsonOf(reply)["deleted"] === 1, revision: revisionOf(reply, "unknown") };
  }

  /** In the order of the keys' bytes, page by page; what is written meanwhile may or may not be in it. */
  async *list(options: ListOptions = {}): AsyncGenerator<Entry, void> {
    const { limit = Infinity, reverse } = options;
    if (limit !== Infinity && !(Number.isSafeInteger(limit) && limit >= 0)) {
      throw badRequest("`limit` is a number of entries; without it there are all", "limit");
    }
    let cursor: string | undefined;
    for (let left = limit; left > 0;) {
      const page = Number.isFinite(left) ? Math.min(left, pageRowsMax) : pageRowsDefault;
      const query = queryOf({
        ...selectionParameters(options),
        ...recencyParameters(options),
        reverse: reverse === true ? "true" : undefined,
        limit: String(page),
        cursor,
      });
      const json = jsonOf(await this.#read({ path: `/v1/kv${query}` }, options));
      const rows = json["rows"];
      if (!Array.isArray(rows) || !rows.every(isJsonRow)) throw notOurs();
      for (const row of rows) yield entryOfJson(row);
      left -= rows.length;
      cursor = typeof json["cursor"] === "string" ? json["cursor"] : undefined;
      if (cursor === undefined) return;
    }
  }

  async count(selection: Selection & GetOptions = {}): Promise<number> {
    const parameters = { ...selectionParameters(selection), ...recencyParameters(selection) };
    const path = `/v1/kv${queryOf({ ...parameters, count: "true" })}`;
    const { count } = jsonOf(await this.#read({ path }, selection)) as { count?: unknown };
    if (typeof count !== "number") throw notOurs();
    return count;
  }

  /** All of them or, where they are more than the servers delete at once and no `limit` is given, none. */
  async deleteRange(
    selection: Selection,
    options: DeleteRangeOptions = {},
  ): Promise<{ readonly deleted: number; readonly revision: number }> {
    const limit = options.limit?.toString();
    const path = `/v1/kv${queryOf({ ...selectionParameters(selection), limit }, "not_applied")}`;
    const reply = await this.#write({ method: "DELETE", path }, options);
    return { deleted: Number(jsonOf(reply)["deleted"]), revision: revisionOf(reply, "unknown") };
  }

  /** `conflict` where the value is no integer. A key without a row counts as 0. */
  async incr(
    key: string,
    by: Integer = 1,
    options: IncrementOptions = {},
  ): Promise<{ readonly value: Integer; readonly revision: number }> {
    const { min, max, ttl } = options;
    if (isDotKey(key)) {
      const bounds = {
        ...(min === undefined ? {} : { min }),
        ...(max === undefined ? {} : { max }),
        ...(ttl === undefined ? {} : { ttl }),
      };
      const operation = { op: "incr", key, by, ...bounds } as const;
      const { results, revision } = await writeDotKey(this.txn(), [operation], options);
      return { value: results[0]?.op === "incr" ? results[0].value : 0, revision };
    }
    const query = queryOf({
      op: "incr",
      by: by.toString(),
      min: min?.toString(),
      max: max?.toString(),
      ttl: ttlText(ttl),
    });
    const path = keyPath(key, "not_applied") + query;
    const reply = await this.#write({ method: "POST", path }, options);
    return { value: integerOf(jsonOf(reply)["value"]), revision: revisionOf(reply, "unknown") };
  }

  /** Gives a key another TTL and changes nothing else of it; undefined where there is no such key. */
  async touch(key: string, ttl: Duration, options: WriteOptions = {}): Promise<Entry | undefined> {
    const { results } = await this.txn().do({ op: "touch", key, ttl }).commit(options);
    return results[0]?.op === "touch" ? results[0].entry : undefined;
  }

  /** What is there, deleted in the same instant; undefined where there is nothing. */
  async getAndDelete(key: string, options: WriteOptions = {}): Promise<Entry | undefined> {
    if (isDotKey(key)) {
      const operations = [{ op: "get", key } as const, { op: "delete", key } as const];
      const [found] = (await writeDotKey(this.txn(), operations, options)).results;
      return found?.op === "get" ? found.entry : undefined;
    }
    const path = `${keyPath(key, "not_applied")}?op=getdel`;
    const reply = await this.#write({ method: "POST", path, also: [404] }, options);
    if (reply.status === 404) return undefined;
    return entryOf(key, reply, { revision: revisionOf(reply, "unknown") });
  }

  txn(): Transaction {
    return new Transaction(async (json, options) => {
      const call = { method: "POST", path: "/v1/txn", headers: jsonHeaders } as const;
      const reply = await this.#write({ ...call, body: JSON.stringify(json) }, options);
      const answer = jsonOf(reply);
      if (!Array.isArray(answer["results"])) throw notOurs("unknown");
      return answer;
    });
  }

  /**
   * Every change once and in order, over changes of the leader and lost connections. It begins when it
   * is first asked; `since` makes sure that nothing is missed before. Ends only with an error.
   */
  watch(selection: WatchSelection, options: CallOptions = {}): AsyncGenerator<Change, void> {
    const { signal } = options;
    return watch(this.#asker, selection, signal ? [this.#signal, signal] : [this.#signal]);
  }

  /** A time that keys share, which keeps itself going until it is ended. */
  async lease(ttl: Duration, options: CallOptions = {}): Promise<Lease> {
    const ttlMs = millisecondsOf(ttl, "ttl", "not_applied");
    const fromMs = performance.now();
    const body = JSON.stringify({ ttl: `${ttlMs}ms` });
    const call = { path: "/v1/leases", headers: jsonHeaders, body };
    const { id } = jsonOf(await this.#locks.enter({ ...call, signal: options.signal }));
    if (typeof id !== "number") throw notOurs("unknown");
    const path = `/v1/leases/${id}`;
    return new Lease({
      id,
      ttlMs,
      fromMs,
      renew: (signal) => this.#locks.repeat({ method: "POST", path: `${path}/keepalive`, signal }),
      end: () => this.#locks.repeat({ method: "DELETE", path }),
      closing: this.#signal,
    });
  }

  /**
   * Waits for one's turn, in the order of coming. `await using lock = await kv.lock("name")` gives it
   * back at the end of the block. Rejects with `conflict` where others had it for as long as `wait`.
   */
  async lock(name: string, options: LockOptions = {}): Promise<Lock> {
    return new Lock(...(await acquire(this.#locks, { kind: "lock", name }, options)));
  }

  /** Stands for election, and resolves on winning it. Others read the value. */
  async campaign(name: string, value: Value, options: LockOptions = {}): Promise<Leadership> {
    const won = await acquire(this.#locks, { kind: "election", name, value }, options);
    return new Leadership(won, this.#locks);
  }

  /** Undefined where nobody leads. */
  async leader(name: string, options: CallOptions = {}): Promise<Leader | undefined> {
    const path = queuePathOf("election", name);
    return leaderIn(jsonOf(await this.#read({ path }, options)));
  }

  get #locks(): LockPort {
    const always = { write: true, repeatable: true } as const;
    return {
      enter: (call) => {
        const headers = { ...call.headers, "Idempotency-Key": newIdempotencyKey() };
        return this.#asker.ask({ ...call, ...always, method: "POST", headers });
      },
      repeat: (call) => this.#asker.ask({ ...call, ...always }),
      closing: this.#signal,
    };
  }

  /** The keys under `prefix`, with values of one type. */
  typed<T>(codec: Codec<T>, prefix = ""): TypedStore<T> {
    return new TypedStore(this, codec, prefix);
  }

  #read({ isWaiting, ...call }: ReadCall, { signal, ...recency }: GetOptions): Promise<Reply> {
    const always = { method: "GET", write: false, repeatable: true } as const;
    const timing = timingOf(call.path, recency, isWaiting);
    return this.#asker.ask({ ...call, ...always, timing, signal });
  }

  #write(
    call: Pick<Call, "method" | "path" | "headers" | "body" | "also">,
    { signal, idempotencyKey: given }: WriteOptions,
  ): Promise<Reply> {
    const own = this.#idempotencyKeys ? newIdempotencyKey() : undefined;
    const key = given === undefined ? own : headerText(given, "idempotencyKey");
    const headers = { ...call.headers, ...(key === undefined ? {} : { "Idempotency-Key": key }) };
    const repeatable = key !== undefined;
    return this.#asker.ask({ ...call, headers, write: true, repeatable, signal });
  }
}

interface ReadCall extends Pick<Call, "path" | "also" | "waitMs"> {
  readonly isWaiting?: boolean;
}

function notOurs(outcome?: "unknown"): KvError {
  return new KvError("protocol", "the answer is not one of this store", { outcome });
}

function jsonOf({ bytes: body }: Reply): Readonly<Record<string, unknown>> {
  return objectIn(textOf(body));
}

/** `outcome`: of a write, nobody knows where the answer does not tell. */
function revisionOf(reply: Reply, outcome?: "unknown"): number {
  const revision = Number(reply.headers.get("x-kv-revision") ?? Number.NaN);
  if (!Number.isSafeInteger(revision)) throw notOurs(outcome);
  return revision;
}

function entryOf(
  key: string,
  { headers, bytes: value }: Reply,
  revisions: { readonly revision: number; readonly createRevision?: number },
): Entry {
  const seconds = headers.get("x-ttl");
  return new Entry({
    ...{ key, value, ...revisions },
    contentType: headers.get("content-type") ?? undefined,
    ttlMs: seconds === null ? undefined : Math.round(1000 * Number(seconds)),
  });
}
