/**
 * What the prompt, the one-shot commands and the HTTP routes ask of the store. Two implementations:
 * the node itself, and a client of another node's HTTP port.
 */

import type { ClusterPort } from "./cluster-port.ts";
import type { Index, NodeId, Term } from "./raft/entry.ts";
import type { ShownRole } from "./cluster-port.ts";
import type { Row } from "./state-machine/command.ts";
import type { SessionPort } from "./session-port.ts";
import type { Operation, OperationResult, Transaction } from "./state-machine/transaction.ts";
import type { WatchAnswer, WatchOptions } from "./watch/watch-port.ts";

/** Codes of `application/problem+json`; the HTTP status follows from the code alone. */
export type FailureCode =
  | "bad_request"
  | "forbidden"
  | "not_found"
  | "method_not_allowed"
  | "conflict"
  | "compacted"
  | "condition_failed"
  | "condition_required"
  | "idempotency_mismatch"
  | "too_large"
  | "key_too_long"
  | "unsupported_media_type"
  | "wrong_host"
  | "overloaded"
  | "not_implemented"
  | "no_leader"
  | "stale"
  | "timeout"
  | "no_space"
  | "unreachable"
  | "internal";

/** What a failed write left behind: surely nothing, or nobody knows. */
export type Outcome = "not_applied" | "unknown";

export interface Failure {
  readonly ok: false;
  readonly code: FailureCode;
  /** A sentence a person can act on. */
  readonly detail: string;
  /** On writes always, on reads never. */
  readonly outcome?: Outcome;
  /** The offending parameter of a request. */
  readonly field?: string;
  readonly retryAfterSeconds?: number;
  /** With `condition_failed`: the revision that stands in the way. */
  readonly revision?: number;
  /** With `compacted`: changes behind this revision are remembered. */
  readonly oldestRevision?: number;
  /** The leader as this node knows it, where that helps. */
  readonly leader?: NodeId;
}

export type Result<T> = ({ readonly ok: true } & T) | Failure;

/** `linearizable`: sees every write acknowledged before the read began. `local`: what this node has. */
export type ReadLevel = "linearizable" | "local";

