/** The client port of the node in this process: what its own prompt and its HTTP routes talk to. */

import { Buffer } from "node:buffer";
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
  MemberStatus,
  PutAnswer,
  ReadMeta,
  ReadOptions,
  Result,
  Selection,
  Status,
  TransactionAnswer,
  WriteOptions,
} from "./client-port.ts";
import type { CompactAnswer, MembersAnswer, ShownRole } from "./cluster-port.ts";
import type { Limits } from "./limits.ts";
import type { MemberChange } from "./member-change.ts";
import type { ClusterAnswer, ClusterRequest } from "./membership.ts";
import { noLeader, readFailure, writeFailure } from "./node-failures.ts";
import type { Node } from "./node.ts";
import type { ReadAnswer } from "./pending-reads.ts";
import { badRequest } from "./problem.ts";
import type { Clock } from "./ports.ts";
import { assert } from "./raft/assert.ts";
import type { Configuration, MemberRole } from "./raft/configuration.ts";
import { index, term, type Index, type NodeId } from "./raft/entry.ts";
import type { PlannedMember } from "./formation.ts";
import type { SessionPort } from "./session-port.ts";
import { StoreSessions } from "./store-sessions.ts";
import { Turnstile } from "./turnstile.ts";
import {
  atomicAnswer,
  commandOf,
  conditionally,
  deleteAnswer,
  deleteRangeAnswer,
  executedIn,
  isConditional,
  putAnswer,
  tooLarge,
  transactionAnswer,
  type Executed,
} from "./command-answers.ts";
import { whenWithin } from "./read-bounds.ts";
import { rangeOf } from "./selection.ts";
import { openWatch, whenKnown } from "./watch/node-watch.ts";
import type { WatchAnswer, WatchOptions } from "./watch/watch-port.ts";
import type { Remembered } from "./watch/history-rows.ts";
import type { Watches } from "./watch/watches.ts";
import { encodeCommand } from "./state-machine/codec.ts";
import type { KeyRange } from "./state-machine/key-range.ts";
import { transactionOf, type Transaction } from "./state-machine/transaction.ts";
import type {
  Answer,
  DeleteCommand,
  ListQuery,
  PlainCommand,
  Row,
  PutCommand,
  Query,
} from "./state-machine/command.ts";

export interface NodeClientOptions {
  readonly self: NodeId;
  readonly version: string;
  readonly limits: Limits;
  /** Limits of other parts of the process, shown beside these. */
  readonly otherLimits?: Readonly<Record<string, number>>;
  readonly clock: Clock;
  /** Shown until the cluster has formed. */
  readonly plan: readonly PlannedMember[];
  readonly isConnected: (peer: NodeId) => boolean;
  /** Reading the state failed: nothing of it can be vouched for. */
  readonly failed: (error: unknown) => void;
}

/** Requests that may wait for the cluster to form: each may hold a value. */
const unformedRequestsMax = 64;
/** Listings built at a time, and waiting: each may be some megabytes and take the loop for as long. */
const listingsMax = 2;
const waitingListingsMax = 256;

const newest: ReadMeta = { level: "linearizable" };

type Written = Result<{ readonly result: Executed }>;
type Found = Result<{ answer: Answer; meta: ReadMeta; revision: Index }>;

/** As a listing counts them. */
function bytesOf(rows: readonly Row[]): number {
  let bytes = 0;
  for (const { key, value } of rows) bytes += Buffer.byteLength(key) + value.byteLength;
  return bytes;
}

const answerOfPut = (written: Written): PutAnswer =>
  written.ok ? putAnswer(written.result) : written;

/** Exists before the node does: until the cluster has formed, requests wait and are then refused. */
export class NodeClient implements ClientPort {
  readonly #options: NodeClientOptions;
  readonly #startMs: number;
  readonly sessions: SessionPort;
  #formed: { node: Node; clusterId: string } | null = null;
  /** Requests that wait for formation. */
  readonly #whenFormed = new Set<() => void>();
  /** Of the node. */
  #watches: Watches | null = null;
  readonly #listings = new Turnstile({ insideMax: listingsMax, waitingMax: waitingListingsMax });

  constructor(options: NodeClientOptions) {
    this.#options = options;
    this.#startMs = options.clock.monotonicMs();
    this.sessions = new StoreSessions(this, () => options.clock.monotonicMs());
  }

