/** One client that watches, over as many connections and nodes as it takes. */

import type { Failure } from "../../server/client-port.ts";
import { voters } from "../../server/raft/configuration.ts";
import { queuePrefix } from "../../server/state-machine/hidden-rows.ts";
import { openWatcher, overOf, whenKnown } from "../../server/watch/node-watch.ts";
import type { WatchEvent } from "../../server/watch/watch-port.ts";
import type { Watcher, WatchEnd } from "../../server/watch/watcher.ts";
import { changesIn } from "./changes.ts";
import type { Life, SimProcess } from "./process.ts";
import { Told, type KnownBefore, type WatchedKeys } from "./told.ts";
import { claim } from "./trace.ts";
import { readerKinds, readerOf, type WatchReader } from "./watch-readers.ts";
import { watchingIn } from "./watching.ts";
import { latencyMs, type SimWorld } from "./world.ts";

interface Connection {
  readonly process: SimProcess;
  readonly life: Life;
  /** The node's end of it, once it is open. */
  watcher: Watcher | null;
  /** What its node had applied then. */
  openedAt: number;
  /** Signs that nothing was left out, since its node has heard of nobody for long. */
  lateSigns: number;
  isOver: boolean;
  /** What is sent comes in order. */
  lastArrivalMs: number;
  heardMs: number;
}

const keysWatched: readonly WatchedKeys[] = [
  {},
  {},
  { key: "key-0" },
  { key: "twin" },
  { prefix: "key-" },
  { prefix: "twin" },
  { prefix: "net-" },
  { key: "net-1" },
  { prefix: "mortal-" },
  { prefix: queuePrefix("lock/a") },
  { start: "key-1", end: "mortal-5" },
  { start: "counter", end: "key-1" },
  { prefix: "key-", start: "key-1" },
];

/** How often a connection breaks off in the middle of what it brings. */
const breakRate = 0.02;
/** How often a client does not come back at once. */
const awayRate = 0.15;
/** Nodes that are asked for changes that one has forgotten, before everything is listed. */
const forgottenMax = 3;
/** One may have been owed to a slow reader since before, and one more comes with an orderly end. */
const lateSignsMax = 2;

export class WatchingClient {
  readonly #world: SimWorld;
  readonly #name: string;
  readonly #keys: WatchedKeys;
  readonly #kind: (typeof readerKinds)[number];
  readonly #wantsBefore: boolean;
  /** Of what comes, so much is read slowly. */
  readonly #slowRate: number;
  readonly #told: Told;
  #reader: WatchReader;
  #connection: Connection | null = null;
  /** Where it was last told of anything. */
  #lastProcess: SimProcess | null = null;
  #forgotten = 0;
  /** Where it comes to its end; null: it goes on. */
  #goal: { readonly revision: number; readonly processes: readonly SimProcess[] } | null = null;

