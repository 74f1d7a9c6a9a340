/** Clients that put, get and delete a few keys through random nodes, and write down what they were told. */

import type { WriteAnswer } from "../../server/pending-writes.ts";
import type { CompareAndSetInput } from "../linearizability/models.ts";
import { Random } from "../raft/random.ts";
import type { LocalReads } from "./local-reads.ts";
import type { Life, SimProcess } from "./process.ts";
import { quietLeftMs } from "./quiet.ts";
import { ask, Counters, Extremes, Registers, rowIn, Twins, type Asked } from "./workloads.ts";
import { latencyMs, type SimWorld } from "./world.ts";

type Begin = (client: number, nowMs: number) => Asked & { readonly id: number };

/** What came of a call, as far as its client knows. */
type Outcome = "answered" | "unknown" | "failed";

interface Call {
  readonly id: number;
  readonly asked: Asked;
  readonly process: SimProcess;
  readonly life: Life;
  readonly done: (isOk: boolean) => void;
  readonly triesLeft: number;
  /** An earlier try may have been executed. */
  readonly isDoubtful: boolean;
}

/** What extremes are raised and lowered to: few enough that many meet what is there already. */
const extremesMax = 20;

/** Of one call that is executed once, however often it is sent. */
const triesMax = 6;

interface Client {
  readonly number: number;
  /** Null while it thinks. */
  call: Call | null;
}

export interface Acknowledged {
  readonly key: string;
  readonly revision: number;
}

export class Clients {
  readonly #world: SimWorld;
  readonly registers = new Registers();
  readonly counters = new Counters();
  readonly extremes = new Extremes();
  readonly twins = new Twins();
  readonly #clients: Client[];
  /** Each for one call, until it is answered. */
  readonly #askers = new Set<Client>();
  readonly #localReads: LocalReads;
  /** Its own, so that all else stays as the seed drew it before there were extremes. */
  readonly #extremesRandom: Random;
  #lastValue = 0;
  #isOver = false;
  /** Clients ever; one whose call was lost goes on under a new number. */
  #lastNumber = 0;
  called = 0;
  answered = 0;

