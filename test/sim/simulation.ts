/**
 * A cluster of real nodes in a world that a seed decides: load and faults for a while, everything
 * checked after every event; then the world is mended, and a majority has to converge and serve.
 */

import { must } from "../../server/raft/assert.ts";
import { clusterIdOf } from "../../server/formation.ts";
import type { Member } from "../../server/raft/configuration.ts";
import { index, nodeId, type NodeId } from "../../server/raft/entry.ts";
import type { Append } from "../../server/raft/message.ts";
import { majority } from "../../server/raft/quorum.ts";
import { checkHistory } from "../linearizability/checker.ts";
import type { HistoryRecorder } from "../linearizability/history.ts";
import type { Model } from "../linearizability/model.ts";
import { compareAndSet, counter } from "../linearizability/models.ts";
import { Random } from "../raft/random.ts";
import { Checks, type Shadow } from "./checks.ts";
import { Clients } from "./clients.ts";
import { Faults } from "./faults.ts";
import { SimNetwork } from "./network.ts";
import { type FaultKind, type SimOptions } from "./options.ts";
import { SimProcess, type Life } from "./process.ts";
import { SimTime } from "./time.ts";
import { claim, Coverage, Trace } from "./trace.ts";

export interface SimResult {
  readonly options: SimOptions;
  readonly events: number;
  readonly simulatedMs: number;
  readonly hash: string;
  readonly calls: number;
  readonly coverage: Coverage;
  readonly faults: ReadonlyMap<FaultKind, number>;
  /** Null where everything held. */
  readonly failure: { readonly error: Error; readonly lastEvents: string[] } | null;
}

/**
 * How long a mended majority may take before it counts as stuck: so many election timeouts, and for
 * every call so many round trips, in which it may have to catch up entry by entry.
 */
const healingTimeouts = 60;
const healingRoundTrips = 4;

/** Steps of the checker for one key before its history counts as undecided. */
const checkerStepsMax = 3_000_000;

export function simulate(options: SimOptions): SimResult {
  return new Simulation(options).run();
}

class Simulation {
  readonly #options: SimOptions;
  readonly #random: Random;
  readonly #time = new SimTime();
  readonly #trace = new Trace();
  readonly #coverage = new Coverage();
  readonly #members: readonly Member[];
  readonly #processes: readonly SimProcess[];
  readonly #network: SimNetwork;
  readonly #checks: Checks;
  readonly #clients: Clients;
  readonly #faults: Faults;
  #events = 0;
  /** After the healing: those that stay down, though they could start. */
  readonly #leftOut = new Set<NodeId>();
  #lostCount = 0;