  /** The cluster has formed, and this is our part of it: another one after it was mended. */
  formed(node: Node, clusterId: string, watches: Watches): void {
    this.#watches?.close();
    this.#watches = watches;
    this.#formed = { node, clusterId };
    for (const run of [...this.#whenFormed]) run();
  }

  put(key: string, value: Uint8Array, options: WriteOptions = {}): Promise<PutAnswer> {
    const { contentType = null, ttlMs, lease } = options;
    const plain: PutCommand = { op: "put", key, value, contentType };
    const put: PutCommand = ttlMs === undefined ? plain : { ...plain, ttlMs };
    const leased = lease === undefined ? put : { ...plain, lease };
    const isMore = isConditional(options) || lease !== undefined;
    const command = isMore ? conditionally(leased, options) : put;
    return this.#write(command, options).then(answerOfPut);
  }

  async delete(key: string, options: WriteOptions = {}): Promise<DeleteAnswer> {
    const remove: DeleteCommand = { op: "delete", key };
    const command = isConditional(options) ? conditionally(remove, options) : remove;
    const answer = await this.#write(command, options);
    return answer.ok ? deleteAnswer(answer.result) : answer;
  }

  async atomic(operation: AtomicOperation, options: WriteOptions = {}): Promise<AtomicAnswer> {
    const answer = await this.#write(transactionOf([], operation), options);
    return answer.ok ? atomicAnswer(answer.result) : answer;
  }

  async transact(transaction: Transaction, options: WriteOptions = {}): Promise<TransactionAnswer> {
    const answer = await this.#write(transaction, options);
    return answer.ok ? transactionAnswer(answer.result) : answer;
  }

  async deleteRange(
    selection: Selection,
    options: DeleteRangeOptions = {},
  ): Promise<DeleteRangeAnswer> {
    const { limit = null } = options;
    const range = rangeOf(selection);
    const answer = await this.#write(
      transactionOf([], { op: "deleteRange", range, limit }),
      options,
    );
    return answer.ok ? deleteRangeAnswer(answer.result) : answer;
  }

  get(key: string, options: ReadOptions = {}): Promise<GetAnswer> {
    return this.#read({ type: "get", key }, options).then((answer) => this.#getAnswer(answer));
  }

  #getAnswer(answer: Found): GetAnswer {
    if (!answer.ok) return answer;
    assert(answer.answer.type === "get", "a get is answered as a get");
    const { row } = answer.answer;
    const { level } = answer.meta;
    const { revision } = answer;
    if (level !== "local") return { ok: true, level, row, revision };
    if (row === null && this.#formed?.node.mayLackAcknowledged) {
      const detail =
        "this node has just started and does not know yet whether the last writes in its log count; " +
        "the key may be among them: try again, or ask another node";
      return { ok: false, code: "stale", detail, retryAfterSeconds: 1 };
    }
    return { ok: true, ...answer.meta, row, revision };
  }

