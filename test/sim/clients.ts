/** Clients that put, get and delete a few keys through random nodes, and write down what they were told. */

import type { Node } from "../../server/node.ts";
import type { WriteAnswer } from "../../server/pending-writes.ts";
import { must } from "../../server/raft/assert.ts";
import { encodeCommand } from "../../server/state-machine/codec.ts";
import type { Row } from "../../server/state-machine/command.ts";
import type { Random } from "../raft/random.ts";
import { HistoryRecorder } from "../linearizability/history.ts";
import type { RegisterInput, RegisterOutput } from "../linearizability/models.ts";
import type { Checks } from "./checks.ts";
import { LocalReads } from "./local-reads.ts";
import type { SimOptions } from "./options.ts";
import type { Life, SimProcess } from "./process.ts";
import type { SimTime } from "./time.ts";
import type { Coverage, Trace } from "./trace.ts";

interface Call {
  readonly id: number;
  readonly key: string;
  readonly input: RegisterInput;
  readonly process: SimProcess;
  readonly life: Life;
}

/** One read in so many is a list. */
const listEvery = 4;

interface Client {
  readonly number: number;
  /** Null while it thinks. */
  call: Call | null;
}

export interface Acknowledged {
  readonly key: string;
  readonly revision: number;
}

export interface ClientOptions {
  readonly options: SimOptions;
  readonly time: SimTime;
  readonly random: Random;
  readonly trace: Trace;
  readonly coverage: Coverage;
  readonly checks: Checks;
  readonly processes: readonly SimProcess[];
}

export class Clients {
  readonly #world: ClientOptions;
  readonly history = new HistoryRecorder<RegisterInput, RegisterOutput>();
  readonly #clients: Client[];
  readonly #localReads: LocalReads;
  #lastValue = 0;
  #isOver = false;
  /** Clients ever; one whose call was lost goes on under a new number. */
  #lastNumber = 0;
  called = 0;
  answered = 0;

  constructor(world: ClientOptions) {
    this.#world = world;
    this.#localReads = new LocalReads({
      lastCommitted: () => world.checks.lastCommitted,
      comparesAges: !world.options.faults.has("clockDrift"),
    });
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
    for (const client of this.#clients) {
      const { call } = client;
      if (call?.life !== life) continue;
      time.at(time.nowMs + this.#latencyMs(), () => this.#lost(client, call));
    }
  }

  /** One call of its own, outside the load: for what is asked at the end. */
  ask(process: SimProcess, key: string, input: RegisterInput, done: (isOk: boolean) => void): void {
    const client: Client = { number: ++this.#lastNumber, call: null };
    this.#call(client, { process, key, input, done });
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

  #latencyMs(): number {
    return this.#world.options.latencyMs * (0.5 + this.#world.random.float());
  }

  #thinkThenCall(client: Client): void {
    const { time, random, options } = this.#world;
    const thinkMs = -Math.log(1 - random.float()) * options.thinkMs;
    time.at(time.nowMs + thinkMs, () => this.#callSomething(client));
  }

  #callSomething(client: Client): void {
    if (this.#isOver) return;
    this.called++;
    const { random, processes } = this.#world;
    const process = random.pick(processes);
    const key = random.pick(this.keys);
    const chance = random.float();
    const input: RegisterInput =
      chance < 0.45
        ? { kind: "put", value: this.newValue() }
        : chance < 0.9
          ? { kind: "get" }
          : { kind: "delete" };
    this.#call(client, { process, key, input, done: () => this.#thinkThenCall(client) });
  }

  #call(
    client: Client,
    {
      process,
      key,
      input,
      done,
    }: { process: SimProcess; key: string; input: RegisterInput; done: (isOk: boolean) => void },
  ): void {
    const { time } = this.#world;
    const { life } = process;
    if (!life) {
      // Nobody listens there: surely nothing happened.
      time.at(time.nowMs + this.#latencyMs(), () => done(false));
      return;
    }
    const id = this.history.begin(client.number, key, input, time.nowMs);
    const call: Call = { id, key, input, process, life };
    client.call = call;
    this.#world.trace.note(time.nowMs, input.kind, process.id, id);
    const settle = (output: RegisterOutput | "unknown" | "failed"): void => {
      // What the process says now, it says when its disk lets it.
      time.at(process.nowMs + this.#latencyMs(), () => {
        if (client.call !== call) return;
        client.call = null;
        this.#note(id, output);
        done(typeof output !== "string");
      });
    };
    time.at(time.nowMs + this.#latencyMs(), () => {
      if (process.life !== life) return;
      process.enter(life, () => this.#request(call, settle));
    });
    this.#doneWhenLost.set(call, done);
  }

  readonly #doneWhenLost = new WeakMap<Call, (isOk: boolean) => void>();

  #lost(client: Client, call: Call): void {
    if (client.call !== call) return;
    client.call = null;
    this.#note(call.id, "unknown");
    this.#doneWhenLost.get(call)?.(false);
  }

  #note(id: number, output: RegisterOutput | "unknown" | "failed"): void {
    const { time, coverage, trace } = this.#world;
    trace.note(time.nowMs, typeof output === "string" ? output : "answered", 0, id);
    if (output === "unknown") {
      coverage.add("a call of unknown outcome");
      this.history.unknown(id);
    } else if (output === "failed") {
      coverage.add("a refused call");
      this.history.failed(id);
    } else {
      this.answered++;
      const revision = output.kind === "get" ? output.row?.revision : output.revision;
      this.#localReads.acknowledged(revision ?? 0, time.nowMs);
      this.history.end(id, output, time.nowMs);
    }
  }

  #request(call: Call, settle: (output: RegisterOutput | "unknown" | "failed") => void): void {
    const { input, key, life, process } = call;
    const { node } = life;
    if (input.kind === "get") {
      this.#localReads.check(process, life, rowOf(node, key, false));
      node.read((answer) => {
        if (!answer.ok) {
          settle("failed");
          return;
        }
        const row = rowOf(node, key, call.id % listEvery === 0);
        settle({
          kind: "get",
          row: row && { value: decoder.decode(row.value), revision: row.revision },
        });
      });
      return;
    }
    const command = encodeCommand(
      input.kind === "put"
        ? { op: "put", key, value: encoder.encode(input.value), contentType: null }
        : { op: "delete", key },
    );
    node.write(command, (answer) => settle(this.#writeOutput(process, answer)));
  }

  #writeOutput(process: SimProcess, answer: WriteAnswer): RegisterOutput | "unknown" | "failed" {
    if (!answer.ok) return answer.outcome === "unknown" ? "unknown" : "failed";
    const { result } = answer;
    const { checks } = this.#world;
    must(result.op !== "refused" ? result : undefined, "our commands are understood");
    process.look();
    if (result.op === "put") {
      checks.acknowledged(process.id, result.revision);
      return { kind: "put", created: result.created, revision: result.revision };
    }
    if (result.op === "delete") {
      checks.acknowledged(process.id, result.revision);
      return { kind: "delete", deleted: result.deleted, revision: result.revision };
    }
    return "failed";
  }
}

/** A list of one key's rows has to show what a get does. */
function rowOf(node: Node, key: string, asList: boolean): Row | null {
  if (!asList) {
    const found = node.machine.lookup({ type: "get", key });
    return found.type === "get" ? found.row : null;
  }
  const range = { prefix: key, after: null, limit: 10, keysOnly: false, bytesMax: Infinity };
  const found = node.machine.lookup({ type: "list", ...range });
  return found.type === "list" ? (found.rows.find((row) => row.key === key) ?? null) : null;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