  constructor(world: SimWorld, number: number) {
    const { random } = world;
    this.#world = world;
    this.#name = `watcher ${number}`;
    this.#keys = random.pick(keysWatched);
    this.#kind = random.pick(readerKinds);
    this.#wantsBefore = random.float() < 0.3;
    this.#slowRate = random.pick([0, 0, 0.3]);
    const since = random.float() < 0.5 ? undefined : 0;
    this.#reader = readerOf(this.#kind, since);
    const changes = changesIn(world);
    const told = { name: this.#name, changes, keys: this.#keys, wantsBefore: this.#wantsBefore };
    this.#told = new Told(told, since);
  }

  start(): void {
    const { random, options } = this.#world;
    this.#connectAfter(options.durationMs * 0.5 * random.float() ** 2);
  }

  /** The process ended: its connections broke. */
  died(life: Life): void {
    const connection = this.#connection;
    if (connection?.life !== life) return;
    this.#world.time.after(latencyMs(this.#world), () => this.#lost(connection));
  }

  /** It is to come so far, at one of these. */
  finish(revision: number, processes: readonly SimProcess[]): void {
    this.#goal = { revision, processes };
    if (this.#connection) this.#drop(this.#connection);
    this.#connect();
  }

  get isDone(): boolean {
    return this.#goal !== null && (this.#reader.since ?? -1) >= this.#goal.revision;
  }

  get description(): string {
    const at = this.#connection?.process.id ?? "nobody";
    return `${this.#name} has come to ${this.#reader.since}, connected to ${at}`;
  }

  // ------------------------------------------------------------------ connections

  #connectAfter(ms: number): void {
    this.#world.time.after(ms, () => this.#connect());
  }

  #connect(): void {
    if (this.#connection !== null || this.isDone) return;
    const connection = this.#dial();
    if (connection === null) return this.#connectAfter(this.#pauseMs);
    const { process } = connection;
    const { since } = this.#reader;
    const { trace, time, checks } = this.#world;
    trace.note(time.nowMs, "is asked for changes behind", process.id, since ?? -1);
    if (since === undefined) this.#told.asksFromNow(checks.lastAcknowledged);
    this.#inProcess(connection, () => this.#open(connection, since));
  }

  /** To a random node; null where nobody listens. */
  #dial(): Connection | null {
    const { random, processes, time } = this.#world;
    const process = random.pick(this.#goal?.processes ?? processes);
    const { life } = process;
    if (!life) return null;
    const { nowMs } = time;
    const ends = { process, life, watcher: null, openedAt: Infinity, lateSigns: 0 };
    const connection = { ...ends, isOver: false, lastArrivalMs: nowMs, heardMs: nowMs };
    this.#connection = connection;
    this.#listen(connection);
    return connection;
  }

  /**
   * Of a node that stands still nothing comes, nor of one that is cut off, and it is given up: for so
   * long, and no longer, may changes that others are told of be missing.
   */
  #listen(connection: Connection): void {
    const { time, coverage } = this.#world;
    this.#world.time.after(connection.heardMs + this.#silenceMs(connection) - time.nowMs, () => {
      if (connection.isOver) return;
      const silenceMs = this.#silenceMs(connection);
      if (connection.heardMs + silenceMs > time.nowMs) return this.#listen(connection);
      coverage.add("a watch fell silent");
      if (connection.life.contact.isCutOff) coverage.add("a watcher left a node that was cut off");
      this.#lost(connection);
    });
  }

  /** A few signs that do not come; before the first of them the node asks others how far they are. */
  #silenceMs({ watcher }: Connection): number {
    const { electionTimeoutMs, watchProgressMs, requestDeadlineMs } = this.#world.options.limits;
    const openingMs = watcher === null ? 3 * electionTimeoutMs + 2 * requestDeadlineMs : 0;
    return electionTimeoutMs + 3 * watchProgressMs + openingMs;
  }

  /** Gives it up; the node hears of it a moment later. */
  #drop(connection: Connection): void {
    const { process, life } = connection;
    connection.isOver = true;
    this.#connection = null;
    this.#reader.brokenOff();
    if (this.#told.isInRevision) this.#world.coverage.add("a watch broke off within a revision");
    if (this.#reader.isToldAgain) this.#told.forgetPartial();
    this.#world.time.after(latencyMs(this.#world), () =>
      process.enter(life, () => connection.watcher?.close()),
    );
  }

  #lost(connection: Connection): void {
    if (connection.isOver) return;
    this.#drop(connection);
    const { random, options } = this.#world;
    const isAway = this.#goal === null && random.float() < awayRate;
    const awayMs = isAway ? options.limits.electionTimeoutMs * 6 * random.float() : 0;
    this.#connectAfter(awayMs + this.#pauseMs);
  }

  // ------------------------------------------------------------------ at the node

  #open(connection: Connection, since: number | undefined): void {
    const { coverage } = this.#world;
    const { life } = connection;
    const { watches, startIndex } = watchingIn(life);
    whenKnown({ watches, node: life.node }, since, (answer) => {
      if (connection.isOver) return;
      if (!answer.ok) return this.#send(connection, () => this.#lost(connection));
      const asked = { ...this.#keys, before: this.#wantsBefore };
      const opened = openWatcher(watches, since === undefined ? asked : { ...asked, since });
      if (!opened.ok) {
        if (opened.code === "compacted") this.#checkForgotten(connection);
        return this.#send(connection, () => this.#refused(connection, opened));
      }
      if ((since ?? Infinity) < startIndex) coverage.add("a watch goes on from an earlier life");
      if (since !== undefined && this.#lastProcess !== connection.process) {
        coverage.add("a watch is resumed at another node");
      }
      this.#lastProcess = connection.process;
      connection.watcher = opened.watcher;
      connection.openedAt = watches.appliedIndex;
      this.#pump(connection, opened.watcher);
    });
  }

  /** The next of what there is; nothing is read ahead of what the client takes. */
  #pump(connection: Connection, watcher: Watcher): void {
    watcher.take((batch) => {
      if (connection.isOver) return;
      if (typeof batch === "string") return this.#ended(connection, batch);
      this.#checkApplied(connection, batch);
      this.#checkSigns(connection, batch);
      const text = this.#reader.encode(batch, this.#wantsBefore);
      const known = this.#knownAt(connection);
      this.#send(connection, () => this.#come(connection, text, known));
    });
  }

  /** Whoever wants to know what stood there has it read with every change from then on. */
  #knownAt({ life, openedAt }: Connection): KnownBefore {
    const { oldestRevision } = watchingIn(life).watches;
    return { writtenAfter: oldestRevision, changedAfter: openedAt };
  }

  /** Whoever goes on hearing that nothing was left out would stay, and miss what others are told of. */
  #checkSigns(connection: Connection, batch: readonly WatchEvent[]): void {
    const { process, life } = connection;
    const { configuration } = life.node;
    if (batch[batch.length - 1]?.type !== "progress" || voters(configuration).length < 2) return;
    connection.lateSigns = life.contact.isCutOff ? connection.lateSigns + 1 : 0;
    claim(
      connection.lateSigns <= lateSignsMax,
      () => `node ${process.id} has long heard of nobody, and says that nothing was left out`,
    );
  }

  #ended(connection: Connection, end: WatchEnd): void {
    const { coverage, trace, time } = this.#world;
    if (end === "behind") this.#checkForgotten(connection);
    trace.note(time.nowMs, "ends a watch:", connection.process.id, end);
    coverage.add(`a watch ended: ${end}, ${overOf(end).code}`);
    this.#send(connection, () => this.#lost(connection));
  }

  /** Its node says that it does not remember what comes next: nor need it. */
  #checkForgotten({ process, life }: Connection): void {
    const { oldestDue } = watchingIn(life);
    const { since = Infinity } = this.#reader;
    claim(
      since < oldestDue || since === Infinity,
      () => `node ${process.id} has forgotten what is behind ${since}, and has room for it`,
    );
  }

  #checkApplied({ process, life }: Connection, batch: readonly WatchEvent[]): void {
    process.look();
    const { appliedIndex } = life.node;
    const { lastCommitted } = this.#world.checks;
    for (const { revision } of batch) {
      claim(
        revision <= appliedIndex && revision <= lastCommitted,
        () =>
          `node ${process.id} tells of ${revision}; it has applied ${appliedIndex}, ` +
          `and ${lastCommitted} is committed`,
      );
    }
  }

  // ------------------------------------------------------------------ what comes of it

  #come(connection: Connection, text: string, known: KnownBefore): void {
    const { random, coverage } = this.#world;
    const { process, life, watcher } = connection;
    const isBroken = this.#goal === null && random.float() < breakRate;
    const part = isBroken ? text.slice(0, random.below(text.length + 1)) : text;
    for (const change of this.#reader.read(part)) {
      coverage.add("a watcher was told of a change");
      this.#told.change(change, known);
    }
    if (this.#reader.since !== undefined) this.#told.upTo(this.#reader.since);
    this.#forgotten = 0;
    if (isBroken) return this.#lost(connection);
    if (this.isDone) return this.#drop(connection);
    const next = (): void => {
      connection.heardMs = this.#world.time.nowMs;
      if (!connection.isOver && watcher) {
        process.enter(life, () => this.#pump(connection, watcher));
      }
    };
    const isSlow = this.#goal === null && random.float() < this.#slowRate;
    if (!isSlow) return next();
    this.#world.time.after(this.#world.options.limits.electionTimeoutMs * 3 * random.float(), next);
  }

  #refused(connection: Connection, { code, oldestRevision = 0, detail }: Failure): void {
    const { random, coverage } = this.#world;
    const since = this.#reader.since ?? Infinity;
    claim(code !== "bad_request", () => `${this.#name} was told of ${since}: ${detail}`);
    coverage.add(`a watch was refused: ${code}`);
    if (code !== "compacted") return this.#lost(connection);
    claim(oldestRevision > since, () => `${this.#name}: ${since} is forgotten, but ${detail}`);
    this.#forgotten++;
    if (this.#forgotten < forgottenMax && random.float() < 0.5) return this.#lost(connection);
    this.#drop(connection);
    this.#list();
  }

  /** Whoever sees all that there is at a revision can go on behind it. */
  #list(): void {
    const connection = this.#dial();
    if (connection === null) return this.#connectAfter(this.#pauseMs);
    const { node } = connection.life;
    this.#inProcess(connection, () =>
      node.read((answer) => {
        const { appliedIndex } = node;
        this.#send(connection, () => {
          if (answer.ok) {
            this.#world.coverage.add("a watcher listed what there is, and went on");
            this.#told.listed(appliedIndex);
            this.#reader = readerOf(this.#kind, appliedIndex);
          }
          this.#lost(connection);
        });
      }),
    );
  }

  // ------------------------------------------------------------------ the way there and back

  #inProcess(connection: Connection, run: () => void): void {
    const { process, life } = connection;
    this.#world.time.after(latencyMs(this.#world), () => {
      if (!connection.isOver) process.enter(life, run);
    });
  }

  #send(connection: Connection, arrived: () => void): void {
    const { time } = this.#world;
    const sentMs = connection.process.nowMs;
    connection.lastArrivalMs = Math.max(connection.lastArrivalMs, sentMs + latencyMs(this.#world));
    time.at(connection.lastArrivalMs, () => {
      if (connection.isOver) return;
      connection.heardMs = time.nowMs;
      arrived();
    });
  }

  get #pauseMs(): number {
    return this.#world.options.limits.heartbeatMs * (0.5 + this.#world.random.float());
  }
}