  async list(options: ListOptions): Promise<ListAnswer> {
    const { limits } = this.#options;
    const { after = null, limit = limits.listRowsDefault, delimiter, prefix = "" } = options;
    const { keysOnly = false, reverse = false } = options;
    if (!Number.isSafeInteger(limit) || limit < 1 || limit > limits.listRowsMax) {
      const detail = `limit is a whole number from 1 to ${limits.listRowsMax}`;
      return { ok: false, code: "bad_request", detail, field: "limit" };
    }
    if (!(await this.#listings.enter()))
      return readFailure({ ok: false, error: "overloaded" }, this.#formed?.node ?? null);
    const bytesMax = limits.listBytesMax;
    const groups = delimiter === undefined ? null : { prefix, delimiter };
    const shape = { after, reverse, limit, keysOnly, bytesMax, groups };
    const query = { type: "list", range: rangeOf(options), ...shape } as const;
    return this.#list(query, options).finally(() => this.#listings.leave());
  }

  /**
   * At one instant. Where very many of the rows have just gone it takes several steps, between which the
   * node does its other work; once something was applied in between, it is done again, in one.
   */
  async #list(
    query: ListQuery,
    options: ReadOptions,
    goneMax = this.#options.limits.listGoneMax,
  ): Promise<ListAnswer> {
    const first = await this.#read({ ...query, goneMax }, options);
    if (!first.ok) return first;
    assert(first.answer.type === "list", "a list is answered as a list");
    const { rows, prefixes } = first.answer;
    let { more, last, rest } = first.answer;
    let bytesLeft = query.bytesMax - bytesOf(rows);
    while (rest !== null && bytesLeft > 0) {
      const limit = query.limit - rows.length - prefixes.length;
      if (limit === 0) break;
      await this.#yield();
      const asked = { ...query, range: rest, after: null, limit, bytesMax: bytesLeft, goneMax };
      const next = await this.#read(asked, { level: "local" });
      if (!next.ok) return next;
      assert(next.answer.type === "list", "a list is answered as a list");
      if (next.revision !== first.revision) return this.#list(query, options, Infinity);
      rows.push(...next.answer.rows);
      prefixes.push(...next.answer.prefixes);
      bytesLeft -= bytesOf(next.answer.rows);
      ({ more, rest } = next.answer);
      last = next.answer.last ?? last;
    }
    return { ok: true, ...first.meta, rows, prefixes, more, last, revision: first.revision };
  }

  /** Lets the node do its other work. */
  #yield(): Promise<void> {
    return new Promise((resolve) => this.#options.clock.after(0, resolve));
  }

  /** In steps, between which the node does its other work: the first as asked, the others locally. */
  async count(options: Selection & ReadOptions): Promise<CountAnswer> {
    if (!(await this.#listings.enter()))
      return readFailure({ ok: false, error: "overloaded" }, this.#formed?.node ?? null);
    try {
      return await this.#count(options);
    } finally {
      this.#listings.leave();
    }
  }

  async #count(options: Selection & ReadOptions): Promise<CountAnswer> {
    const { countRowsMax: limit, listGoneMax: goneMax } = this.#options.limits;
    let range: KeyRange | null = rangeOf(options);
    let first: (ReadMeta & { readonly revision: Index }) | null = null;
    let count = 0;
    while (range !== null && !(options.signal?.aborted ?? false)) {
      const level: ReadOptions = first === null ? options : { level: "local" };
      const answer = await this.#read({ type: "count", range, limit, goneMax }, level);
      if (!answer.ok) return answer;
      assert(answer.answer.type === "count", "a count is answered as a count");
      first ??= { ...answer.meta, revision: answer.revision };
      count += answer.answer.count;
      range = answer.answer.rest;
      if (range !== null) await this.#yield();
    }
    assert(first !== null, "a range was counted");
    return { ok: true, ...first, count };
  }

  async watch(options: WatchOptions): Promise<WatchAnswer> {
    const node = await this.#node();
    const watches = this.#watches;
    if (!node || !watches) return this.#noLeader();
    const answer = await new Promise<ReadAnswer>((resolve) =>
      whenKnown({ watches, node }, options.since, resolve),
    );
    if (!answer.ok) return readFailure(answer, node);
    return openWatch({ watches, clock: this.#options.clock }, options);
  }

  /** The changes that led to the state as it is now; null where there is no state. */
  get remembered(): Remembered | null {
    return this.#watches?.remembered ?? null;
  }

  /** Who watches, reads that wait for a change among them. */
  get watcherCount(): number {
    return this.#watches?.count ?? 0;
  }

  /** The node goes: whoever watches is sent elsewhere. */
  endWatches(): void {
    this.#watches?.close();
  }

  async status(): Promise<Result<{ readonly status: Status }>> {
    const { self, version, limits, otherLimits } = this.#options;
    const uptimeSeconds = Math.floor((this.#options.clock.monotonicMs() - this.#startMs) / 1000);
    const common = { nodeId: self, version, uptimeSeconds, limits: { ...limits, ...otherLimits } };
    const formed = this.#formed;
    if (!formed) return { ok: true, status: { ...common, ...this.#unformedStatus() } };
    const { node, clusterId } = formed;
    const { appliedIndex, stateHash } = node.machine.digest();
    const { role, leaderId } = node.leadership;
    const status: Status = {
      ...common,
      clusterId,
      role,
      term: term(node.leadership.term),
      leaderId,
      commitIndex: node.commitIndex,
      appliedIndex,
      firstLogIndex: node.firstLogIndex,
      lastLogIndex: node.lastLogIndex,
      snapshotIndex: node.snapshotIndex,
      stateHash,
      mending: node.mending,
      members: this.#members(node),
      disk: { freeBytes: node.disk.freeBytes, state: node.disk.room === "ok" ? "ok" : "low" },
    };
    return { ok: true, status };
  }

  async members(): Promise<MembersAnswer> {
    const node = await this.#node();
    if (!node) return this.#noLeader();
    return new Promise((resolve) => {
      node.read((answer) => {
        resolve(answer.ok ? listed(node.configurations.committed) : readFailure(answer, node));
      });
    });
  }

  async changeMembers(change: MemberChange, revision?: number): Promise<MembersAnswer> {
    const based = revision ?? (await this.#revision());
    if (typeof based !== "number") return { ...based, outcome: "not_applied" };
    const answer = await this.#askLeader({ kind: "change", change, revision: based });
    return answer.ok ? listed(answer.configuration) : answer;
  }

  async transferLeadership(to: NodeId): Promise<Result<{ readonly leader: NodeId }>> {
    const answer = await this.#askLeader({ kind: "transfer", to });
    return answer.ok ? { ok: true, leader: to } : answer;
  }

  async compact(revision?: number): Promise<CompactAnswer> {
    const node = await this.#node();
    const watches = this.#watches;
    if (!node || !watches) return { ...this.#noLeader(), outcome: "not_applied" };
    const through = index(revision ?? node.appliedIndex);
    const { lastLogIndex } = node;
    if (through > lastLogIndex) {
      return badRequest(`there is no such revision yet; the newest is ${lastLogIndex}`, "revision");
    }
    // It is in the log, and will be applied soon.
    const late = await this.#whenWithin(node, { minRevision: through });
    if (late !== null) return { ...late, outcome: "not_applied" };
    watches.compact(through);
    return new Promise((resolve) => {
      node.giveUpLog(through, () => {
        const { firstLogIndex, snapshotIndex } = node;
        const reached = { oldestRevision: watches.oldestRevision, firstLogIndex, snapshotIndex };
        const compacted = { nodeId: this.#options.self, revision: through, ...reached };
        resolve({ ok: true, compacted });
      });
    });
  }

  /** Whether a leader is known: requests can be served. */
  get isReady(): boolean {
    return this.#formed !== null && this.#formed.node.leadership.leaderId !== null;
  }

  // ------------------------------------------------------------------ inside

  #unformedStatus(): Omit<Status, "nodeId" | "version" | "uptimeSeconds" | "limits"> {
    const zero = index(0);
    return {
      clusterId: null,
      role: "follower",
      term: term(0),
      leaderId: null,
      commitIndex: zero,
      appliedIndex: zero,
      firstLogIndex: index(1),
      lastLogIndex: zero,
      snapshotIndex: zero,
      stateHash: "0".repeat(16),
      disk: { freeBytes: 0, state: "ok" },
      mending: null,
      members: this.#options.plan.map(({ id, raft, http }) => ({
        id,
        role: "voter" as const,
        raft,
        http,
        ...(id === this.#options.self ? {} : { reachable: this.#options.isConnected(id) }),
      })),
    };
  }

  #members(node: Node): MemberStatus[] {
    return node.configuration.members.map(({ id, role, raft, http }) => {
      const match = node.matchIndex(id);
      return {
        id,
        role: shown(role),
        raft,
        http,
        ...(match === null ? {} : { match }),
        ...(id === this.#options.self ? {} : { reachable: this.#options.isConnected(id) }),
      };
    });
  }

  async #revision(): Promise<number | Failure> {
    const answer = await this.members();
    return answer.ok ? answer.revision : answer;
  }

  async #askLeader(request: ClusterRequest): Promise<ClusterAnswer> {
    const node = await this.#node();
    if (!node) return { ...this.#noLeader(), outcome: "not_applied" };
    return new Promise((resolve) => node.changeCluster(request, resolve));
  }

  /** Waits for formation as long as for a leader; null where it does not come, or too many wait. */
  #node(): Promise<Node | null> | Node {
    if (this.#formed) return this.#formed.node;
    if (this.#whenFormed.size >= unformedRequestsMax) return Promise.resolve(null);
    return new Promise((resolve) => {
      const { clock, limits } = this.#options;
      const finish = (): void => {
        timer.cancel();
        this.#whenFormed.delete(finish);
        resolve(this.#formed?.node ?? null);
      };
      const timer = clock.after(limits.leaderlessHoldMs, finish);
      this.#whenFormed.add(finish);
    });
  }

  #write(command: PlainCommand, options: WriteOptions): Promise<Written> {
    const waiting = this.#node();
    if (!(waiting instanceof Promise)) return this.#writeAt(waiting, command, options);
    return waiting.then((node) => this.#writeAt(node, command, options));
  }

  /** One promise and no more: every write passes here. */
  #writeAt(node: Node | null, command: PlainCommand, options: WriteOptions): Promise<Written> {
    return new Promise((resolve) => {
      // A client that has gone before its write left this process gets nothing written.
      if (!node || options.signal?.aborted) {
        resolve({ ...this.#noLeader(), outcome: "not_applied" });
        return;
      }
      const bytes = encodeCommand(commandOf(command, options));
      const { commandBytesMax } = this.#options.limits;
      if (bytes.byteLength > commandBytesMax) {
        const detail = `the whole is ${bytes.byteLength} bytes, the most is ${commandBytesMax}`;
        resolve(tooLarge(detail));
        return;
      }
      node.write(bytes, (answer) => {
        resolve(answer.ok ? executedIn(answer.result) : writeFailure(answer, node));
      });
    });
  }

  #read(query: Query, options: ReadOptions): Promise<Found> {
    const waiting = this.#node();
    const { level = "linearizable", minRevision, maxStaleMs } = options;
    const isPlain =
      level === "linearizable" && minRevision === undefined && maxStaleMs === undefined;
    if (isPlain && waiting !== null && !(waiting instanceof Promise)) {
      return this.#readNewest(waiting, query);
    }
    return this.#readAsAsked(waiting, query, options);
  }

  async #readAsAsked(
    waiting: Promise<Node | null> | Node,
    query: Query,
    options: ReadOptions,
  ): Promise<Found> {
    const node = waiting instanceof Promise ? await waiting : waiting;
    if (!node) return this.#noLeader();
    const { level = "linearizable", minRevision, maxStaleMs } = options;
    if (minRevision !== undefined || maxStaleMs !== undefined) {
      const late = await this.#whenWithin(node, options);
      if (late !== null) return late;
    }
    if (level === "local" && node.mending?.state) {
      const detail = "this node's state was damaged and is being made anew; ask another one";
      return { ok: false, code: "stale", detail, retryAfterSeconds: 1 };
    }
    if (level === "local") return this.#lookUp(node, query, { level, ageMs: node.ageMs });
    return this.#readNewest(node, query);
  }

  #readNewest(node: Node, query: Query): Promise<Found> {
    return new Promise((resolve) => {
      node.read((answer) => {
        resolve(answer.ok ? this.#lookUp(node, query, newest) : readFailure(answer, node));
      });
    });
  }

  async #whenWithin(node: Node, options: ReadOptions): Promise<Failure | null> {
    const { clock, limits } = this.#options;
    const watches = this.#watches;
    if (!watches) return this.#noLeader();
    const timeoutMsDefault = limits.requestDeadlineMs;
    return whenWithin({ clock, watches, ageMs: () => node.ageMs, timeoutMsDefault }, options);
  }

  #lookUp(node: Node, query: Query, meta: ReadMeta): Found {
    try {
      return { ok: true, answer: node.machine.lookup(query), meta, revision: node.appliedIndex };
    } catch (error) {
      this.#options.failed(error);
      const detail = "this node's state was found damaged while it was read; ask another one";
      return { ok: false, code: "stale", detail, retryAfterSeconds: 1 };
    }
  }

  #noLeader(): Failure {
    return noLeader(this.#formed?.node ?? null);
  }
}

const shown = (role: MemberRole): ShownRole => (role === "voter" ? "voter" : "learner");

const listed = ({ members, revision }: Configuration): MembersAnswer => ({
  ok: true,
  members: members.map(({ id, role, raft, http, incarnation }) => ({
    id,
    role: shown(role),
    raft,
    http,
    incarnation: incarnation === "" ? null : incarnation,
  })),
  revision,
});
