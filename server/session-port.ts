/** What the prompt, the one-shot commands and the HTTP routes ask about leases, locks and elections. */

import type { Failure, Result, WriteOptions } from "./client-port.ts";
import type { Index } from "./raft/entry.ts";
import type { WatchOver } from "./watch/watch-port.ts";

/** Both are queues in which the first holds the lock, or leads. */
export type QueueKind = "lock" | "election";

export interface QueueName {
  readonly kind: QueueKind;
  readonly name: string;
}

export interface Entering {
  /** Of an election: what the leader tells everybody. */
  readonly value: Uint8Array;
  /** The place goes with this lease; null: with one of its own, of `ttlMs`. */
  readonly lease: number | null;
  readonly ttlMs: number;
  /** How long to wait for one's turn; 0: not at all. Where the signal aborts, the place is given up. */
  readonly waitMs: number;
}

export type SessionWrite = Pick<WriteOptions, "idempotencyKey" | "fingerprint" | "signal">;
export type SessionRead = Pick<WriteOptions, "signal">;

/** `token` is the revision at which the place was taken: whoever writes under it can be fenced off. */
export type EnterAnswer = Result<{ readonly token: number; readonly lease: number }>;
export type LeaseAnswer = Result<{ readonly ttlMs: number; readonly revision: Index }>;
export type RevisionAnswer = Result<{ readonly revision: Index }>;

/** As of that revision, linearizably. */
interface Seen {
  readonly revision: Index;
}

export interface Holder {
  readonly token: number;
  readonly lease: number | undefined;
}

export interface Leader {
  readonly value: Uint8Array;
  readonly token: number;
}

/** Who leads since that revision, or that nobody does; or that nothing was left out up to it. */
export type LeaderEvent =
  | { readonly type: "leader"; readonly leader: Leader | null; readonly revision: Index }
  | { readonly type: "progress"; readonly revision: Index };

export type LeaderEvents = AsyncIterable<LeaderEvent | WatchOver>;

/** Failures: `not_found` where a lease is gone, `conflict` where it is not one's turn, or the token is wrong. */
export interface SessionPort {
  /** The id of the lease is the revision of the answer. */
  grantLease(ttlMs: number, options?: SessionWrite): Promise<LeaseAnswer>;
  /** It has all of its time again. */
  keepLeaseAlive(lease: number, options?: SessionWrite): Promise<LeaseAnswer>;
  lease(
    lease: number,
    options?: SessionRead,
  ): Promise<Result<Seen & { readonly ttlMs: number; readonly remainingMs: number }>>;
  /** Deletes its keys. */
  revokeLease(
    lease: number,
    options?: SessionWrite,
  ): Promise<Result<{ readonly deleted: number; readonly revision: Index }>>;
  enter(queue: QueueName, asked: Entering, options?: SessionWrite): Promise<EnterAnswer>;
  leave(queue: QueueName, token: number, options?: SessionWrite): Promise<RevisionAnswer>;
  lockHolder(
    name: string,
    options?: SessionRead,
  ): Promise<Result<Seen & { readonly holder: Holder | null; readonly waiting: number }>>;
  leader(
    name: string,
    options?: SessionRead,
  ): Promise<Result<Seen & { readonly leader: Leader | null }>>;
  /** Who leads now, and everyone who comes to lead; whoever led between two looks is left out. */
  watchLeaders(
    name: string,
    options: SessionRead,
  ): Promise<Failure | { readonly ok: true; readonly events: LeaderEvents }>;
  /** Another value of who leads under that token. */
  proclaim(
    name: string,
    about: { readonly token: number; readonly value: Uint8Array },
    options?: SessionWrite,
  ): Promise<RevisionAnswer>;
}
