/**
 * The load: clients that each ask, wait for the answer and ask again, until the time is over; or requests
 * that come at their own rate, whatever becomes of those before. What is remembered does not grow with
 * what is asked.
 */

import { Buffer } from "node:buffer";
import { pathOfKey } from "../../server/key-path.ts";
import type { Clock, Random, Timer } from "../../server/ports.ts";
import type { SocketAddress } from "../../server/socket/socket.ts";
import { BenchConnection, type Reply } from "./connection.ts";
import { Histogram } from "./histogram.ts";

/** A request without an answer for so long counts as an error, and its connection is given up. */
const answerMsMax = 10_000;
/** Between two attempts of one client to connect. */
const redialMs = 100;
/** Requests that come at a rate are sent in lots, as often as this. */
const arrivalMs = 1;
/** All clients are waited for before the first one asks, but no longer. */
const connectMsMax = 2_000;
/** Different kinds of errors that are counted by themselves; the others together. */
const errorKindsMax = 32;

export interface LoadOptions {
  /** Clients take turns; one whose endpoint fails goes on to the next. */
  readonly endpoints: readonly SocketAddress[];
  readonly clients: number;
  readonly valueBytes: number;
  readonly keyCount: number;
  readonly keyPrefix: string;
  /** The share of requests that read, 0 … 100. */
  readonly readPercent: number;
  /** Reads are answered by the asked node alone. */
  readonly isLocal: boolean;
  /** Every key is written once, until it succeeds, in place of the mix: `filled` tells the end. */
  readonly isFill: boolean;
  /** Requests come at this rate, each to a client that is free; null: each client asks again at once. */
  readonly perSecond: number | null;
  readonly clock: Clock;
  readonly random: Random;
}

/** What is known of one kind of request. */
export interface Tally {
  readonly latencies: Histogram;
  readonly errors: Map<string, number>;
  /** Of what was refused with the word to come again later. */
  readonly refusals: Histogram;
}

const newTally = (): Tally => ({
  latencies: new Histogram(),
  errors: new Map(),
  refusals: new Histogram(),
});

export type Operation = "put" | "get";

export class Load {
  readonly put = newTally();
  readonly get = newTally();
  /** Since it was last cleared: for those who show how it goes. */
  readonly recent = new Histogram();
  /** Reads of keys that nobody had written; they count as answered. */
  notFound = 0;
  /** Of the requests that came at a rate: those that found no client free. */
  missed = 0;
  #came = 0;
  /** Resolves when the clients are connected: from then on they ask, and time is counted. */
  readonly begun: Promise<void>;
  #isBegun = false;
  #whenBegun: () => void = () => {};
  #arrivals: Timer | null = null;
  #connecting: Timer | null = null;
  /** Clients that are free, whoever was busy last at the end. */
  readonly #free = new Set<Client>();
  readonly options: LoadOptions;
  readonly value: Buffer;
  /** Resolves when every key was written; only of a fill. */
  readonly filled: Promise<void>;
  #isFilled: () => void = () => {};
  #nextKey = 0;
  readonly #clients: Client[] = [];
  readonly #keyDigits: number;
  #startedMs = 0;
  #endedMs: number | null = null;
  #watch: Timer | null = null;

  constructor(options: LoadOptions) {
    this.options = options;
    this.filled = new Promise((resolve) => {
      this.#isFilled = resolve;
    });
    this.begun = new Promise((resolve) => {
      this.#whenBegun = resolve;
    });
    const letters = Array.from({ length: options.valueBytes }, () =>
      String.fromCharCode(97 + Math.floor(26 * options.random.fraction())),
    );
    this.value = Buffer.from(letters.join(""), "latin1");
    // Sixteen bytes with the default prefix, and room for every number.
    this.#keyDigits = Math.max(10, String(options.keyCount - 1).length);
  }

  start(): void {
    const { clients, clock, endpoints } = this.options;
    this.#startedMs = clock.monotonicMs();
    for (let i = 0; i < clients; i++) this.#clients.push(new Client(this, i % endpoints.length));
    for (const client of this.#clients) client.dial();
    this.#watch = clock.every(answerMsMax / 10, () => {
      for (const client of this.#clients) client.expire(answerMsMax);
    });
    this.#connecting = clock.after(connectMsMax, () => this.#begin());
  }

  #begin(): void {
    if (this.#isBegun || this.#endedMs !== null) return;
    this.#isBegun = true;
    this.#connecting?.cancel();
    const { clock, perSecond } = this.options;
    this.#startedMs = clock.monotonicMs();
    this.#whenBegun();
    if (perSecond !== null) {
      this.#arrivals = clock.every(arrivalMs, () => this.#arrive());
      return;
    }
    const connected = [...this.#free];
    this.#free.clear();
    for (const client of connected) client.ask();
  }

  /** Sends what has come meanwhile. */
  #arrive(): void {
    const due = Math.floor(((this.options.perSecond ?? 0) * this.elapsedMs) / 1_000);
    for (; this.#came < due; this.#came++) {
      const [client] = this.#free;
      if (client === undefined) this.missed++;
      else {
        this.#free.delete(client);
        client.ask();
      }
    }
  }

