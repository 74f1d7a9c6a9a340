/**
 * The leader's part in changing the members: it takes the changes that people ask for, one at a time,
 * and makes by itself those that follow from them or from a directory that was lost.
 */

import type { Failure, Result } from "./client-port.ts";
import type { Limits } from "./limits.ts";
import {
  changed,
  nextStep,
  type Knock,
  type MemberChange,
  type Newcomer,
  type Surroundings,
} from "./member-change.ts";
import type { Clock, Network } from "./ports.ts";
import { memberOf, voters, type Configuration } from "./raft/configuration.ts";
import type { Index, NodeId, Term } from "./raft/entry.ts";
import { majority } from "./raft/quorum.ts";
import type { Raft } from "./raft/raft.ts";

/** A change is of the configuration with that revision, and of no other. */
export type ClusterRequest =
  | { readonly kind: "change"; readonly change: MemberChange; readonly revision: number }
  | { readonly kind: "transfer"; readonly to: NodeId };

export type ClusterAnswer = Result<{ readonly configuration: Configuration }>;

/**
 * - `answered`: that is the end of it; where it `mayPass`, it may be another answer a moment later.
 * - `proposed`: it is in the log at that place, and done once that is committed.
 * - `later`: not now, perhaps soon.
 * - `moved`: another node leads, or is about to.
 */
export type Verdict =
  | { readonly kind: "answered"; readonly answer: ClusterAnswer; readonly mayPass?: boolean }
  | { readonly kind: "proposed"; readonly index: Index; readonly term: Term }
  | { readonly kind: "later" }
  | { readonly kind: "moved" };

export interface MembershipOptions {
  readonly self: NodeId;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly network: Network;
  readonly raft: () => Raft;
  /** When that member last acknowledged this node's leadership; null: never. */
  readonly answeredMs: (id: NodeId) => number | null;
  /** Lets another voter lead; null where nobody can. */
  readonly handOver: () => NodeId | null;
  /** A sentence for the log. */
  readonly warn: (text: string) => void;
}

/** As what stands before it in the log, whose time never goes back: no clock is asked. */
const sameTime = 0;

/** Directories that asked to be let in; of more the oldest is forgotten. */
const newcomersMax = 16;

interface Knocked {
  readonly knock: Omit<Knock, "hasWaited">;
  readonly atMs: number;
  /** Since when it has knocked again and again, while the one in its place was away. */
  readonly sinceMs: number;
}

export class Membership implements Surroundings {
  readonly #options: MembershipOptions;
  readonly #knocks = new Map<NodeId, Knocked>();

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  /** A directory that the configuration does not name has asked to be let in. */
  knocked(newcomer: Newcomer): void {
    const { id, incarnation } = newcomer;
    const atMs = this.#nowMs();
    const insteadOf = memberOf(this.#options.raft().configuration, id)?.incarnation ?? null;
    const before = this.#knocks.get(id);
    const isSame =
      before?.knock.incarnation === incarnation && before.knock.insteadOf === insteadOf;
    const isFresh = isSame && atMs - before.atMs <= this.#options.limits.knockKeptMs;
    const hasStayed = isFresh && !this.isConnected(id);
    const sinceMs = hasStayed ? before.sinceMs : atMs;
    this.#knocks.delete(id);
    this.#knocks.set(id, { knock: { ...newcomer, insteadOf }, atMs, sinceMs });
    if (this.#knocks.size <= newcomersMax) return;
    for (const oldest of this.#knocks.keys()) {
      this.#knocks.delete(oldest);
      break;
    }
  }

  /** Makes the next change that nobody has to ask for. */
  tick(): void {
    const raft = this.#options.raft();
    const { current, committed } = raft.configurations.newest;
    if (raft.role.kind !== "leader" || current !== committed) return;
    const next = nextStep(current, this);
    if (next === null || !raft.proposeConfiguration(next, sameTime).ok) return;
    for (const { id, incarnation } of current.members) {
      if (next.retired.includes(incarnation)) {
        this.#options.warn(
          `node ${id} came back without its directory: the old one is retired, the new one taken in`,
        );
      }
    }
  }

  handle(request: ClusterRequest): Verdict {
    const raft = this.#options.raft();
    if (raft.role.kind !== "leader") return { kind: "moved" };
    if (raft.role.transfer !== null && request.kind === "change") return { kind: "later" };
    return request.kind === "change" ? this.#change(raft, request) : this.#transfer(raft, request);
  }

  #change(raft: Raft, { change, revision }: ClusterRequest & { kind: "change" }): Verdict {
    const { current, committed } = raft.configurations.newest;
    if (current.revision !== revision) return answered(stale(current.revision));
    if (current !== committed) return { kind: "later" };
    // A promotion ends by itself, wherever that directory is by then: what comes next is judged by its end.
    if (current.members.some(({ role }) => role === "promoted")) return { kind: "later" };
    const { id, kind } = change;
    const isLeaving = kind === "remove" || kind === "replace";
    const step = changed(current, change, this.newcomers.find((knock) => knock.id === id) ?? null);
    if (!step.ok) return answered(conflict(step.detail));
    const refusal = this.#refusal(current, change, step.next);
    if (refusal) return { ...answered(refusal), mayPass: true };
    if (isLeaving && id === this.#options.self) {
      return this.#options.handOver() === null ? { kind: "later" } : { kind: "moved" };
    }
    return this.#propose(raft, step.next);
  }

