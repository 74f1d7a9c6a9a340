/** One client whose reads wait: for a change of a key, for a revision, or for a state that is recent enough. */

import type { GetAnswer, ReadLevel, ReadOptions } from "../../server/client-port.ts";
import { getChanged, type PolledStore, type WaitedAnswer } from "../../server/long-poll.ts";
import type { WatchBatches } from "../../server/watch/watch-port.ts";
import type { Life, SimProcess } from "./process.ts";
import { claim } from "./trace.ts";
import type { AskedRead, Got, ReadCourse, WaitingChecks } from "./waiting-checks.ts";
import { watchingIn } from "./watching.ts";
import type { Registers } from "./workloads.ts";
import { latencyMs, type SimWorld } from "./world.ts";

export interface ReaderSurroundings {
  readonly world: SimWorld;
  readonly registers: Registers;
  readonly checks: WaitingChecks;
  /** A promise of the product was broken where nobody above catches it. */
  readonly failed: (error: unknown) => void;
}

interface Call {
  readonly asked: AskedRead;
  readonly process: SimProcess;
  readonly life: Life;
  /** Null where the linearizability checker is not told. */
  readonly id: number | null;
  /** The client goes at once when he gives up, and asks again later. */
  readonly leaving: AbortController;
  /** Its node works on it: promises are under way. */
  isUnderWay: boolean;
  isOver: boolean;
  /** Since its node has it. */
  course: ReadCourse | null;
}

/** Of the time that a read may wait for a change: what comes until then surely comes in time. */
const promptShare = 0.8;
/** How often a client goes before he is answered. */
const leaveRate = 0.1;
/** Revisions and waits that lie ahead. */
const aheadMax = 30;
/** Of the numbers by which the checker names clients. */
const readersFrom = 1_000_000;

