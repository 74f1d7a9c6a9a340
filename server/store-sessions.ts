/** Leases, locks and elections as transactions and reads of the store that has their rows. */

import type { ClientPort, Failure, Result } from "./client-port.ts";
import { turnOf, withdraw, type Place } from "./queue-waits.ts";
import type {
  EnterAnswer,
  Entering,
  Leader,
  LeaderEvent,
  LeaderEvents,
  LeaseAnswer,
  QueueName,
  RevisionAnswer,
  SessionPort,
  SessionRead,
  SessionWrite,
} from "./session-port.ts";
import type { Index } from "./raft/entry.ts";
import type { Row } from "./state-machine/command.ts";
import { leaseKey, queuePrefix, type Queue } from "./state-machine/hidden-rows.ts";
import { integerOfBytes } from "./state-machine/integer.ts";
import {
  transactionOf,
  type Operation,
  type OperationResult,
} from "./state-machine/transaction.ts";
import type { WatchBatches, WatchOver } from "./watch/watch-port.ts";

/** What they need of a store. */
export type SessionStore = Pick<ClientPort, "get" | "list" | "count" | "transact" | "watch">;

const conflict = (detail: string, field?: string): Failure => ({
  ok: false,
  code: "conflict",
  detail,
  outcome: "not_applied",
  ...(field === undefined ? {} : { field }),
});

const taken = conflict("somebody else is in front; `wait` says how long to wait for one's turn");
const lost = conflict(
  "the place in the queue is gone: it was given back, or its lease has ended; " +
    "ask again, under a new idempotency key where there was one",
);

const leaseGone = (lease: number): Failure => ({
  ok: false,
  code: "not_found",
  detail: `there is no lease ${lease}: it has expired or was revoked, or never was`,
  field: "lease",
});

/** A transaction tells which of its operations failed; here there is one. */
const ofOne = (failure: Failure): Failure => ({
  ...failure,
  detail: failure.detail.replace(/^operation 1: /, ""),
});

const never = new AbortController().signal;

const queueOf = ({ kind, name }: QueueName): Queue => `${kind}/${name}`;

export class StoreSessions implements SessionPort {
  readonly #store: SessionStore;
  readonly #nowMs: () => number;

  constructor(store: SessionStore, nowMs: () => number) {
    this.#store = store;
    this.#nowMs = nowMs;
  }

  // ------------------------------------------------------------------ leases

  async grantLease(ttlMs: number, options: SessionWrite = {}): Promise<LeaseAnswer> {
    const done = await this.#run({ op: "leaseGrant", ttlMs }, options);
    return "ok" in done ? done : { ok: true, ttlMs, revision: done.revision };
  }

  async keepLeaseAlive(lease: number, options: SessionWrite = {}): Promise<LeaseAnswer> {
    const done = await this.#run({ op: "leaseRenew", lease }, options);
    if ("ok" in done) return done;
    const { result, revision } = done;
    return { ok: true, ttlMs: result.op === "leaseRenew" ? result.ttlMs : 0, revision };
  }

  async lease(lease: number, options: SessionRead = {}) {
    const answer = await this.#store.get(leaseKey(lease), options);
    if (!answer.ok) return answer;
    if (answer.row === null) return leaseGone(lease);
    const { value, ttlMs: remainingMs = 0, revision } = answer.row;
    return { ok: true, ttlMs: Number(integerOfBytes(value)), remainingMs, revision } as const;
  }

  async revokeLease(lease: number, options: SessionWrite = {}) {
    const done = await this.#run({ op: "leaseRevoke", lease }, options);
    if ("ok" in done) return done;
    const { result, revision } = done;
    const deleted = result.op === "leaseRevoke" ? result.deleted : 0;
    return { ok: true, deleted, revision } as const;
  }