  constructor(options: SimOptions) {
    this.#options = options;
    this.#random = new Random(options.seed ^ 0x5eed);
    const ids = Array.from({ length: options.nodeCount }, (_, i) => nodeId(i + 1));
    this.#members = ids.map((id) => ({
      id,
      role: "voter" as const,
      raft: `raft-${id}:1`,
      http: `http-${id}:1`,
      incarnation: String(id).padStart(32, "0"),
    }));
    const shadows = new Map<NodeId, Shadow>();
    this.#checks = new Checks(shadows);
    this.#network = new SimNetwork({
      time: this.#time,
      random: this.#random,
      nodeCount: options.nodeCount,
      latencyMs: options.latencyMs,
      deliver: (from, to, message) => {
        const process = this.#process(to);
        const { life } = process;
        if (!life) return;
        this.#trace.note(this.#time.nowMs, message.type, to, from);
        this.#coverage.add(`${message.type} to a ${life.node.leadership.role}`);
        const { incarnation } = must(this.#members[from - 1], "ids count from 1");
        process.enter(life, () => {
          life.contact.heard(from);
          life.node.receive(from, message, incarnation);
        });
      },
    });
    this.#processes = ids.map(
      (id) => new SimProcess(id, this.#surroundings(), this.#random.below(2 ** 32)),
    );
    for (const process of this.#processes) shadows.set(process.id, process.shadow);
    const world = {
      options,
      time: this.#time,
      random: this.#random,
      trace: this.#trace,
      coverage: this.#coverage,
      processes: this.#processes,
    };
    this.#clients = new Clients({ ...world, checks: this.#checks });
    this.#faults = new Faults({
      ...world,
      network: this.#network,
      mayStart: (process) => this.#isChosen(process),
      disconnected: (a, b) => this.#disconnected(a, b),
    });
  }

  run(): SimResult {
    let failure: SimResult["failure"] = null;
    try {
      this.#start();
      this.#runFor(this.#options.durationMs);
      this.#heal();
      this.#checkHistory();
    } catch (error) {
      const cause = error instanceof Error ? error : new Error(String(error));
      failure = { error: cause, lastEvents: this.#trace.lastEvents };
    }
    return {
      options: this.#options,
      events: this.#events,
      simulatedMs: this.#time.nowMs,
      hash: this.#trace.hash,
      calls: this.#clients.answered,
      coverage: this.#coverage,
      faults: this.#faults.counts,
      failure,
    };
  }

  #start(): void {
    for (const process of this.#processes) {
      process.format();
      process.start();
    }
    this.#clients.start();
    this.#faults.start();
  }

  #runFor(ms: number): void {
    const endMs = this.#time.nowMs + ms;
    while (this.#clients.called < this.#options.callsMax && this.#time.step(endMs)) this.#events++;
  }

  #runUntil(isDone: () => boolean, what: () => string): void {
    const { limits, latencyMs, callsMax } = this.#options;
    const catchingUpMs = healingRoundTrips * 2 * latencyMs * callsMax;
    const endMs = this.#time.nowMs + healingTimeouts * limits.electionTimeoutMs + catchingUpMs;
    while (!isDone()) {
      claim(this.#time.step(endMs), () => `a mended majority is stuck: ${what()}`);
      this.#events++;
      if (this.#lostCount !== this.#refusedCount) {
        this.#lostCount = this.#refusedCount;
        this.#replaceLost();
      }
    }
  }

  get #refusedCount(): number {
    let count = 0;
    for (const { refusal } of this.#processes) if (refusal !== null) count++;
    return count;
  }

  // ------------------------------------------------------------------ the end

  /** Any majority of those that can start is enough to go on; they agree in the end, and serve. */
  #heal(): void {
    this.#trace.note(this.#time.nowMs, "the world is mended", 0);
    this.#faults.heal();
    this.#chooseMajority();
    this.#clients.stop();
    this.#runUntil(
      () => this.#clients.underWay === 0,
      () => "clients wait for answers",
    );
    for (const process of this.#processes) {
      if (this.#isChosen(process)) this.#askUntilAnswered(process);
    }
    this.#runUntil(
      () => this.#haveConverged(),
      () => this.#chosen.map((process) => describeNode(process)).join("; "),
    );
  }

  #isChosen({ id, refusal }: SimProcess): boolean {
    return refusal === null && !this.#leftOut.has(id);
  }

  get #chosen(): SimProcess[] {
    return this.#processes.filter((process) => this.#isChosen(process));
  }

  /**
   * Whose files were damaged may have no vote for now, so a majority without them stays. (Some cluster
   * may be left with one healthy node and one that recovers; it can only wait, and that is right.)
   */
  #chooseMajority(): void {
    const needed = majority(this.#processes.length);
    const able = this.#processes.filter(({ refusal }) => refusal === null);
    const leavable = able.filter(({ isDamaged }) => isDamaged);
    const healthy = able.filter(({ isDamaged }) => !isDamaged);
    while (healthy.length > needed) leavable.push(must(healthy.pop(), "there are some"));
    for (const { id, life } of leavable) {
      if (this.#random.float() < 0.5) continue;
      this.#leftOut.add(id);
      if (life) this.#process(id).kill(false);
    }
    for (const process of this.#chosen) if (!process.life) process.start();
  }

  /** One that finds its files damaged only now does not count; somebody else has to help out. */
  #replaceLost(): void {
    if (this.#chosen.length >= majority(this.#processes.length)) return;
    const [substitute] = this.#leftOut;
    claim(substitute !== undefined, () => "more than a minority cannot start");
    this.#leftOut.delete(substitute);
    this.#process(substitute).start();
  }

  /** A write through this node and a read of every key, however often they have to be asked. */
  #askUntilAnswered(process: SimProcess): void {
    let waiting = 0;
    const ask = (key: string, kind: "put" | "get"): void => {
      waiting++;
      const input = kind === "put" ? { kind, value: this.#clients.newValue() } : { kind };
      this.#clients.ask(process, key, input, (isOk) => {
        waiting--;
        if (!isOk && this.#isChosen(process)) ask(key, kind);
      });
    };
    ask(must(this.#clients.keys[0], "there is a key"), "put");
    for (const key of this.#clients.keys) ask(key, "get");
    this.#runUntil(
      () => waiting === 0 || !this.#isChosen(process),
      () =>
        `node ${process.id} does not answer: ${this.#processes.map((each) => describeNode(each)).join("; ")}`,
    );
  }

  #haveConverged(): boolean {
    const digests = this.#chosen.map(({ life }) => life?.node.machine.digest());
    const [first] = digests;
    if (!first || first.appliedIndex < this.#checks.lastCommitted) return false;
    return digests.every((digest) => {
      if (digest?.appliedIndex !== first.appliedIndex) return false;
      claim(digest.stateHash === first.stateHash, () => "equal indexes have unequal states");
      return digest.historyHash === first.historyHash;
    });
  }

  #checkHistory(): void {
    const { registers, counters, twins } = this.#clients;
    this.#checkOne(compareAndSet, registers.history);
    this.#checkOne(counter, counters.history);
    this.#checkOne(counter, twins.history);
  }

  #checkOne<State, Input, Output>(
    model: Model<State, Input, Output>,
    history: HistoryRecorder<Input, Output>,
  ): void {
    const verdict = checkHistory(model, history.operations(), { stepsMax: checkerStepsMax });
    if (verdict.kind === "undecided") this.#coverage.add("an undecided history");
    claim(verdict.kind !== "violation", () =>
      verdict.kind === "violation" ? `key ${verdict.key}: ${verdict.explanation}` : "",
    );
  }

  // ------------------------------------------------------------------ the world around a process

  #process(id: NodeId): SimProcess {
    return must(this.#processes[id - 1], "ids count from 1");
  }

  #surroundings() {
    return {
      options: this.#options,
      time: this.#time,
      trace: this.#trace,
      coverage: this.#coverage,
      checks: this.#checks,
      members: this.#members,
      clusterId: clusterIdOf(this.#members),
      isConnected: (from: NodeId, to: NodeId) => this.#isConnected(from, to),
      send: (from: SimProcess, to: NodeId, message: Parameters<Checks["sent"]>[2]) => {
        this.#checks.sent(from.id, to, message);
        if (!this.#isConnected(from.id, to)) return false;
        if (message.type === "append") this.#sendOther(from, to, message);
        this.#network.send(from.id, to, { message, sentAtMs: from.nowMs });
        return true;
      },
      runningIdentities: () =>
        this.#processes.filter(({ life }) => life !== null).map(({ id }) => this.#identity(id)),
      isAnythingDamaged: () => this.#processes.some(({ isDamaged }) => isDamaged),
      interfere: (...operation: Parameters<Faults["interfere"]>) =>
        this.#faults.interfere(...operation),
      started: (process: SimProcess) => this.#faults.started(process),
      died: (process: SimProcess, life: Life | null) => this.#died(process, life),
    };
  }

  /**
   * A leader that knows less of what the follower has begins its append earlier, and a smaller batch
   * ends it earlier: a follower has to cope with whatever a leader of this term may say.
   */
  #sendOther({ id, life, nowMs }: SimProcess, to: NodeId, message: Append): void {
    if (this.#network.otherAppendRate === 0) return;
    if (this.#random.float() >= this.#network.otherAppendRate || !life) return;
    const { previousIndex, previousTerm, entries } = message;
    const { log } = life;
    const earlier = Math.max(log.firstIndex - 1, previousIndex - this.#random.below(6));
    const isWritten = log.term(previousIndex) === previousTerm;
    const first = index(isWritten ? Math.min(earlier, previousIndex) : previousIndex);
    const before =
      first < previousIndex ? log.entries(index(first + 1), previousIndex, Infinity) : [];
    const all = [...before, ...entries];
    const other = {
      ...message,
      previousIndex: first,
      previousTerm: first === previousIndex ? previousTerm : must(log.term(first), "it is there"),
      entries: all.slice(0, this.#random.below(all.length + 1)),
    };
    this.#coverage.add("another append");
    this.#network.send(id, to, { message: other, sentAtMs: nowMs });
  }

  #identity(id: NodeId) {
    const { incarnation } = must(this.#members[id - 1], "ids count from 1");
    return {
      nodeId: id,
      incarnation,
      clusterId: clusterIdOf(this.#members),
      members: this.#members,
      revision: 0,
    };
  }

  #isConnected(from: NodeId, to: NodeId): boolean {
    return this.#process(to).life !== null && this.#network.isUp(from, to);
  }

  #died(process: SimProcess, life: Life | null): void {
    this.#faults.died(process);
    if (!life) return;
    this.#clients.died(life);
    for (const other of this.#processes) {
      if (other !== process) this.#disconnected(process, other);
    }
  }

  /** Each end hears of it, unless it ended itself or is cut off. */
  #disconnected(a: SimProcess, b: SimProcess): void {
    for (const [process, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      const { life } = process;
      if (!life || this.#network.link(peer.id, process.id).isCut) continue;
      this.#time.at(this.#time.nowMs + this.#options.latencyMs, () => {
        if (process.life === life) process.enter(life, () => life.node.unreachable(peer.id));
      });
    }
  }
}

function describeNode({ id, life, refusal }: SimProcess): string {
  if (!life) return `node ${id} is down (${refusal ?? "not started"})`;
  const { role, term, leaderId } = life.node.leadership;
  const { appliedIndex } = life.node.machine.applied;
  const { commitIndex, lastLogIndex } = life.node;
  return (
    `node ${id}: ${role}, term ${term}, leader ${leaderId}, log to ${lastLogIndex}, ` +
    `committed ${commitIndex}, applied ${appliedIndex}`
  );
}
