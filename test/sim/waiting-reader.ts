/** One client whose reads wait: for a change of a key, for a revision, or for a state that is recent enough. */

import type { Failure, GetAnswer, ReadLevel, ReadOptions } from "../../server/client-port.ts";
import {
  getChanged,
  type PolledStore,
  type Wait,
  type WaitedAnswer,
} from "../../server/long-poll.ts";
import { must } from "../../server/raft/assert.ts";
import type { WatchBatches } from "../../server/watch/watch-port.ts";
import type { LocalReads } from "./local-reads.ts";
import type { Life, SimProcess } from "./process.ts";
import { claim } from "./trace.ts";
import type { Watching } from "./watching.ts";
import type { Registers } from "./workloads.ts";
import type { SimWorld } from "./world.ts";

export interface ReaderSurroundings {
  readonly world: SimWorld;
  readonly registers: Registers;
  readonly localReads: LocalReads;
  /** A promise of the product was broken where nobody above catches it. */
  readonly failed: (error: unknown) => void;
}

interface Asked {
  readonly key: string;
  readonly level: ReadLevel;
  readonly minRevision: number | null;
  readonly maxStaleMs: number | null;
  /** Null: the read waits for no change. */
  readonly wait: Wait | null;
}

interface Call {
  readonly asked: Asked;
  readonly process: SimProcess;
  readonly life: Life;
  /** Null where the linearizability checker is not told. */
  readonly id: number | null;
  /** Its node works on it: promises are under way. */
  isUnderWay: boolean;
  isOver: boolean;
  /** What its node had applied, and forgotten, when the watch was open; null: it is not. */
  opened: { readonly applied: number; readonly floor: number } | null;
  /** Changes up to here were there to be told of before the time was over. */
  dueThrough: number;
  isWatchOver: boolean;
  /** When the watch first told of a change, and when the first look at the row was done; null: not yet. */
  toldMs: number | null;
  lookedMs: number | null;
  looksAgain: boolean;
}

type Got = Extract<GetAnswer, { readonly ok: true }>;

/** Of the time that a read may wait for a change: what comes until then surely comes in time. */
const promptShare = 0.8;

export class WaitingReader {
  readonly #surroundings: ReaderSurroundings;
  readonly #world: SimWorld;
  readonly #number: number;
  #call: Call | null = null;
  /** The newest that it was told of, of the whole and of each key. */
  #seen = 0;
  readonly #seenOf = new Map<string, number>();
  #isOver = false;

  constructor(surroundings: ReaderSurroundings, number: number) {
    this.#surroundings = surroundings;
    this.#world = surroundings.world;
    this.#number = number;
  }

  start(): void {
    const { random, options } = this.#world;
    this.#after(options.durationMs * 0.3 * random.float(), () => this.#ask());
  }

  /** Asks no more; what is under way goes on. */
  stop(): void {
    this.#isOver = true;
  }

  get isAsking(): boolean {
    return this.#call !== null;
  }

  get isUnderWay(): boolean {
    return this.#call?.isUnderWay ?? false;
  }

  get description(): string {
    const { process, asked } = this.#call ?? {};
    return `reader ${this.#number} waits at ${process?.id} for ${JSON.stringify(asked)}`;
  }

  /** The process ended: its connections broke. */
  died(life: Life): void {
    const call = this.#call;
    if (call?.life !== life) return;
    call.isUnderWay = false;
    this.#after(this.#latencyMs, () => this.#over(call));
  }

  // ------------------------------------------------------------------ asking

  #ask(): void {
    if (this.#isOver) return;
    const { random, processes, time, trace } = this.#world;
    const process = random.pick(processes);
    const asked = this.#draw();
    const { life } = process;
    if (!life) return this.#askLater();
    const { key, level } = asked;
    const { history } = this.#surroundings.registers;
    const isChecked = level === "linearizable" && key.startsWith("key-");
    const number = readersFrom + this.#number;
    const id = isChecked ? history.begin(number, key, { kind: "get" }, time.nowMs) : null;
    const call: Call = {
      ...{ asked, process, life, id, isUnderWay: false, isOver: false },
      ...{ opened: null, dueThrough: 0, isWatchOver: false },
      ...{ toldMs: null, lookedMs: null, looksAgain: false },
    };
    this.#call = call;
    trace.note(time.nowMs, "is asked by one who waits", process.id, this.#number);
    this.#after(this.#latencyMs, () => process.enter(life, () => this.#arrived(call)));
  }

  #draw(): Asked {
    const { random, options, checks } = this.#world;
    const { electionTimeoutMs } = options.limits;
    const name = `key-${random.below(options.keys)}`;
    const key = random.pick([name, name, "net-0", "counter", "mortal-1"]);
    const level = random.pick<ReadLevel>(["linearizable", "linearizable", "local"]);
    const { lastAcknowledged } = checks;
    const minRevision =
      random.float() < 0.3 ? null : random.pick([this.#seen, this.#seen, lastAcknowledged]);
    const staleMs = electionTimeoutMs * random.pick([0.2, 1, 5]);
    const maxStaleMs = level === "local" && random.float() < 0.5 ? staleMs : null;
    const known = this.#seenOf.get(key) ?? 0;
    const isFromNow = random.float() < 0.25;
    const after = isFromNow
      ? undefined
      : random.pick([known, known, random.below(lastAcknowledged + 1)]);
    const ms = electionTimeoutMs * (0.2 + 4 * random.float());
    const wait = random.float() < 0.7 ? { ms, after } : null;
    return { key, level, minRevision, maxStaleMs, wait };
  }

  #askLater(): void {
    const { random, options } = this.#world;
    const pauseMs = options.limits.electionTimeoutMs * random.float();
    this.#after(pauseMs, () => this.#ask());
  }

  // ------------------------------------------------------------------ at the node

  #arrived(call: Call): void {
    call.isUnderWay = true;
    const { wait } = call.asked;
    if (wait) this.#noteDue(call, wait.ms * promptShare);
    this.#answer(call).catch((error: unknown) => this.#surroundings.failed(error));
  }

