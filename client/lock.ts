/** Locks and elections: waiting for one's turn, holding it, and giving it back. */

import type { Call, Reply } from "./asker.ts";
import { base64Of, textOf, type Value } from "./bytes.ts";
import { valueOfJson } from "./entry.ts";
import { badRequest, KvError, objectIn } from "./error.ts";
import { Lease } from "./lease.ts";
import { escaped, jsonHeaders } from "./request-parts.ts";
import { millisecondsOf, pause, type Duration } from "./time.ts";

const ttlMsDefault = 10_000;
/** How long one request waits; servers wait for ten minutes at the most. */
const waitMsMax = 300_000;
/** Between two of them. */
const againMs = 100;

export interface LockOptions {
  /** What may pass after the last sign of life of the holder until another one holds it. Default 10 s. */
  readonly ttl?: Duration;
  /** How long to wait for one's turn, 0 for not at all; without it, until `signal` aborts. */
  readonly wait?: Duration;
  readonly signal?: AbortSignal;
}

/** What a lock needs of the client. */
export interface LockPort {
  /** A write under a key of its own, so that a try after a lost answer finds the place in the queue. */
  readonly enter: (
    call: Pick<Call, "path" | "headers" | "body" | "signal" | "waitMs">,
  ) => Promise<Reply>;
  /** A write that may be repeated as it is. */
  readonly repeat: (
    call: Pick<Call, "method" | "path" | "headers" | "body" | "signal">,
  ) => Promise<Reply>;
  readonly closing: AbortSignal;
}

/** Held until it is released or lost; `signal` aborts when it is lost. */
export class Lock {
  readonly name: string;
  /** Greater than those of all holders before: what is guarded can refuse smaller ones. */
  readonly token: number;
  /** The lease that it goes with; keys that are put with it go too. */
  readonly lease: number;
  readonly signal: AbortSignal;
  readonly #held: Lease;

  constructor(name: string, token: number, held: Lease) {
    this.name = name;
    this.token = token;
    this.lease = held.id;
    this.signal = held.signal;
    this.#held = held;
  }

  /** Gives it back; whoever is next has it then. One that was lost already is no error. */
  release(): Promise<void> {
    return this.#held.end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#held[Symbol.asyncDispose]();
  }
}

/** A lock with a value that everybody can read. */
export class Leadership extends Lock {
  readonly #port: LockPort;

  constructor(lock: ConstructorParameters<typeof Lock>, port: LockPort) {
    super(...lock);
    this.#port = port;
  }

  /** Another value; rejects with `conflict` where the leadership is lost. */
  async proclaim(value: Value): Promise<void> {
    const path = `${pathOf("election", this.name)}?token=${this.token}`;
    const body = JSON.stringify(valueJson(value));
    await this.#port.repeat({ method: "PUT", path, headers: jsonHeaders, body });
  }

  /** As `release`. */
  resign(): Promise<void> {
    return this.release();
  }
}

export class Leader {
  readonly value: Uint8Array;
  readonly token: number;

  constructor(value: Uint8Array, token: number) {
    this.value = value;
    this.token = token;
  }

  text(): string {
    return textOf(this.value);
  }
}

type Kind = "lock" | "election";

export function pathOf(kind: Kind, name: string, outcome?: "not_applied"): string {
  // No URL ends in these, escaped or not.
  if (name === "." || name === "..") {
    throw badRequest("a name is not a dot, nor two", "name", { outcome });
  }
  return `/v1/${kind === "lock" ? "locks" : "elections"}/${escaped(name, "name", outcome)}`;
}

/** Rejects with `conflict` where it is not one's turn in time. */
export async function acquire(
  port: LockPort,
  asked: { readonly kind: Kind; readonly name: string; readonly value?: Value },
  options: LockOptions,
): Promise<ConstructorParameters<typeof Lock>> {
  const { kind, name, value } = asked;
  const { ttl = ttlMsDefault, wait, signal } = options;
  const ttlMs = millisecondsOf(ttl, "ttl", "not_applied");
  const endMs = performance.now() + waitMsOf(wait);
  for (;;) {
    const askedMs = performance.now();
    const waitMs = Math.min(waitMsMax, Math.max(0, Math.ceil(endMs - askedMs)));
    const json = {
      ttl: `${ttlMs}ms`,
      ...(waitMs === 0 ? {} : { wait: `${waitMs}ms` }),
      ...(value === undefined ? {} : valueJson(value)),
    };
    const path = pathOf(kind, name, "not_applied");
    const call = { path, headers: jsonHeaders, body: JSON.stringify(json), waitMs };
    try {
      const reply = await port.enter(signal === undefined ? call : { ...call, signal });
      const held = await holding(port, { kind, name, ttlMs, askedMs }, reply);
      if (held !== null) return held;
    } catch (error) {
      // The place was lost with a connection, or the request has waited as long as one may.
      if (!KvError.is(error, "conflict") || performance.now() >= endMs) throw error;
    }
    await pause(againMs, signal ?? port.closing);
  }
}

function waitMsOf(wait: Duration | undefined): number {
  if (wait === undefined) return Infinity;
  return wait === 0 ? 0 : millisecondsOf(wait, "wait", "not_applied");
}

/** Null where it is lost already. */
async function holding(
  port: LockPort,
  { kind, name, ttlMs, askedMs }: { kind: Kind; name: string; ttlMs: number; askedMs: number },
  reply: Reply,
): Promise<ConstructorParameters<typeof Lock> | null> {
  const { token, lease: id } = objectIn(textOf(reply.bytes));
  if (typeof token !== "number" || typeof id !== "number") {
    throw new KvError("protocol", "the answer is not one of this store", { outcome: "unknown" });
  }
  const renewing = { method: "POST", path: `/v1/leases/${id}/keepalive` } as const;
  const releasing = { method: "DELETE", path: `${pathOf(kind, name)}?token=${token}` } as const;
  let fromMs = askedMs;
  if (performance.now() - askedMs > ttlMs / 3) {
    // It has waited, and nobody knows how old the answer is.
    fromMs = performance.now();
    try {
      await port.repeat(renewing);
    } catch (error) {
      if (KvError.is(error, "not_found")) return null;
      throw error;
    }
  }
  const lease = new Lease({
    id,
    ttlMs,
    fromMs,
    renew: (signal) => port.repeat({ ...renewing, signal }),
    end: () => port.repeat(releasing),
    closing: port.closing,
  });
  return [name, token, lease];
}

const valueJson = (value: Value): object =>
  typeof value === "string" ? { value } : { valueBase64: base64Of(value) };

/** Undefined where nobody leads. */
export function leaderIn(json: Readonly<Record<string, unknown>>): Leader | undefined {
  const { leader } = json;
  if (typeof leader !== "object" || leader === null) return undefined;
  const { token, ...value } = leader as { readonly token: number };
  return new Leader(valueOfJson(value), token);
}