export class WaitingReader {
  readonly #surroundings: ReaderSurroundings;
  readonly #world: SimWorld;
  readonly #number: number;
  #call: Call | null = null;
  /** Of calls whose clients have gone: their nodes may not be done with them. */
  readonly #left = new Set<Call>();
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
    this.#world.time.after(options.durationMs * 0.3 * random.float(), () => this.#ask());
  }

  /** Asks no more; what is under way goes on. */
  stop(): void {
    this.#isOver = true;
  }

  get isAsking(): boolean {
    return this.#call !== null || this.#left.size > 0;
  }

  get isUnderWay(): boolean {
    return (this.#call?.isUnderWay ?? false) || this.#left.size > 0;
  }

  get description(): string {
    const { process, asked } = this.#call ?? {};
    return `reader ${this.#number} waits at ${process?.id} for ${JSON.stringify(asked)}`;
  }

  /** The process ended: its connections broke. */
  died(life: Life): void {
    for (const left of this.#left) if (left.life === life) this.#left.delete(left);
    const call = this.#call;
    if (call?.life !== life) return;
    call.isUnderWay = false;
    this.#world.time.after(latencyMs(this.#world), () => this.#over(call));
  }

  // ------------------------------------------------------------------ asking

  #ask(): void {
    if (this.#isOver) return;
    const { random, processes, time, trace } = this.#world;
    const process = random.pick(processes);
    const asked = this.#draw();
    const leavesMs = random.float() < leaveRate ? (asked.wait?.ms ?? 0) * random.float() : null;
    const { life } = process;
    if (!life) return this.#askLater();
    const { key, level } = asked;
    const { history } = this.#surroundings.registers;
    const isChecked = level === "linearizable" && key.startsWith("key-");
    const number = readersFrom + this.#number;
    const id = isChecked ? history.begin(number, key, { kind: "get" }, time.nowMs) : null;
    const leaving = new AbortController();
    const call: Call = {
      asked,
      process,
      life,
      id,
      leaving,
      isUnderWay: false,
      isOver: false,
      course: null,
    };
    this.#call = call;
    trace.note(time.nowMs, "is asked by one who waits", process.id, this.#number);
    this.#world.time.after(latencyMs(this.#world), () =>
      process.enter(life, () => this.#arrived(call)),
    );
    if (leavesMs !== null) this.#world.time.after(leavesMs, () => this.#leave(call));
  }

  #draw(): AskedRead {
    const { random, options, checks } = this.#world;
    const { electionTimeoutMs, requestDeadlineMs } = options.limits;
    const name = `key-${random.below(options.keys)}`;
    const key = random.pick([name, name, "net-0", "counter", "mortal-1"]);
    const level = random.pick<ReadLevel>(["linearizable", "linearizable", "local"]);
    const { lastAcknowledged } = checks;
    const ahead = lastAcknowledged + random.below(aheadMax);
    const known = this.#seenOf.get(key) ?? 0;
    const min = random.pick([this.#seen, this.#seen, lastAcknowledged, ahead]);
    const minRevision = random.float() < 0.3 ? null : min;
    const staleMs = electionTimeoutMs * random.pick([0.2, 1, 5]);
    const maxStaleMs = level === "local" && random.float() < 0.5 ? staleMs : null;
    const timeoutMs =
      random.float() < 0.5 ? requestDeadlineMs : electionTimeoutMs * 3 * random.float();
    const isFromNow = random.float() < 0.25;
    const earlier = random.pick([known, known, known, random.below(lastAcknowledged + 1), ahead]);
    const after = isFromNow ? undefined : earlier;
    const ms = electionTimeoutMs * random.pick([0.3, 4]) * (0.05 + random.float());
    const wait = random.float() < 0.7 ? { ms, after } : null;
    return { key, level, minRevision, maxStaleMs, timeoutMs, wait };
  }

  #askLater(): void {
    const { random, options } = this.#world;
    const pauseMs = options.limits.electionTimeoutMs * random.float();
    this.#world.time.after(pauseMs, () => this.#ask());
  }

  /** Its node hears of it a moment later. */
  #leave(call: Call): void {
    if (call.isOver) return;
    const { process, life, leaving } = call;
    this.#world.coverage.add("who waited has gone");
    if (call.isUnderWay) this.#left.add(call);
    this.#world.time.after(latencyMs(this.#world), () =>
      process.enter(life, () => {
        leaving.abort();
        const { clock } = watchingIn(call.life);
        clock.soon(() => clock.soon(() => this.#checkLeft(call)));
      }),
    );
    this.#over(call);
  }

  /** For whom nobody waits nobody watches. */
  #checkLeft({ course, process, life }: Call): void {
    claim(
      course === null || course.opened === null || course.isWatchOver || process.life !== life,
      () => `node ${process.id} goes on watching for one who has gone`,
    );
  }

  // ------------------------------------------------------------------ at the node

  #arrived(call: Call): void {
    if (call.isOver) return;
    const { asked, process, life } = call;
    call.isUnderWay = true;
    const { clock } = watchingIn(call.life);
    const course: ReadCourse = {
      ...{ asked, process, life },
      committedBefore: this.#world.checks.lastCommitted,
      appliedBefore: life.node.appliedIndex,
      arrivedMs: clock.monotonicMs(),
      ...{ opened: null, dueThrough: 0, isWatchOver: false },
      ...{ told: null, lookedMs: null, looksAgain: false },
    };
    call.course = course;
    this.#answer(call, course).catch((error: unknown) => this.#surroundings.failed(error));
  }

  async #answer(call: Call, course: ReadCourse): Promise<void> {
    const { key, level, minRevision, maxStaleMs, timeoutMs, wait } = call.asked;
    const options: ReadOptions = {
      ...{ level, timeoutMs, signal: call.leaving.signal },
      ...(minRevision !== null && { minRevision }),
      ...(maxStaleMs !== null && { maxStaleMs }),
    };
    const { clock, store } = watchingIn(call.life);
    const found: WaitedAnswer = wait
      ? await getChanged(this.#storeFor(call, course), key, { wait, options })
      : { kind: "answer", answer: await store.get(key, options) };
    this.#left.delete(call);
    if (call.isOver || !call.isUnderWay) return;
    call.isUnderWay = false;
    this.#surroundings.checks.answered(course, found, clock.monotonicMs());
    this.#send(call, found.answer);
  }

  /** The node's own, of which is noted what a poll hears of it and when. */
  #storeFor(call: Call, course: ReadCourse): PolledStore {
    const { store, watches, clock } = watchingIn(call.life);
    const { checks } = this.#surroundings;
    return {
      get: async (key, options) => {
        if (course.lookedMs !== null) checks.looksAgain(course);
        const answer = await store.get(key, options);
        course.lookedMs ??= this.#world.time.nowMs;
        return answer;
      },
      watch: async (options) => {
        const opened = await store.watch(options);
        if (!opened.ok) return opened;
        if (options.forMs !== undefined) {
          course.opened = { ms: clock.monotonicMs(), applied: watches.appliedIndex };
          this.#noteTimes(call, course, options.forMs);
        }
        return { ok: true, batches: this.#noting(course, opened.batches) };
      },
    };
  }

  async *#noting(course: ReadCourse, batches: WatchBatches): WatchBatches {
    try {
      for await (const batch of batches) {
        const change = batch.find(({ type }) => type !== "progress" && type !== "over");
        if (change && "revision" in change) {
          course.told ??= { ms: this.#world.time.nowMs, revision: change.revision };
        }
        yield batch;
      }
    } finally {
      course.isWatchOver = true;
    }
  }

  /**
   * What is applied by then is told once everything that was to be done at once is done; and so is the
   * waiting over when its time is, which need not be the time that the poll makes of it.
   */
  #noteTimes({ asked, life, process }: Call, course: ReadCourse, forMs: number): void {
    const { clock } = watchingIn(life);
    const ms = asked.wait?.ms ?? forMs;
    const soonAfter = (atMs: number, run: (applied: number) => void): void => {
      clock.after(atMs, () => {
        const { appliedIndex } = life.node;
        clock.soon(() => clock.soon(() => process.life === life && run(appliedIndex)));
      });
    };
    soonAfter(ms * promptShare, (applied) => {
      if (!course.isWatchOver) course.dueThrough = applied;
    });
    soonAfter(ms, () => this.#surroundings.checks.timeIsOver(course));
  }

  // ------------------------------------------------------------------ what comes of it

  #send(call: Call, answer: GetAnswer): void {
    const { time } = this.#world;
    time.at(call.process.nowMs + latencyMs(this.#world), () => {
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
    const { registers } = this.#surroundings;
    const { history } = registers;
    const { time } = this.#world;
    if (call.id !== null) {
      if (answer?.ok) history.end(call.id, registers.outputOfRow(answer.row), time.nowMs);
      else history.failed(call.id);
    }
    this.#askLater();
  }
}