  /** What is applied by then has been told once everything that was to be done at once is done. */
  #noteDue(call: Call, ms: number): void {
    const { clock } = this.#watching(call);
    const { node } = call.life;
    clock.after(ms, () => {
      const { appliedIndex } = node;
      clock.soon(() =>
        clock.soon(() => {
          if (!call.isWatchOver) call.dueThrough = appliedIndex;
        }),
      );
    });
  }

  async #answer(call: Call): Promise<void> {
    const { key, level, minRevision, maxStaleMs, wait } = call.asked;
    const options: ReadOptions = {
      level,
      ...(minRevision !== null && { minRevision }),
      ...(maxStaleMs !== null && { maxStaleMs }),
    };
    const appliedBefore = call.life.node.appliedIndex;
    const found: WaitedAnswer = wait
      ? await getChanged(this.#storeFor(call), key, { wait, options })
      : {
          kind: "answer",
          answer: await this.#watching(call).store.get(key, options),
          revision: null,
        };
    if (call.isOver || !call.isUnderWay) return;
    call.isUnderWay = false;
    const { answer } = found;
    if (answer.ok) {
      this.#checkRead(call, answer);
      if (wait) this.#checkWaited(call, answer, found);
    } else this.#checkRefusal(call, answer, appliedBefore);
    this.#send(call, answer);
  }

  /** The node's own, of which is noted what a poll hears of it and when. */
  #storeFor(call: Call): PolledStore {
    const { store, watches } = this.#watching(call);
    const { time } = this.#world;
    return {
      get: async (key, options) => {
        if (call.lookedMs !== null) this.#checkAgain(call);
        const answer = await store.get(key, options);
        call.lookedMs ??= time.nowMs;
        return answer;
      },
      watch: async (options) => {
        const opened = await store.watch(options);
        if (!opened.ok) return opened;
        call.opened = { applied: watches.appliedIndex, floor: watches.oldestRevision };
        return { ok: true, batches: this.#noting(call, opened.batches) };
      },
    };
  }

  async *#noting(call: Call, batches: WatchBatches): WatchBatches {
    try {
      for await (const batch of batches) {
        if (batch.some(({ type }) => type !== "progress")) call.toldMs ??= this.#world.time.nowMs;
        yield batch;
      }
    } finally {
      call.isWatchOver = true;
    }
  }

  #watching({ life }: Call): Watching {
    return must(life.watching ?? undefined, "it can be watched");
  }

  // ------------------------------------------------------------------ what it says

  /** It looks at the row once more: because it was told of a change, or because the time is over. */
  #checkAgain(call: Call): void {
    call.looksAgain = true;
    const { asked, process, toldMs, lookedMs } = call;
    const { nowMs } = this.#world.time;
    const dueMs = Math.max(toldMs ?? nowMs, lookedMs ?? nowMs);
    claim(
      nowMs <= dueMs,
      () => `node ${process.id} could say what ${asked.key} is for ${nowMs - dueMs} ms, and waits`,
    );
  }

  #checkRead({ asked, process, life }: Call, { row, level, ageMs, revision }: Got): void {
    const { key, minRevision, maxStaleMs } = asked;
    const { checks } = this.#world;
    const who = `node ${process.id} is asked for ${key}`;
    process.look();
    claim(
      revision !== undefined && revision <= checks.lastCommitted,
      () => `${who} and answers at ${revision}; ${checks.lastCommitted} is committed`,
    );
    claim(level === asked.level, () => `${who} by ${asked.level}, and answers by ${level}`);
    claim(
      revision >= (minRevision ?? 0),
      () => `${who} at ${minRevision}, and answers at ${revision}`,
    );
    claim(
      maxStaleMs === null || (ageMs ?? Infinity) <= maxStaleMs,
      () => `${who} as it was ${maxStaleMs} ms ago at the most, and answers with ${ageMs} ms`,
    );
    const committed = this.#changes.rowAt(key, revision);
    claim(
      row?.revision === committed?.revision &&
        Buffer.compare(row?.value ?? none, committed?.value ?? none) === 0,
      () => `${who}, shows ${row?.revision} at ${revision}, and it is ${committed?.revision}`,
    );
    if (level !== "local") return;
    claim(!life.node.mending?.state, () => `${who}, and answers while its state is made anew`);
    this.#surroundings.localReads.check(process, life, row);
  }

  #checkWaited(call: Call, { row, revision = 0 as never }: Got, found: WaitedAnswer): void {
    const { asked, process, opened, dueThrough } = call;
    const { key, wait } = asked;
    const { ms, after } = must(wait ?? undefined, "it waited");
    const { coverage } = this.#world;
    const { applied, floor } = must(opened ?? undefined, "it has watched");
    const who = `node ${process.id} is to say in ${ms} ms what becomes of ${key} behind ${after}`;
    const isTold = found.kind === "answer" && found.revision !== null;
    const since = after ?? applied;
    if (call.looksAgain && (call.toldMs === null || found.kind === "unchanged")) {
      const missed = this.#changes.lastChange(key, since, dueThrough);
      claim(missed === null, () => `${who}, and says nothing of ${missed} until the time is over`);
    }
    if (found.kind === "unchanged") {
      coverage.add("a long poll: nothing came");
      const isOld = after === undefined || (row?.revision ?? 0) <= after;
      claim(isOld, () => `${who}, and calls what is of ${row?.revision} unchanged`);
      return;
    }
    if (isTold) {
      coverage.add("a long poll: a change came");
      const changed = must(found.revision ?? undefined, "it is told");
      const isSo = this.#changes.lastChange(key, changed - 1, changed) === changed;
      claim(isSo && changed > (after ?? 0), () => `${who}, and tells of ${changed}, which is none`);
      claim(revision >= changed, () => `${who}, tells of ${changed}, and shows ${revision}`);
      return;
    }
    coverage.add("a long poll: it had changed before");
    const isForgotten = since < floor;
    const isChanged = this.#changes.lastChange(key, since, revision) !== null;
    claim(isChanged || (isForgotten && row === null), () => `${who}, and answers without a change`);
  }

  #checkRefusal({ asked, process }: Call, { code, detail }: Failure, appliedBefore: number): void {
    this.#world.coverage.add(`a read that may wait was refused: ${code}`);
    const { minRevision, maxStaleMs } = asked;
    const why = (): string => `node ${process.id} is asked for ${JSON.stringify(asked)}: ${detail}`;
    claim(code !== "bad_request" && code !== "compacted", why);
    if (code !== "stale") return;
    // Whoever has applied it once has it for good, or begins anew with less.
    const isLate = (minRevision ?? 0) > appliedBefore || maxStaleMs !== null;
    claim(isLate || !detail.includes("has not reached"), why);
  }

  // ------------------------------------------------------------------ what comes of it

  #send(call: Call, answer: GetAnswer): void {
    const { time } = this.#world;
    time.at(call.process.nowMs + this.#latencyMs, () => {
      if (call.isOver) return;
      if (answer.ok) this.#told(call, answer);
      this.#over(call, answer);
    });
  }

  #told({ asked }: Call, { row, revision = 0 as never }: Got): void {
    this.#seen = Math.max(this.#seen, revision);
    this.#seenOf.set(asked.key, row?.revision ?? revision);
  }

  #over(call: Call, answer?: GetAnswer): void {
    if (call.isOver) return;
    call.isOver = true;
    this.#call = null;
    const { history } = this.#surroundings.registers;
    const { time } = this.#world;
    if (call.id !== null) {
      if (answer?.ok) history.end(call.id, this.#outputOf(answer), time.nowMs);
      else history.failed(call.id);
    }
    this.#askLater();
  }

  #outputOf({ row }: Got) {
    return this.#surroundings.registers.outputOfRow(row);
  }

  get #changes() {
    return must(this.#world.changes ?? undefined, "changes are noted where somebody watches");
  }

  get #latencyMs(): number {
    return this.#world.options.latencyMs * (0.5 + this.#world.random.float());
  }

  #after(ms: number, run: () => void): void {
    const { time } = this.#world;
    time.at(time.nowMs + ms, run);
  }
}

/** Of the numbers by which the checker names clients. */
const readersFrom = 1_000_000;

const none = new Uint8Array(0);
