/**
 * The person who runs the simulated cluster: adds, promotes, replaces and removes members and has
 * others lead, at moments and through nodes that the seed draws; and empties machines that were removed.
 */

import type { ClusterAnswer, ClusterRequest } from "../../server/membership.ts";
import { memberOf, type Configuration } from "../../server/raft/configuration.ts";
import type { NodeId } from "../../server/raft/entry.ts";
import { memberNamed } from "./directories.ts";
import type { SimProcess } from "./process.ts";
import { claim } from "./trace.ts";
import type { SimWorld } from "./world.ts";

export interface OperatorOptions extends SimWorld {
  /** Whether the cluster could go on with these members. */
  readonly couldLive: (configuration: Configuration) => boolean;
  /** Whether it could go on without what this process has. */
  readonly mayLose: (process: SimProcess) => boolean;
}

/** A change that somebody may still make, as long as the configuration is the one it is based on. */
interface Pending {
  readonly revision: number;
  readonly configuration: Configuration;
  readonly untilMs: number;
}

type Change = (ClusterRequest & { kind: "change" })["change"];

/** A voter is not sent away before there are more than so many. */
const votersMin = 1;
/** Two people may be at it at once, and know nothing of each other. */
const requestsMax = 2;

export class Operator {
  readonly #world: OperatorOptions;
  #isOver = false;
  #waiting = 0;
  /** What may come of changes whose outcome nobody knows yet. */
  #pending: Pending[] = [];

  constructor(world: OperatorOptions) {
    this.#world = world;
  }

  start(): void {
    if (this.#world.options.operatorEveryMs > 0) this.#next();
  }

  stop(): void {
    this.#isOver = true;
  }

  /** A change may still be made that was asked for. */
  get isBusy(): boolean {
    return this.#waiting > 0 || this.pending.length > 0;
  }

  get pending(): Configuration[] {
    const { time, checks } = this.#world;
    const newest = checks.configurations[checks.configurations.length - 1]?.index ?? 0;
    this.#pending = this.#pending.filter(
      ({ untilMs, revision }) => untilMs > time.nowMs && revision >= newest,
    );
    return this.#pending.map(({ configuration }) => configuration);
  }

  #next(): void {
    const { time, random, options } = this.#world;
    // One thing right after the other, as a script does it, or with thought in between.
    const meanMs = random.float() < 0.3 ? options.latencyMs : options.operatorEveryMs;
    const afterMs = -Math.log(1 - random.float()) * meanMs;
    time.at(time.nowMs + afterMs, () => {
      if (this.#isOver) return;
      this.#act();
      this.#next();
    });
  }

  #act(): void {
    const { random, processes, mayLose } = this.#world;
    const retired = processes.filter((process) => process.refusal === "retired");
    if (retired.length > 0 && random.float() < 0.5) {
      const process = random.pick(retired);
      if (!mayLose(process)) return;
      this.#note("empties a machine", process.id);
      process.wipe();
      process.start();
      return;
    }
    if (this.#waiting >= requestsMax) return;
    const asked = random.pick(processes);
    if (!asked.life) return;
    const { current, committed } = asked.life.node.configurations;
    // One who follows the log of a node knows of a change before it is made for good.
    const base = random.float() < 0.5 ? current : committed;
    if (random.float() < 0.2) {
      const { id } = random.pick(base.members);
      this.#ask(asked, { kind: "transfer", to: id }, base);
      return;
    }
    const change = this.#choose(base);
    if (!change) return;
    this.#ask(asked, { kind: "change", change, revision: base.revision }, base);
  }

  #choose(configuration: Configuration): Change | null {
    const { random, processes } = this.#world;
    const { id } = random.pick(processes);
    const { raft, http } = memberNamed(id, "");
    const member = memberOf(configuration, id);
    if (!member) return { kind: "add", id, raft, http };
    if (member.role === "learner" && random.float() < 0.8) return { kind: "promote", id };
    const isReplaced = random.float() < 0.5;
    if (member.role === "voter" && !this.#isSpared(configuration, id)) return null;
    return isReplaced ? { kind: "replace", id, raft, http } : { kind: "remove", id };
  }

  /** Whether enough would be left without that member. */
  #isSpared(configuration: Configuration, id: NodeId): boolean {
    const left = without(configuration, id);
    const count = left.members.filter(({ role }) => role === "voter").length;
    return count >= votersMin && this.#world.couldLive(left);
  }

  #ask(asked: SimProcess, request: ClusterRequest, base: Configuration): void {
    const { life } = asked;
    if (!life) return;
    const { time, options } = this.#world;
    const what = request.kind === "change" ? request.change.kind : "transfer";
    const whom = request.kind === "change" ? request.change.id : request.to;
    this.#note(what, whom);
    // Whoever takes it on gives it up after the deadline, by his own clock.
    const untilMs = time.nowMs + 4 * options.limits.requestDeadlineMs;
    if (what === "remove" || what === "replace") {
      const { revision } = base;
      this.#pending.push({ revision, configuration: without(base, whom), untilMs });
    }
    this.#waiting++;
    const wait = time.at(time.nowMs + 4 * options.limits.requestDeadlineMs, () => {
      this.#waiting--;
    });
    asked.enter(life, () =>
      life.node.changeCluster(request, (answer) => {
        if (wait.run) this.#waiting--;
        wait.run = null;
        asked.look();
        this.#answered(request, answer);
      }),
    );
  }

  #answered(request: ClusterRequest, answer: ClusterAnswer): void {
    const { coverage, checks } = this.#world;
    const what = request.kind === "change" ? request.change.kind : "transfer";
    coverage.add(`members: ${what}: ${answer.ok ? "done" : `${answer.code}, ${answer.outcome}`}`);
    if (!answer.ok || request.kind === "transfer") return;
    // It was a change of that configuration and of no other: so it is the one that came next.
    const { change, revision } = request;
    const next = checks.configurationAfter(revision);
    claim(
      next !== null && isMade(next, change),
      () =>
        `node ${change.id} is said to be done with (${change.kind}), but another change was made`,
    );
  }

  #note(what: string, id: NodeId): void {
    const { trace, time } = this.#world;
    trace.note(time.nowMs, `operator: ${what}`, id);
  }
}

function isMade(configuration: Configuration, { kind, id }: Change): boolean {
  const member = memberOf(configuration, id);
  switch (kind) {
    case "add":
      return member !== undefined;
    case "promote":
      return member !== undefined && member.role !== "learner";
    case "remove":
    case "replace":
      return member === undefined;
  }
}

const without = (configuration: Configuration, gone: NodeId): Configuration => ({
  ...configuration,
  members: configuration.members.filter(({ id }) => id !== gone),
});
