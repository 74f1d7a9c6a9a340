/** The data side of the client port over rows in a map: what a node does, without the node. */

import {
  atomicAnswer,
  commandOf,
  conditionally,
  deleteAnswer,
  deleteRangeAnswer,
  executedIn,
  putAnswer,
  transactionAnswer,
  type Executed,
} from "../../server/command-answers.ts";
import type {
  AtomicAnswer,
  AtomicOperation,
  CountAnswer,
  DeleteAnswer,
  DeleteRangeAnswer,
  DeleteRangeOptions,
  Failure,
  GetAnswer,
  ListAnswer,
  ListOptions,
  PutAnswer,
  ReadMeta,
  ReadOptions,
  Selection,
  TransactionAnswer,
  WriteOptions,
} from "../../server/client-port.ts";
import type { Index } from "../../server/raft/entry.ts";
import type { WatchAnswer, WatchOptions } from "../../server/watch/watch-port.ts";
import type { SessionPort } from "../../server/session-port.ts";
import { StoreSessions } from "../../server/store-sessions.ts";
import { rangeOf } from "../../server/selection.ts";
import { defaultLimits } from "../../server/limits.ts";
import type { Clock } from "../../server/ports.ts";
import { WatchedRows } from "../../server/state-machine/changes.ts";
import type {
  Command,
  CommandResult,
  PlainCommand,
  Row,
} from "../../server/state-machine/command.ts";
import type { Rows } from "../../server/state-machine/rows.ts";
import { openWatch } from "../../server/watch/node-watch.ts";
import { Watches } from "../../server/watch/watches.ts";
import { count, list } from "../../server/state-machine/listing.ts";
import { execute } from "../../server/state-machine/execute.ts";
import { transactionOf, type Transaction } from "../../server/state-machine/transaction.ts";
import { MapRequests } from "./map-requests.ts";
import { MapRows } from "./map-rows.ts";

export class RowsClient {
  readonly rows = new Map<string, Row>();
  readonly #reader = new MapRows(this.rows);
  #watches: Watches | null = null;
  #written: Rows = this.#reader;
  readonly #requests = new MapRequests();
  /** Answers everything, while it is set. */
  failure: Failure | null = null;
  /** Rows of a listing at the most, as if they were long. */
  pageRowsMax = Infinity;
  readonly sessions: SessionPort = new StoreSessions(this, () => this.#clock?.monotonicMs() ?? 0);
  #clock: Clock | null = null;
  writes = 0;
  timeMs = 0;
  #revision = 0;

  async put(key: string, value: Uint8Array, options: WriteOptions = {}): Promise<PutAnswer> {
    const { contentType = null } = options;
    const { ttlMs, lease } = options;
    const ttl = ttlMs === undefined ? {} : { ttlMs };
    const lasts = lease === undefined ? ttl : { lease };
    const command = conditionally({ op: "put", key, value, contentType, ...lasts }, options);
    return this.#write(command, options, putAnswer);
  }

  async delete(key: string, options: WriteOptions = {}): Promise<DeleteAnswer> {
    return this.#write(conditionally({ op: "delete", key }, options), options, deleteAnswer);
  }

  async atomic(operation: AtomicOperation, options: WriteOptions = {}): Promise<AtomicAnswer> {
    return this.#write(transactionOf([], operation), options, atomicAnswer);
  }

  async transact(transaction: Transaction, options: WriteOptions = {}): Promise<TransactionAnswer> {
    return this.#write(transaction, options, transactionAnswer);
  }

  async deleteRange(
    selection: Selection,
    options: DeleteRangeOptions = {},
  ): Promise<DeleteRangeAnswer> {
    const { limit = null } = options;
    const operation = { op: "deleteRange", range: rangeOf(selection), limit } as const;
    return this.#write(transactionOf([], operation), options, deleteRangeAnswer);
  }

  async get(key: string, options: ReadOptions = {}): Promise<GetAnswer> {
    if (this.failure !== null) return this.failure;
    const revision = this.#revision as Index;
    return { ok: true, ...metaOf(options), row: this.#reader.get(key), revision };
  }

  async list(options: ListOptions): Promise<ListAnswer> {
    if (this.failure !== null) return this.failure;
    const { prefix = "", after = null, reverse = false, keysOnly = false, delimiter } = options;
    const answer = list(this.#reader, {
      type: "list",
      range: rangeOf(options),
      after,
      reverse,
      keysOnly,
      limit: Math.min(options.limit ?? 1_000, this.pageRowsMax),
      bytesMax: 4 << 20,
      groups: delimiter === undefined ? null : { prefix, delimiter },
    });
    const { rows, prefixes, more, last } = answer;
    const meta = metaOf(options);
    return { ok: true, ...meta, rows, prefixes, more, last, revision: this.#revision as Index };
  }

  /** From here on it can be watched. */
  beginWatches(clock: Clock): void {
    const options = { clock, limits: defaultLimits, appliedIndex: this.#revision as Index };
    const watches = new Watches(options);
    this.#watches = watches;
    this.#clock = clock;
    this.#written = new WatchedRows(this.#reader, watches);
    this.watched = async (asked) => openWatch({ watches, clock }, asked);
  }

  /** As a leader does when something is due. */
  expire(): void {
    this.#execute({ op: "expire" });
  }

  /** What it gives is up to the test. */
  watched: (options: WatchOptions) => Promise<WatchAnswer> = async () => nothingToWatch;

  watch(options: WatchOptions): Promise<WatchAnswer> {
    return this.watched(options);
  }

  async count(options: Selection & ReadOptions): Promise<CountAnswer> {
    if (this.failure !== null) return this.failure;
    const query = { type: "count", range: rangeOf(options), limit: Infinity } as const;
    const found = count(this.#reader, query).count;
    return { ok: true, ...metaOf(options), count: found, revision: this.#revision as Index };
  }

  #write<T>(
    command: PlainCommand,
    options: WriteOptions,
    answerOf: (result: Executed) => T,
  ): T | Failure {
    this.writes += 1;
    if (this.failure !== null) return this.failure;
    const result = executedIn(this.#execute(commandOf(command, options)));
    return result.ok ? answerOf(result.result) : result;
  }

  #execute(command: Command): CommandResult {
    this.#revision += 1;
    const entry = { index: this.#revision as Index, timeMs: this.timeMs };
    const result = execute(this.#written, this.#requests, { command, entry });
    this.#watches?.applied(entry.index);
    return result;
  }
}

const nothingToWatch: Failure = { ok: false, code: "no_leader", detail: "nobody watches here" };

const metaOf = ({ level }: ReadOptions): ReadMeta =>
  level === "local" ? { level, ageMs: 12.4 } : { level: "linearizable" };
