/**
 * A cluster of real nodes in a world that a seed decides: load and faults for a while, everything
 * checked after every event; then the world is mended, and a majority has to converge and serve.
 */

import { must } from "../../server/raft/assert.ts";
import { clusterIdOf } from "../../server/formation.ts";
import { configuration, memberOf, type Configuration } from "../../server/raft/configuration.ts";
import { nodeId, type NodeId } from "../../server/raft/entry.ts";
import { checkHistory } from "../linearizability/checker.ts";
import type { HistoryRecorder } from "../linearizability/history.ts";
import type { Model } from "../linearizability/model.ts";
import { compareAndSet, counter, extremes } from "../linearizability/models.ts";
import { Random } from "../raft/random.ts";
import { callers } from "./callers.ts";
import { CommittedChanges } from "./changes.ts";
import { Checks } from "./checks.ts";
import { Clients } from "./clients.ts";
import { afterPromotion, isMajority } from "./electorates.ts";
import { Faults } from "./faults.ts";
import { LocalReads } from "./local-reads.ts";
import { Meetings } from "./meetings.ts";
import { SimNetwork } from "./network.ts";
import { Operator } from "./operator.ts";
import { type FaultKind, type SimOptions } from "./options.ts";
import { incarnationOf, memberNamed } from "./directories.ts";
import { OtherAppends } from "./other-appends.ts";
import { SimProcess, type Life } from "./process.ts";
import { PromisedClients } from "./promised-clients.ts";
import { Sessions } from "./sessions.ts";
import { SimTime } from "./time.ts";
import { claim, Coverage, Trace } from "./trace.ts";
import { waitingReaders } from "./waiting-readers.ts";
import { Watchers } from "./watchers.ts";

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
/** The largest state that may have to be sent, in pieces as small as they are drawn. */
const healingSnapshotBytes = 64 << 10;

/** In the end: until nothing of what was before depose a leader, and how long it is watched then. */
const settlingTimeouts = 4;
const restTimeouts = 12;

/** Steps of the checker for one key before its history counts as undecided. */
const checkerStepsMax = 3_000_000;

export function simulate(options: SimOptions): Promise<SimResult> {
  return new Simulation(options).run();
}

class Simulation {
  readonly #options: SimOptions;
  readonly #random: Random;
  readonly #time = new SimTime();
  readonly #trace = new Trace();
  readonly #coverage = new Coverage();
  /** The members at first. */
  readonly #formed: Configuration;
  readonly #processes: readonly SimProcess[];
  readonly #network: SimNetwork;
  readonly #otherAppends: OtherAppends;
  readonly #checks: Checks;
  readonly #clients: Clients;
  readonly #sessions: Sessions;
  readonly #watchers: Watchers;
  readonly #promised = new PromisedClients();
  readonly #changes: CommittedChanges | null;
  readonly #faults: Faults;
  readonly #meetings: Meetings;
  readonly #operator: Operator;
  #events = 0;
  /** After the healing: those that stay down, though they could start. */
  readonly #leftOut = new Set<NodeId>();
  #lostCount = 0;
  /** Lives that are over. */
  #endedCount = 0;

