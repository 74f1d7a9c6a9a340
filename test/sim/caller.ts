/** One client that asks nodes for whatever their client port has, one thing after the other. */

import type { NodeClient } from "../../server/node-client.ts";
import type { Clock } from "../../server/ports.ts";
import type { Seen } from "./case-judge.ts";
import type { Life, SimProcess } from "./process.ts";
import type { PromisedClient } from "./promised-clients.ts";
import { quietLeftMs } from "./quiet.ts";
import { watchingIn } from "./watching.ts";
import { latencyMs, type SimWorld } from "./world.ts";

/** What is asked. Its answer is checked once it has come; what it knows of the past is what is seen. */
export interface Asking {
  readonly name: string;
  readonly ask: (store: NodeClient, clock: Clock) => Promise<(seen: Seen) => void>;
}

export interface CallerSurroundings {
  readonly world: SimWorld;
  /** What there is to ask for. */
  readonly draw: (caller: number) => Asking;
  /** The newest state that each life has shown. */
  readonly shown: WeakMap<Life, number>;
  readonly failed: (error: unknown) => void;
}

interface Call {
  readonly asking: Asking;
  readonly process: SimProcess;
  readonly life: Life;
  readonly acknowledged: number;
  /** Its node works on it: promises are under way. */
  isUnderWay: boolean;
  isOver: boolean;
}

export class Caller implements PromisedClient {
  readonly #surroundings: CallerSurroundings;
  readonly #world: SimWorld;
  readonly #number: number;
  #call: Call | null = null;
  #isOver = false;

  constructor(surroundings: CallerSurroundings, number: number) {
    this.#surroundings = surroundings;
    this.#world = surroundings.world;
    this.#number = number;
  }

  start(): void {
    this.#askLater();
  }

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
    const { process, asking } = this.#call ?? {};
    return `caller ${this.#number} waits at ${process?.id} for ${asking?.name}`;
  }

  /** The process ended: its connections broke, and what came of the call nobody knows. */
  died(life: Life): void {
    const call = this.#call;
    if (call?.life !== life) return;
    call.isUnderWay = false;
    this.#world.time.after(latencyMs(this.#world), () => this.#over(call));
  }

  #askLater(): void {
    const { time, random, options } = this.#world;
    const meanMs = options.limits.electionTimeoutMs / 8;
    const pauseMs = -Math.log(1 - random.float()) * meanMs;
    this.#world.time.after(pauseMs + quietLeftMs(options, time.nowMs + pauseMs), () => this.#ask());
  }

  #ask(): void {
    if (this.#isOver) return;
    const { random, processes, time, trace, checks } = this.#world;
    const process = random.pick(processes);
    const { life } = process;
    if (!life) return this.#askLater();
    const asking = this.#surroundings.draw(this.#number);
    const acknowledged = checks.lastAcknowledged;
    const call: Call = { asking, process, life, acknowledged, isUnderWay: false, isOver: false };
    this.#call = call;
    trace.note(time.nowMs, asking.name, process.id, this.#number);
    this.#world.time.after(latencyMs(this.#world), () =>
      process.enter(life, () => this.#arrived(call)),
    );
  }

  #arrived(call: Call): void {
    const { process, life, acknowledged } = call;
    const { failed, shown } = this.#surroundings;
    process.look();
    const since = this.#world.checks.lastCommitted;
    const seen = { process, life, since, acknowledged, floor: shown.get(life) ?? 0 };
    call.isUnderWay = true;
    this.#answer(call, seen).catch((error: unknown) => failed(error));
  }

  async #answer(call: Call, seen: Seen): Promise<void> {
    const { asking, process, life } = call;
    const { store, clock } = watchingIn(life);
    const check = await asking.ask(store, clock);
    if (call.isOver || !call.isUnderWay) return;
    call.isUnderWay = false;
    process.look();
    check(seen);
    const { time, trace } = this.#world;
    trace.note(time.nowMs, "a caller is answered", process.id, this.#number);
    time.at(process.nowMs + latencyMs(this.#world), () => this.#over(call));
  }

  #over(call: Call): void {
    if (call.isOver) return;
    call.isOver = true;
    this.#call = null;
    this.#askLater();
  }
}