  async #run(
    operation: Operation,
    options: SessionWrite,
  ): Promise<{ readonly result: OperationResult; readonly revision: Index } | Failure> {
    const answer = await this.#store.transact(transactionOf([], operation), options);
    if (!answer.ok) return ofOne(answer);
    const { results, revision } = answer;
    return { result: results[0] as OperationResult, revision };
  }

  // ------------------------------------------------------------------ entering and leaving

  async enter(
    name: QueueName,
    { value, lease, ttlMs, waitMs }: Entering,
    { signal: gone = never, ...once }: SessionWrite = {},
  ): Promise<EnterAnswer> {
    const store = this.#store;
    const queue = queueOf(name);
    const join = { op: "join", key: queue, value, lease, ttlMs, waits: waitMs > 0 } as const;
    const answer = await store.transact(transactionOf([], join), once);
    if (!answer.ok) return ofOne(answer);
    const [joined] = answer.results;
    if (joined?.op !== "join" || joined.token === null || joined.lease === null) return taken;
    const { token } = joined;
    // Whose lease stands in the queue already may wait in another request.
    if (waitMs === 0 && !joined.isFirst) return taken;
    const ownTtlMs = lease === null ? ttlMs : null;
    const place: Place = { queue, token, lease: joined.lease, ownTtlMs };
    const turn = await turnOf(place, { store, nowMs: this.#nowMs, waitMs, gone });
    // It may be its turn yet: whoever asks again under the same idempotency key or lease has his place.
    if (typeof turn === "object") return { ...turn, outcome: "unknown" };
    if (turn !== "first") return turn === "late" ? taken : lost;
    // Nobody hears that it is his turn.
    if (gone.aborted) await withdraw(place, store);
    return { ok: true, token, lease: place.lease };
  }

  leave(name: QueueName, token: number, options: SessionWrite = {}): Promise<RevisionAnswer> {
    return this.#asHolder({ op: "leave", key: queueOf(name), token }, options);
  }

  proclaim(
    name: string,
    { token, value }: { readonly token: number; readonly value: Uint8Array },
    options: SessionWrite = {},
  ): Promise<RevisionAnswer> {
    const key = queueOf({ kind: "election", name });
    return this.#asHolder({ op: "setValue", key, token, value }, options);
  }

  /** Only for whom the token makes the first. */
  async #asHolder(
    operation: Extract<Operation, { readonly op: "leave" | "setValue" }>,
    options: SessionWrite,
  ): Promise<RevisionAnswer> {
    const { key, token } = operation;
    const holds = { kind: "holder", key, not: false, token } as const;
    const answer = await this.#store.transact(transactionOf([holds], operation), options);
    if (!answer.ok) return answer;
    if (answer.succeeded) return { ok: true, revision: answer.revision };
    return conflict(`the token ${token} is not the one that holds it`, "token");
  }

  // ------------------------------------------------------------------ who holds it

  async lockHolder(name: string, options: SessionRead = {}) {
    const prefix = queuePrefix(queueOf({ kind: "lock", name }));
    const listed = await this.#store.list({ ...options, prefix, limit: 1 });
    if (!listed.ok) return listed;
    const [first] = listed.rows;
    const { revision } = listed;
    const newest = { ...options, level: "local", minRevision: revision } as const;
    const counted = await this.#store.count({ ...newest, prefix });
    if (!counted.ok) return counted;
    const waiting = Math.max(0, counted.count - 1);
    const holder = first === undefined ? null : { token: first.createRevision, lease: first.lease };
    return { ok: true, holder, waiting, revision } as const;
  }

  async leader(name: string, options: SessionRead = {}) {
    const prefix = queuePrefix(queueOf({ kind: "election", name }));
    const listed = await this.#store.list({ ...options, prefix, limit: 1 });
    if (!listed.ok) return listed;
    return { ok: true, leader: leaderIn(listed.rows), revision: listed.revision } as const;
  }

  async watchLeaders(
    name: string,
    options: SessionRead,
  ): Promise<Result<{ readonly events: LeaderEvents }>> {
    const prefix = queuePrefix(queueOf({ kind: "election", name }));
    const watch = await this.#store.watch({ ...options, prefix });
    return watch.ok ? { ok: true, events: leadersIn(watch.batches, prefix, this.#store) } : watch;
  }
}

function leaderIn([first]: readonly Row[]): Leader | null {
  return first === undefined ? null : { value: first.value, token: first.createRevision };
}

/** Whoever led between two looks, and leads no more, is left out. */
async function* leadersIn(
  batches: WatchBatches,
  prefix: string,
  store: SessionStore,
): AsyncGenerator<LeaderEvent | WatchOver> {
  let told: string | null = null;
  for await (const batch of batches) {
    const last = batch.at(-1);
    if (last === undefined) continue;
    if (last.type === "over") {
      yield last;
      return;
    }
    const minRevision = last.revision;
    const answer = await store.list({ prefix, limit: 1, level: "local", minRevision });
    if (!answer.ok) {
      yield { type: "over", failure: answer };
      return;
    }
    const { rows, revision } = answer;
    const now = `${rows[0]?.createRevision} ${rows[0]?.revision}`;
    if (now !== told) yield { type: "leader", leader: leaderIn(rows), revision };
    else if (last.type === "progress") yield { type: "progress", revision: last.revision };
    told = now;
  }
}