  /** Why a change is not made as long as nodes do not answer or lack entries; null where it may be. */
  #refusal(
    before: Configuration,
    { kind, id }: MemberChange,
    after: Configuration,
  ): Failure | null {
    if (kind === "promote" && !this.isCaughtUp(id)) {
      const { role, log } = this.#options.raft();
      const match = role.kind === "leader" ? (role.progress.get(id)?.match ?? 0) : 0;
      return conflict(
        `node ${id} has not caught up: it has entries to ${match} of ${log.commitIndex}; ` +
          `see that it runs, and try again`,
      );
    }
    const left = voters(after);
    if (kind === "add" || kind === "promote" || memberOf(before, id)?.role !== "voter") return null;
    if (this.isMajorityThere(left)) return null;
    return conflict(
      `without node ${id}, most of the voters left (${left.join(", ")}) have to answer, and do not`,
    );
  }

  #propose(raft: Raft, next: Configuration): Verdict {
    const proposed = raft.proposeConfiguration(next, sameTime);
    if (!proposed.ok) return { kind: proposed.error === "notLeader" ? "moved" : "later" };
    return { kind: "proposed", index: proposed.firstIndex, term: proposed.term };
  }

  #transfer(raft: Raft, { to }: ClusterRequest & { kind: "transfer" }): Verdict {
    const done: Verdict = answered({ ok: true, configuration: raft.configuration });
    if (to === this.#options.self) return done;
    const member = memberOf(raft.configuration, to);
    if (!member) return answered(conflict(`node ${to} is not a member`));
    if (member.role !== "voter")
      return answered(conflict(`node ${to} is a learner; promote it first`));
    if (!this.#isAnswering(to)) {
      const refusal = conflict(`node ${to} does not answer; see that it runs`);
      return { kind: "answered", answer: refusal, mayPass: true };
    }
    return raft.transferLeadership(to) ? done : { kind: "later" };
  }

  // ------------------------------------------------------------------ what the leader knows

  get newcomers(): readonly Knock[] {
    if (this.#knocks.size === 0) return [];
    const { knockKeptMs, takeInMs } = this.#options.limits;
    const nowMs = this.#nowMs();
    const fresh = [...this.#knocks.values()].filter(({ atMs }) => nowMs - atMs <= knockKeptMs);
    return fresh.map(({ knock, sinceMs }) => {
      return { ...knock, hasWaited: nowMs - sinceMs >= takeInMs };
    });
  }

  isConnected(id: NodeId): boolean {
    return this.#options.network.isConnected(id);
  }

  isCaughtUp(id: NodeId): boolean {
    const { role, log } = this.#options.raft();
    const progress = role.kind === "leader" ? role.progress.get(id) : undefined;
    if (progress?.flow.kind !== "replicate" || !this.#isAnswering(id)) return false;
    return progress.match + this.#options.limits.caughtUpEntries >= log.commitIndex;
  }

  isMajorityThere(ids: readonly NodeId[]): boolean {
    return ids.filter((id) => this.#isAnswering(id)).length >= majority(ids.length);
  }

  #isAnswering(id: NodeId): boolean {
    if (id === this.#options.self) return true;
    if (!this.isConnected(id)) return false;
    const answeredMs = this.#options.answeredMs(id) ?? -Infinity;
    return answeredMs >= this.#nowMs() - this.#options.limits.electionTimeoutMs;
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }
}

const answered = (answer: ClusterAnswer): Verdict & { kind: "answered" } => ({
  kind: "answered",
  answer,
});

const conflict = (detail: string): Failure => ({
  ok: false,
  code: "conflict",
  detail,
  outcome: "not_applied",
});

const stale = (revision: number): Failure => ({
  ok: false,
  code: "condition_failed",
  detail: "the members have changed meanwhile; list them again, and decide anew",
  outcome: "not_applied",
  revision,
});