  constructor(options: SimOptions) {
    this.#options = options;
    this.#random = new Random(options.seed ^ 0x5eed);
    const machineCount = options.nodeCount + options.spareCount;
    const ids = Array.from({ length: machineCount }, (_, i) => nodeId(i + 1));
    const first = ids.slice(0, options.nodeCount);
    this.#formed = configuration(first.map((id) => memberNamed(id, incarnationOf(id, 1))));
    this.#changes = options.watchers > 0 ? new CommittedChanges() : null;
    this.#checks = new Checks(() => this.#processes, this.#formed);
    this.#network = new SimNetwork({
      time: this.#time,
      random: this.#random,
      nodeCount: machineCount,
      latencyMs: options.latencyMs,
      incarnationOf: (id) => this.#process(id).shadow.incarnation,
      deliver: ({ from, to, message, incarnation }) => {
        const process = this.#process(to);
        const { life } = process;
        if (!life) return;
        this.#trace.note(this.#time.nowMs, message.type, to, from);
        this.#coverage.add(`${message.type} to a ${life.node.leadership.role}`);
        process.enter(life, () => {
          life.contact.heard(from);
          life.node.receive(from, message, incarnation);
        });
      },
    });
    this.#otherAppends = new OtherAppends({
      network: this.#network,
      random: this.#random,
      coverage: this.#coverage,
    });
    this.#processes = ids.map(
      (id) => new SimProcess(id, this.#surroundings(), this.#random.below(2 ** 32)),
    );
    for (const { shadow } of this.#processes) this.#checks.opened(shadow);
    const world = {
      options,
      time: this.#time,
      random: this.#random,
      trace: this.#trace,
      coverage: this.#coverage,
      processes: this.#processes,
      checks: this.#checks,
      changes: this.#changes,
    };
    const localReads = new LocalReads({
      lastCommitted: () => this.#checks.lastCommitted,
      comparesAges: !options.faults.has("clockDrift"),
    });
    this.#clients = new Clients(world, localReads);
    this.#sessions = new Sessions({
      ...world,
      random: new Random(options.seed ^ 0x2545f491),
    });
    this.#watchers = new Watchers({ ...world, random: new Random(options.seed ^ 0x0e6546b6) });
    const { registers } = this.#clients;
    const waiting = { ...world, random: new Random(options.seed ^ 0x38b34ae5) };
    const { failed } = this.#promised;
    this.#promised.add(waitingReaders({ world: waiting, registers, localReads, failed }));
    const calling = { ...world, random: new Random(options.seed ^ 0x27d4eb2f) };
    this.#promised.add(callers(calling, failed));
    this.#meetings = new Meetings({
      ...world,
      network: this.#network,
      everyMs: options.limits.electionTimeoutMs / 4,
    });
    const mayLose = (process: SimProcess): boolean => this.#mayLose(process);
    this.#operator = new Operator({
      ...world,
      random: new Random(options.seed ^ 0x517cc1b7),
      mayLose,
      couldLive: (members) => this.#couldLive(members, []),
    });
    this.#faults = new Faults({
      ...world,
      network: this.#network,
      mayLose,
      mayDamage: (process) => this.#isVoter(process) && mayLose(process),
      mayStart: (process) => this.#isChosen(process),
      disconnected: (a, b) => this.#disconnected(a, b),
    });
  }

  async run(): Promise<SimResult> {
    let failure: SimResult["failure"] = null;
    try {
      this.#start();
      await this.#runFor(this.#options.durationMs);
      await this.#heal();
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
      if (process.id <= this.#options.nodeCount) process.format();
      process.start();
    }
    this.#meetings.start();
    this.#clients.start();
    this.#sessions.start();
    this.#watchers.start();
    this.#promised.start();
    this.#faults.start();
    this.#operator.start();
  }

  async #runFor(ms: number): Promise<void> {
    const endMs = this.#time.nowMs + ms;
    while (this.#clients.called < this.#options.callsMax && this.#step(endMs)) {
      if (this.#promised.areUnderWay) await this.#promised.settled();
    }
  }

  /** One event; false where there is none before `endMs`. */
  #step(endMs: number): boolean {
    const isOne = this.#time.step(endMs);
    if (isOne) this.#events++;
    return isOne;
  }

  async #runUntil(isDone: () => boolean, what: () => string): Promise<void> {
    const { limits, latencyMs, callsMax } = this.#options;
    const catchingUpMs = healingRoundTrips * 2 * latencyMs * callsMax;
    const bytesPerTick = Math.min(limits.snapshotChunkBytes, limits.snapshotTickBytes);
    const sendingMs = (healingSnapshotBytes / bytesPerTick) * limits.tickMs;
    const waitMs = healingTimeouts * limits.electionTimeoutMs + catchingUpMs + sendingMs;
    const endMs = this.#time.nowMs + waitMs;
    while (!isDone()) {
      claim(
        this.#step(endMs),
        () => `a mended majority is stuck: ${what()}; ${this.#describeVoters()}`,
      );
      if (this.#promised.areUnderWay) await this.#promised.settled();
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
  async #heal(): Promise<void> {
    this.#trace.note(this.#time.nowMs, "the world is mended", 0);
    this.#faults.heal();
    this.#operator.stop();
    const { requestDeadlineMs } = this.#options.limits;
    await this.#runFor(this.#operator.isBusy ? 4 * requestDeadlineMs : 0);
    this.#chooseMajority();
    this.#clients.stop();
    this.#sessions.stop();
    this.#watchers.stop();
    this.#promised.stop();
    await this.#runUntil(
      () => this.#clients.underWay === 0,
      () => "clients wait for answers",
    );
    await this.#runUntil(
      () => this.#promised.areDone,
      () => this.#promised.description,
    );
    await this.#runUntil(
      () => this.#chosen.every((process) => !this.#isAwaited(process)),
      () => `directories wait: ${this.#chosen.map((process) => describeNode(process)).join("; ")}`,
    );
    for (const process of this.#processes) {
      if (this.#isChosen(process) && this.#isMember(process)) await this.#askUntilAnswered(process);
    }
    await this.#runUntil(
      () => this.#mortals === "",
      () => `what lasts for a time stays: ${this.#mortals}`,
    );
    await this.#runUntil(
      () => this.#haveConverged(),
      () => this.#chosen.map((process) => describeNode(process)).join("; "),
    );
    const members = this.#chosen.filter((process) => this.#isMember(process));
    this.#watchers.finish(this.#checks.lastCommitted, members);
    await this.#runUntil(
      () => this.#watchers.areDone,
      () => this.#watchers.description,
    );
    await this.#rest();
    this.#watchers.checkNobodyIsLeft();
  }

  /** Nothing more is asked for and nothing fails: nodes rest, and whoever leads goes on leading. */
  async #rest(): Promise<void> {
    const { electionTimeoutMs } = this.#options.limits;
    // Who is to be removed may hand over first: as long as somebody asks for that, leaders may change.
    await this.#runUntil(
      () => this.#leader !== undefined && !this.#operator.isBusy,
      () => "nobody leads, or changes of members go on",
    );
    this.#stepFor(settlingTimeouts * electionTimeoutMs);
    const before = this.#leader?.life?.node.leadership;
    if (before === undefined) return;
    const endedCount = this.#endedCount;
    this.#stepFor(restTimeouts * electionTimeoutMs);
    // What had rotted before may be found only now, and whoever finds it ends.
    if (this.#endedCount > endedCount) return this.#rest();
    this.#coverage.add("a leader was left to itself");
    const after = this.#leader?.life?.node.leadership;
    claim(
      after?.term === before.term,
      () =>
        `nothing fails, and who leads term ${before.term} is deposed: ` +
        this.#chosen.map((process) => describeNode(process)).join("; "),
    );
  }

  #stepFor(ms: number): void {
    const endMs = this.#time.nowMs + ms;
    while (this.#step(endMs));
  }

  /** Whoever leads the newest term that anybody is in. */
  get #leader(): SimProcess | undefined {
    const terms = this.#processes.map(({ life }) => life?.node.leadership.term ?? 0);
    const newest = Math.max(...terms);
    return this.#processes.find(({ life }) => {
      const leadership = life?.node.leadership;
      return leadership?.role === "leader" && leadership.term === newest;
    });
  }

  #isChosen({ id, refusal }: SimProcess): boolean {
    return refusal === null && !this.#leftOut.has(id);
  }

  get #chosen(): SimProcess[] {
    return this.#processes.filter((process) => this.#isChosen(process));
  }

  /** Whether the directory that the process has now is a member's. */
  #isMember({ id, shadow }: SimProcess): boolean {
    return memberOf(this.#newest, id)?.incarnation === shadow.incarnation;
  }

  #isVoter(process: SimProcess): boolean {
    return this.#isMember(process) && memberOf(this.#newest, process.id)?.role === "voter";
  }

  /** It has the id of a member and is not, or not yet in the role that it is to have. */
  #isAwaited(process: SimProcess): boolean {
    const { members, successors } = this.#newest;
    if (successors.some(({ id }) => id === process.id)) return true;
    return members.some(({ id }) => id === process.id) && !this.#isMember(process);
  }

  get #newest(): Configuration {
    const { configurations } = this.#checks;
    return must(configurations[configurations.length - 1], "there is one").configuration;
  }

  /** Whether most of the voters have what they promised, those in `without` not counted. */
  #couldLive(members: Configuration, without: readonly SimProcess[]): boolean {
    return isMajority(members, ({ id, incarnation }) => {
      const process = this.#process(id);
      const isThere = process.refusal === null && !without.includes(process);
      return isThere && !process.isDamaged && process.shadow.incarnation === incarnation;
    });
  }

  /**
   * Whichever configuration is in force for anybody, or comes in force, most of its voters are left
   * without these. A leader that was lost may have been the only one to know that a change is committed.
   */
  #mayLose(...processes: SimProcess[]): boolean {
    const all = this.#configurationsInForce(true);
    return all.every((members) => this.#couldLive(members, processes));
  }

  #describeVoters(): string {
    const members = this.#configurationsInForce(true).map((each) =>
      each.members.map(
        ({ id, role, incarnation }) => `${id} ${role} ${incarnation.replaceAll("0", "")}`,
      ),
    );
    const processes = this.#processes.map((process) => {
      const { id, refusal, shadow, isDamaged } = process;
      return `${id} ${shadow.incarnation.replaceAll("0", "")} ${refusal} ${isDamaged ? "damaged" : ""}`;
    });
    return `${members.join(" | ")}; there are ${processes.join(", ")}`;
  }

  #configurationsInForce(all: boolean): Configuration[] {
    const found = [...this.#checks.configurationsInForce(all), ...this.#operator.pending];
    // What is not written yet may already have been sent.
    for (const { life } of this.#processes) {
      if (life && life.node.configurations.current.revision > this.#newest.revision) {
        found.push(life.node.configurations.current);
      }
    }
    return found.flatMap((members) => [members, ...afterPromotion(members)]);
  }

  /**
   * Whose files were damaged may have no vote for now, and whose directory is new has none yet, so a
   * majority without them stays. (Some cluster may be left with one healthy node and one that recovers;
   * it can only wait, and that is right.)
   */
  #chooseMajority(): void {
    const leftOut: SimProcess[] = [];
    for (const process of this.#processes) {
      if (process.refusal !== null || this.#random.float() < 0.5) continue;
      if (!this.#mayLose(process, ...leftOut)) continue;
      leftOut.push(process);
      this.#leftOut.add(process.id);
      if (process.life || process.newcomer) process.kill(false);
    }
    for (const process of this.#chosen) if (!process.life) process.start();
  }

  /** One that finds its files damaged only now does not count; somebody else has to help out. */
  #replaceLost(): void {
    const leftOut = this.#processes.filter(({ id }) => this.#leftOut.has(id));
    if (this.#mayLose(...leftOut)) return;
    const [substitute] = leftOut;
    const isAlive = this.#configurationsInForce(false).every((each) => this.#couldLive(each, []));
    if (!substitute && isAlive) return;
    claim(
      substitute !== undefined,
      () => `more than a minority cannot start: ${this.#describeVoters()}`,
    );
    this.#leftOut.delete(substitute.id);
    substitute.start();
  }

  /**
   * A write through this node and a read of every key, however often they have to be asked: ever more
   * seldom, since a node that is sent a state needs a log that goes no further than this can follow.
   */
  async #askUntilAnswered(process: SimProcess): Promise<void> {
    let waiting = 0;
    const ask = (key: string, kind: "put" | "get", pauseMs = 0): void => {
      waiting++;
      const input = kind === "put" ? { kind, value: this.#clients.newValue() } : { kind };
      this.#clients.ask(process, key, input, (isOk) => {
        if (isOk || !this.#isChosen(process)) waiting--;
        else
          this.#time.at(this.#time.nowMs + pauseMs, () => {
            waiting--;
            ask(key, kind, 2 * pauseMs + this.#options.limits.heartbeatMs);
          });
      });
    };
    ask(must(this.#clients.keys[0], "there is a key"), "put");
    for (const key of this.#clients.keys) ask(key, "get");
    await this.#runUntil(
      () => waiting === 0 || !this.#isChosen(process),
      () =>
        `node ${process.id} does not answer: ${this.#processes.map((each) => describeNode(each)).join("; ")}`,
    );
  }

  /** Members that have something still whose time is to come. */
  get #mortals(): string {
    return this.#chosen
      .filter((process) => this.#isMember(process))
      .filter(({ life }) => life?.node.machine.nextDeadlineMs !== null)
      .map((process) => describeNode(process))
      .join("; ");
  }

  #haveConverged(): boolean {
    const members = this.#chosen.filter((process) => this.#isMember(process));
    const digests = members.map(({ life }) => life?.node.machine.digest());
    const [first] = digests;
    if (!first || first.appliedIndex < this.#checks.lastCommitted) return false;
    return digests.every((digest) => {
      if (digest?.appliedIndex !== first.appliedIndex) return false;
      claim(digest.stateHash === first.stateHash, () => "equal indexes have unequal states");
      return digest.historyHash === first.historyHash;
    });
  }

  #checkHistory(): void {
    const { registers, counters, extremes: bounds, twins } = this.#clients;
    this.#checkOne(compareAndSet, registers.history);
    this.#checkOne(counter, counters.history);
    this.#checkOne(extremes, bounds.history);
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
      changes: this.#changes,
      formed: this.#formed,
      clusterId: clusterIdOf(this.#formed.members),
      metOthers: () => this.#meetings.changed(),
      isConnected: (from: NodeId, to: NodeId) => this.#isConnected(from, to),
      send: (from: SimProcess, to: NodeId, message: Parameters<Checks["sent"]>[2]) => {
        this.#checks.sent(from.id, to, message);
        if (!this.#isConnected(from.id, to)) return false;
        if (message.type === "append") this.#otherAppends.send(from, this.#process(to), message);
        this.#network.send(from.id, to, { message, sentAtMs: from.nowMs });
        return true;
      },
      isAnythingDamaged: () =>
        this.#processes.some(({ isDamaged, hadDamage }) => isDamaged || hadDamage),
      interfere: (...operation: Parameters<Faults["interfere"]>) =>
        this.#faults.interfere(...operation),
      started: (process: SimProcess) => this.#faults.started(process),
      died: (process: SimProcess, life: Life | null) => this.#died(process, life),
    };
  }

  #isConnected(from: NodeId, to: NodeId): boolean {
    const [a, b] = [this.#process(from), this.#process(to)];
    return this.#network.isUp(from, to) && this.#meetings.areConnected(a, b);
  }

  #died(process: SimProcess, life: Life | null): void {
    this.#faults.died(process);
    if (!life) return;
    this.#endedCount++;
    this.#clients.died(life);
    this.#watchers.died(life);
    this.#promised.died(life);
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