export interface ReadOptions {
  readonly level?: ReadLevel;
  /** Reads a state that has applied this revision, if it gets there in time. */
  readonly minRevision?: number;
  /** On local reads: known to be current so many milliseconds ago at the most. */
  readonly maxStaleMs?: number;
  /** How long a read may wait for these two; default: a request's deadline. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** A revision that a row has, or `*` for any row at all. */
export type Match = number | "*";

export interface WriteOptions {
  readonly contentType?: string | null;
  /**
   * Executed at most once under this key, and answered with the same again: 1 to 255 printable ASCII
   * characters. `idempotency_mismatch` where it stands for another request.
   */
  readonly idempotencyKey?: string;
  /** Tells the request from others under its key; without it, what it asks for does. 32 bytes. */
  readonly fingerprint?: Uint8Array;
  /** Of a put: the row goes after this long. */
  readonly ttlMs?: number;
  /** Of a put: the row goes with this lease; `not_found` where that is gone. Not together with a TTL. */
  readonly lease?: number;
  /** Written only if the row is this one; otherwise `condition_failed`. */
  readonly ifMatch?: Match;
  /** Written only if the row is not this one. */
  readonly ifNoneMatch?: Match;
  readonly signal?: AbortSignal;
}

/** Keys that start with `prefix`, from `start` on and below `end`; without any of them all keys. */
export interface Selection {
  readonly prefix?: string;
  readonly start?: string;
  readonly end?: string;
}

export interface ListOptions extends ReadOptions, Selection {
  /** The `last` of the answer before: goes on behind it. */
  readonly after?: string | null;
  /** From the greatest key down. */
  readonly reverse?: boolean;
  /** Default 1,000, most 10,000. */
  readonly limit?: number;
  readonly keysOnly?: boolean;
  /** Keys that go on with something and this behind `prefix` are given as one of `prefixes`. */
  readonly delimiter?: string;
}

export interface DeleteRangeOptions extends WriteOptions {
  /** Rows at the most; without it, all or none. */
  readonly limit?: number;
}

/** What is done to one value where it is. */
export type AtomicOperation = Extract<
  Operation,
  { readonly op: "incr" | "max" | "min" | "append" | "getdel" | "touch" }
>;

/** `ageMs`, on local reads: milliseconds since this node last knew that it was current; null: never. */
export interface ReadMeta {
  readonly level: ReadLevel;
  readonly ageMs?: number | null;
}

export type PutAnswer = Result<{ readonly created: boolean; readonly revision: Index }>;
export type DeleteAnswer = Result<{ readonly deleted: 0 | 1; readonly revision: Index }>;
/** `revision`: of the state that was looked at, where it is known. */
export type GetAnswer = Result<ReadMeta & { readonly row: Row | null; readonly revision?: Index }>;
export type ListAnswer = Result<
  ReadMeta & {
    readonly rows: readonly Row[];
    /** With `delimiter`: what the keys of each group begin with. */
    readonly prefixes: readonly string[];
    readonly more: boolean;
    /** What was given last, a key or a prefix; null where nothing was. */
    readonly last: string | null;
    /** The index the listing was read at. */
    readonly revision: Index;
  }
>;

/** Of more rows than are counted at once, those written meanwhile may or may not be in it. */
export type CountAnswer = Result<ReadMeta & { readonly count: number; readonly revision: Index }>;

/** `conflict` where an operation cannot be done on what is there; nothing has happened then. */
export type TransactionAnswer = Result<{
  readonly succeeded: boolean;
  readonly results: readonly OperationResult[];
  readonly revision: Index;
}>;
export type AtomicAnswer = Result<{ readonly result: OperationResult; readonly revision: Index }>;
export type DeleteRangeAnswer = Result<{ readonly deleted: number; readonly revision: Index }>;

export interface MemberStatus {
  readonly id: NodeId;
  readonly role: ShownRole;
  readonly raft: string;
  readonly http: string;
  /** On the leader: how far this member's log is known to equal its own. */
  readonly match?: Index;
  /** On every node, of the others: whether a connection stands. */
  readonly reachable?: boolean;
}

/** `GET /v1/status`. */
export interface Status {
  readonly nodeId: NodeId;
  /** Null until the cluster has formed. */
  readonly clusterId: string | null;
  readonly role: "leader" | "follower" | "candidate" | "learner";
  readonly term: Term;
  readonly leaderId: NodeId | null;
  readonly commitIndex: Index;
  readonly appliedIndex: Index;
  readonly firstLogIndex: Index;
  readonly lastLogIndex: Index;
  /** Up to where the state on disk stands for the log, which may be compacted so far. */
  readonly snapshotIndex: Index;
  readonly stateHash: string;
  /** What of this node's files was damaged and is not whole again; null where nothing is. */
  readonly mending: { readonly log: string | null; readonly state: string | null } | null;
  readonly members: readonly MemberStatus[];
  readonly version: string;
  readonly uptimeSeconds: number;
  /** This node's own disk; "low": little is free, and the cluster refuses writes that need room. */
  readonly disk: { readonly freeBytes: number; readonly state: "ok" | "low" };
  /** Every named maximum and timing in force, by its name. */
  readonly limits: Readonly<Record<string, number>>;
}

/** No method throws for what can go wrong in a healthy program: failures are values. */
export interface ClientPort extends ClusterPort {
  /** Leases, locks, elections. */
  readonly sessions: SessionPort;
  put(key: string, value: Uint8Array, options?: WriteOptions): Promise<PutAnswer>;
  get(key: string, options?: ReadOptions): Promise<GetAnswer>;
  delete(key: string, options?: WriteOptions): Promise<DeleteAnswer>;
  list(options: ListOptions): Promise<ListAnswer>;
  count(options: Selection & ReadOptions): Promise<CountAnswer>;
  atomic(operation: AtomicOperation, options?: WriteOptions): Promise<AtomicAnswer>;
  transact(transaction: Transaction, options?: WriteOptions): Promise<TransactionAnswer>;
  deleteRange(selection: Selection, options?: DeleteRangeOptions): Promise<DeleteRangeAnswer>;
  /** Also to be called again where it is over, with the last revision that was given as a whole. */
  watch(options: WatchOptions): Promise<WatchAnswer>;
  status(): Promise<Result<{ readonly status: Status }>>;
}