  /** A client has nothing to do. */
  free(client: Client): void {
    if (this.#isBegun && this.options.perSecond === null) {
      client.ask();
      return;
    }
    this.#free.add(client);
    if (this.#free.size === this.options.clients) this.#begin();
  }

  /** Its connection is lost. */
  busy(client: Client): void {
    this.#free.delete(client);
  }

  /** Forgets what was counted so far: it was the warm-up. Not of a fill. */
  recount(): void {
    for (const { latencies, errors, refusals } of [this.put, this.get]) {
      latencies.clear();
      errors.clear();
      refusals.clear();
    }
    this.recent.clear();
    this.notFound = 0;
    this.missed = 0;
    this.#came = 0;
    this.#startedMs = this.options.clock.monotonicMs();
  }

  /** Ends at once; requests that wait for their answers are not counted. */
  stop(): void {
    if (this.#endedMs !== null) return;
    this.#endedMs = this.options.clock.monotonicMs();
    this.#watch?.cancel();
    this.#arrivals?.cancel();
    this.#connecting?.cancel();
    for (const client of this.#clients) client.close();
  }

  /** How long it has run, or did run. */
  get elapsedMs(): number {
    return (this.#endedMs ?? this.options.clock.monotonicMs()) - this.#startedMs;
  }

  get errorCount(): number {
    let sum = 0;
    for (const { errors } of [this.put, this.get])
      for (const count of errors.values()) sum += count;
    return sum;
  }

  /** What to ask for next; null where there is nothing left to do. */
  drawPath(): string | null {
    const { isFill, keyCount, keyPrefix, random } = this.options;
    if (isFill && this.#nextKey === keyCount) return null;
    const number = isFill ? this.#nextKey++ : Math.floor(keyCount * random.fraction());
    return pathOfKey(keyPrefix + String(number).padStart(this.#keyDigits, "0"));
  }

  drawOperation(): Operation {
    const { isFill, random, readPercent } = this.options;
    return !isFill && 100 * random.fraction() < readPercent ? "get" : "put";
  }

  count(operation: Operation, elapsedMs: number): void {
    this[operation].latencies.record(1000 * elapsedMs);
    this.recent.record(1000 * elapsedMs);
    const { isFill, keyCount } = this.options;
    if (isFill && this.put.latencies.count === keyCount) this.#isFilled();
  }

  fail(operation: Operation, kind: string): void {
    const { errors } = this[operation];
    const counted = errors.has(kind) || errors.size < errorKindsMax ? kind : "other";
    errors.set(counted, (errors.get(counted) ?? 0) + 1);
  }
}

/** One client: at most one request at a time, over one connection at a time. */
class Client {
  readonly #load: Load;
  #endpoint: number;
  #connection: BenchConnection | null = null;
  #operation: Operation = "put";
  /** What is asked for, or has to be again; null where the next is to be drawn. */
  #path: string | null = null;
  #askedMs: number | null = null;
  #isClosed = false;

  constructor(load: Load, endpoint: number) {
    this.#load = load;
    this.#endpoint = endpoint;
  }

  dial(): void {
    if (this.#isClosed) return;
    const address = this.#load.options.endpoints[this.#endpoint];
    if (address === undefined) return;
    let isOpen = false;
    this.#connection = new BenchConnection(address, {
      opened: () => {
        isOpen = true;
        this.#load.free(this);
      },
      answered: (reply) => this.#answered(reply),
      closed: () => this.#lost(isOpen ? "connection_broken" : "unreachable"),
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#connection?.close();
  }

  expire(afterMs: number): void {
    if (this.#askedMs === null) return;
    if (this.#load.options.clock.monotonicMs() - this.#askedMs < afterMs) return;
    this.#connection?.close();
    this.#lost("no_answer");
  }

  ask(): void {
    if (this.#isClosed || this.#connection === null) return;
    if (this.#path === null) {
      this.#operation = this.#load.drawOperation();
      this.#path = this.#load.drawPath();
      if (this.#path === null) return;
    }
    const { clock, isLocal } = this.#load.options;
    this.#askedMs = clock.monotonicMs();
    if (this.#operation === "put") this.#connection.put(this.#path, this.#load.value);
    else this.#connection.get(isLocal ? `${this.#path}?level=local` : this.#path);
  }

  #answered({ status, body, retryAfterMs }: Reply): void {
    if (this.#isClosed || this.#askedMs === null) return;
    const elapsedMs = this.#load.options.clock.monotonicMs() - this.#askedMs;
    this.#askedMs = null;
    const isMiss = status === 404 && this.#operation === "get";
    if (status < 400 || isMiss) {
      this.#path = null;
      this.#load.count(this.#operation, elapsedMs);
      if (isMiss) this.#load.notFound++;
    } else {
      this.#fail(kindOf(status, body));
      if (retryAfterMs > 0) {
        this.#load[this.#operation].refusals.record(1000 * elapsedMs);
        this.#comeAgain(retryAfterMs);
        return;
      }
    }
    this.#load.free(this);
  }

  /** As it was told. */
  #comeAgain(afterMs: number): void {
    const connection = this.#connection;
    this.#load.options.clock.after(afterMs, () => {
      if (this.#connection === connection) this.#load.free(this);
    });
  }

  /** Goes on with the next endpoint. */
  #lost(kind: string): void {
    if (this.#isClosed) return;
    const wasIdle = this.#askedMs === null && this.#load.options.perSecond !== null;
    this.#connection = null;
    this.#askedMs = null;
    this.#load.busy(this);
    if (!wasIdle || kind === "unreachable") this.#fail(kind);
    const { clock, endpoints } = this.#load.options;
    this.#endpoint = (this.#endpoint + 1) % endpoints.length;
    clock.after(redialMs, () => this.dial());
  }

  #fail(kind: string): void {
    this.#load.fail(this.#operation, kind);
    if (!this.#load.options.isFill) this.#path = null;
  }
}

/** The code of a problem document, which says more than the status. */
function kindOf(status: number, body: string): string {
  const code = /"code": *"([a-z_]{1,40})"/.exec(body)?.[1];
  return code ?? `http_${status}`;
}