  constructor(world: SimWorld, localReads: LocalReads) {
    this.#world = world;
    this.#extremesRandom = new Random(world.options.seed ^ 0x1b873593);
    this.#localReads = localReads;
    this.#clients = Array.from({ length: world.options.clients }, () => ({
      number: ++this.#lastNumber,
      call: null,
    }));
  }

  start(): void {
    for (const client of this.#clients) this.#thinkThenCall(client);
  }

  /** No new calls; those under way go on. */
  stop(): void {
    this.#isOver = true;
  }

  get underWay(): number {
    return this.#clients.filter(({ call }) => call !== null).length;
  }

  /** The process ended: its clients' connections broke. */
  died(life: Life): void {
    const { time } = this.#world;
    for (const client of [...this.#clients, ...this.#askers]) {
      const { call } = client;
      if (call?.life !== life) continue;
      time.at(time.nowMs + latencyMs(this.#world), () => this.#lost(client, call));
    }
  }

  /** One call of its own, outside the load: for what is asked at the end. */
  ask(
    process: SimProcess,
    key: string,
    input: CompareAndSetInput,
    done: (isOk: boolean) => void,
  ): void {
    const client: Client = { number: ++this.#lastNumber, call: null };
    this.#askers.add(client);
    const over = (isOk: boolean): void => {
      this.#askers.delete(client);
      done(isOk);
    };
    this.#call(client, { process, begin: this.#onRegister(key, input), done: over });
  }

  get keys(): string[] {
    return Array.from({ length: this.#world.options.keys }, (_, i) => `key-${i}`);
  }

  newValue(): string {
    const { random, options } = this.#world;
    this.#lastValue++;
    // Zeros too: on a disk, a blank sector looks like one that was never written.
    const padding = random.below(options.valueBytesMax);
    return `${this.#lastValue}:${(random.float() < 0.3 ? "\0" : "x").repeat(padding)}`;
  }

  #thinkThenCall(client: Client): void {
    const { time, random, options } = this.#world;
    const thinkMs = -Math.log(1 - random.float()) * options.thinkMs;
    const askMs = time.nowMs + thinkMs;
    time.at(askMs + quietLeftMs(options, askMs), () => this.#callSomething(client));
  }

  #callSomething(client: Client): void {
    if (this.#isOver) return;
    this.called++;
    const { random, processes } = this.#world;
    const process = random.pick(processes);
    const begin = this.#something();
    this.#call(client, { process, begin, done: () => this.#thinkThenCall(client) });
  }

  #something(): Begin {
    const { random } = this.#world;
    const key = random.pick(this.keys);
    const chance = random.float();
    if (chance < 0.3) return this.#onRegister(key, { kind: "put", value: this.newValue() });
    if (chance < 0.6) return this.#onRegister(key, { kind: "get" });
    if (chance < 0.68) return this.#onRegister(key, { kind: "delete" });
    if (chance < 0.8) {
      const revision = random.float() < 0.7 ? this.registers.lastSeen(key) : null;
      return this.#onRegister(key, { kind: "putIf", value: this.newValue(), revision });
    }
    const workload = chance < 0.9 ? this.counters : this.twins;
    const name = chance < 0.9 ? "counter" : "twin";
    const input = random.float() < 0.6 ? ({ kind: "incr", by: 1 } as const) : getInput;
    const isOnce = this.#isOnce(0.5);
    if (name === "counter" && this.#extremesRandom.float() < 0.3) return this.#onExtremes(isOnce);
    return (client, nowMs) => ask(workload, { client, key: name, input, isOnce }, nowMs);
  }

  /** Where a key may be forgotten before its request comes again, it may be done again. */
  #isOnce(share: number): boolean {
    const { random, options } = this.#world;
    return random.float() < share && !options.leaps;
  }

  #onExtremes(isOnce: boolean): Begin {
    const random = this.#extremesRandom;
    const kind = random.pick(["max", "min", "get"] as const);
    const input = kind === "get" ? getInput : { kind, value: 1 + random.below(extremesMax) };
    return (client, nowMs) => ask(this.extremes, { client, key: "extreme", input, isOnce }, nowMs);
  }

  #onRegister(key: string, input: CompareAndSetInput): Begin {
    const isOnce = this.#isOnce(0.2);
    return (client, nowMs) => ask(this.registers, { client, key, input, isOnce }, nowMs);
  }

  #call(
    client: Client,
    { process, begin, done }: { process: SimProcess; begin: Begin; done: (isOk: boolean) => void },
  ): void {
    const { time } = this.#world;
    const { life } = process;
    if (!life) {
      // Nobody listens there: surely nothing happened.
      time.at(time.nowMs + latencyMs(this.#world), () => done(false));
      return;
    }
    const asked = begin(client.number, time.nowMs);
    const { id, isOnce } = asked;
    const tries = { triesLeft: isOnce ? triesMax : 1, isDoubtful: false };
    this.#send(client, { id, asked, process, life, done, ...tries });
  }

  #send(client: Client, first: Call): void {
    const { time, random, processes, trace } = this.#world;
    const { id, asked, process, life } = first;
    const hasTwin = asked.isOnce && random.float() < 0.3;
    // Of a refused one the twin may have been executed.
    const call = hasTwin ? { ...first, isDoubtful: true } : first;
    client.call = call;
    trace.note(time.nowMs, asked.kind, process.id, id);
    const settle = (outcome: Outcome): void => {
      // What the process says now, it says when its disk lets it.
      time.at(process.nowMs + latencyMs(this.#world), () => this.#settled(client, call, outcome));
    };
    time.at(time.nowMs + latencyMs(this.#world), () => {
      if (process.life !== life) return;
      process.enter(life, () => this.#request(call, settle));
    });
    if (hasTwin) this.#sendTwin(asked, random.pick(processes));
  }

  /** The same request at the same time, on a connection of its own; nobody waits for its answer. */
  #sendTwin({ command }: Asked, process: SimProcess): void {
    const { time, coverage } = this.#world;
    const { life } = process;
    if (!life || command === null) return;
    time.at(time.nowMs + latencyMs(this.#world), () => {
      if (process.life !== life) return;
      coverage.add("a request sent twice at once");
      process.enter(life, () => life.node.write(command, () => {}));
    });
  }

  #lost(client: Client, call: Call): void {
    this.#settled(client, call, "unknown");
  }

  #settled(client: Client, call: Call, outcome: Outcome): void {
    if (client.call !== call) return;
    client.call = null;
    const isDoubtful = call.isDoubtful || outcome === "unknown";
    if (outcome !== "answered" && call.triesLeft > 1) {
      this.#tryAgain(client, { ...call, isDoubtful, triesLeft: call.triesLeft - 1 });
      return;
    }
    if (outcome === "answered" && call.isDoubtful) {
      this.#world.coverage.add("a retry of unknown outcome answered");
    }
    this.#note(call, outcome === "failed" && isDoubtful ? "unknown" : outcome);
    call.done(outcome === "answered");
  }

  #tryAgain(client: Client, call: Call): void {
    const { time, random, processes } = this.#world;
    client.call = call;
    const process = random.pick(processes);
    time.at(time.nowMs + 100 * latencyMs(this.#world), () => {
      // Where its last process died meanwhile, it is on its way again already.
      if (client.call !== call) return;
      const { life } = process;
      if (life) this.#send(client, { ...call, process, life });
      else this.#settled(client, call, "failed");
    });
  }

  #note({ id, asked }: Call, outcome: Outcome): void {
    const { time, coverage, trace } = this.#world;
    trace.note(time.nowMs, outcome, 0, id);
    if (outcome === "unknown") {
      coverage.add("a call of unknown outcome");
      asked.unknown();
    } else if (outcome === "failed") {
      coverage.add("a refused call");
      asked.failed();
    } else {
      this.answered++;
      this.#localReads.acknowledged(asked.revision, time.nowMs);
      asked.end(time.nowMs);
    }
  }

  #request({ asked, life, process }: Call, settle: (outcome: Outcome) => void): void {
    const { node } = life;
    if (asked.command === null) {
      this.#localReads.check(process, life, rowIn(node.machine, asked.key));
      node.read((answer) => {
        if (answer.ok) asked.read(node.machine);
        settle(answer.ok ? "answered" : "failed");
      });
      return;
    }
    node.write(asked.command, (answer) => settle(this.#writeOutcome(process, asked, answer)));
  }

  #writeOutcome(process: SimProcess, asked: Asked, answer: WriteAnswer): Outcome {
    const { time, checks } = this.#world;
    if (!answer.ok) return answer.outcome === "unknown" ? "unknown" : "failed";
    const { result } = answer;
    if (!("revision" in result)) throw new Error(`our commands are done, and this is ${result.op}`);
    process.look();
    checks.acknowledged(process.id, result.revision);
    asked.answered(result, time.nowMs);
    return "answered";
  }
}

const getInput = { kind: "get" } as const;
