/**
 * Requests about the cluster itself, from the node that was asked to the one that leads, and their
 * answers back. They are few: each is one message, and what is lost is answered as unknown.
 */

import type { Failure } from "./client-port.ts";
import { decodeClusterAnswer, decodeClusterRequest, encodeJson } from "./cluster-codec.ts";
import type { Limits } from "./limits.ts";
import type { ClusterAnswer, ClusterRequest, Membership, Verdict } from "./membership.ts";
import type { Answer, Ask } from "./peer-message.ts";
import type { Clock, Network } from "./ports.ts";
import { memberOf, type Configuration } from "./raft/configuration.ts";
import type { Index, NodeId, Term } from "./raft/entry.ts";
import type { Raft } from "./raft/raft.ts";

export interface ClusterRequestsOptions {
  readonly self: NodeId;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly network: Network;
  readonly raft: () => Raft;
  readonly membership: Membership;
  /** New in each life of the process. */
  readonly firstRequestId: number;
}

/** `null` for the leader: ask whoever leads next. */
type Reply = (answer: ClusterAnswer | null) => void;

/** This node was asked; it asks the leader, again where that has moved. */
interface Asked {
  readonly request: ClusterRequest;
  readonly startMs: number;
  readonly done: (answer: ClusterAnswer) => void;
  /** Waits for the leader's answer under this id; 0: not asked now. */
  requestId: number;
  /** The leader has agreed to hand over: done once that is seen. */
  isAgreed: boolean;
}

/** This node leads, and has taken it on. */
interface Taken {
  readonly request: ClusterRequest;
  readonly startMs: number;
  readonly reply: Reply;
  place: { readonly index: Index; readonly term: Term } | null;
}

/** Requests under way, here and from others; more are refused. */
const requestsMax = 64;

export class ClusterRequests {
  readonly #options: ClusterRequestsOptions;
  #asked: Asked[] = [];
  #taken: Taken[] = [];
  #lastRequestId: number;

  constructor(options: ClusterRequestsOptions) {
    this.#options = options;
    this.#lastRequestId = options.firstRequestId;
  }

  get isEmpty(): boolean {
    return this.#asked.length === 0 && this.#taken.length === 0;
  }

  /** `done` is called exactly once, and not from within this call. */
  ask(request: ClusterRequest, done: (answer: ClusterAnswer) => void): void {
    if (this.#asked.length >= requestsMax) {
      this.#options.clock.soon(() => done(overloaded));
      return;
    }
    const startMs = this.#nowMs();
    this.#asked.push({ request, startMs, done, requestId: 0, isAgreed: false });
  }

  /** Once a tick: asks, tries again what had to wait, and gives up what is late. */
  tick(): void {
    if (this.isEmpty) return;
    for (const asked of this.#asked) this.#pursue(asked);
    for (const taken of this.#taken) if (taken.place === null) this.#try(taken);
    const lateMs = this.#nowMs() - this.#options.limits.requestDeadlineMs;
    for (const asked of this.#asked.filter(({ startMs }) => startMs <= lateMs)) {
      this.#finish(asked, asked.requestId === 0 ? noLeader : unknown);
    }
    this.#taken = this.#taken.filter(({ startMs }) => startMs > lateMs);
  }

  /** What was proposed may be committed by now, or replaced. */
  settle(): void {
    if (this.#taken.length === 0) return;
    const { log, configurations } = this.#options.raft();
    for (const taken of [...this.#taken]) {
      const { place } = taken;
      if (place === null || log.commitIndex < place.index) continue;
      const found = log.term(place.index);
      // Another leader's entry stands there: ours was replaced and never counted.
      if (found !== null && found !== place.term) this.#settled(taken, null);
      // A snapshot covers the place, and does not say whose entry stood there.
      else if (found === null) this.#settled(taken, unknown);
      else this.#done(taken, configurations.newest.committed);
    }
  }

  receive(from: NodeId, message: Ask | Answer): void {
    if (message.type === "answer") {
      const asked = this.#asked.find(({ requestId }) => requestId === message.requestId);
      const answer = asked && decodeClusterAnswer(message.body);
      if (asked && answer !== undefined) this.#heard(asked, answer);
      return;
    }
    const request = decodeClusterRequest(message.body);
    if (request === null) return;
    const { requestId } = message;
    this.#take(request, (answer) => {
      const body = encodeJson(answer);
      this.#options.network.send(from, { type: "answer", requestId, body });
      this.#options.network.flush();
    });
  }

  close(): void {
    for (const asked of [...this.#asked]) {
      this.#finish(asked, asked.requestId === 0 ? stopping : unknown);
    }
    this.#taken = [];
  }

  // ------------------------------------------------------------------ where it was asked

  #pursue(asked: Asked): void {
    const { self, network, raft } = this.#options;
    const { leaderId, configuration } = raft();
    const { request } = asked;
    if (asked.isAgreed) {
      if (request.kind === "transfer" && leaderId === request.to) {
        this.#finish(asked, { ok: true, configuration });
      }
      return;
    }
    if (asked.requestId !== 0 || leaderId === null) return;
    if (leaderId === self) {
      asked.requestId = ++this.#lastRequestId;
      this.#take(request, (answer) => this.#heard(asked, answer));
    } else if (network.isConnected(leaderId)) {
      const requestId = ++this.#lastRequestId;
      const body = encodeJson(request);
      if (network.send(leaderId, { type: "ask", requestId, body })) asked.requestId = requestId;
      network.flush();
    }
  }

  #heard(asked: Asked, answer: ClusterAnswer | null): void {
    if (answer === null) asked.requestId = 0;
    else if (answer.ok && asked.request.kind === "transfer") asked.isAgreed = true;
    else this.#finish(asked, answer);
  }

  #finish(asked: Asked, answer: ClusterAnswer): void {
    if (!this.#asked.includes(asked)) return;
    this.#asked = this.#asked.filter((other) => other !== asked);
    asked.done(answer);
  }

  // ------------------------------------------------------------------ where it is decided

  #take(request: ClusterRequest, reply: Reply): void {
    if (this.#taken.length >= requestsMax) {
      reply(overloaded);
      return;
    }
    const taken: Taken = { request, startMs: this.#nowMs(), reply, place: null };
    this.#taken.push(taken);
    this.#try(taken);
  }

  #try(taken: Taken): void {
    const verdict: Verdict = this.#options.membership.handle(taken.request);
    switch (verdict.kind) {
      case "answered": {
        // A leader that is new has heard from nobody yet, and a learner catches up.
        const youngMs = this.#nowMs() - this.#options.limits.electionTimeoutMs;
        if (!verdict.mayPass || taken.startMs <= youngMs) this.#settled(taken, verdict.answer);
        break;
      }
      case "moved":
        this.#settled(taken, null);
        break;
      case "proposed":
        taken.place = verdict;
        break;
      case "later":
        break;
    }
  }

  /** A promotion is done with its second half: who is told that it is may lose another voter then. */
  #done(taken: Taken, configuration: Configuration): void {
    const { request } = taken;
    const isHalf =
      request.kind === "change" &&
      request.change.kind === "promote" &&
      memberOf(configuration, request.change.id)?.role === "promoted";
    if (!isHalf) this.#settled(taken, { ok: true, configuration });
  }

  #settled(taken: Taken, answer: ClusterAnswer | null): void {
    this.#taken = this.#taken.filter((other) => other !== taken);
    taken.reply(answer);
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }
}

const overloaded: Failure = {
  ok: false,
  code: "overloaded",
  detail: "too many changes are asked for at once; try again later",
  outcome: "not_applied",
  retryAfterSeconds: 1,
};

const noLeader: Failure = {
  ok: false,
  code: "no_leader",
  detail:
    "there is no leader: most of the nodes have to be up and able to reach each other; try again",
  outcome: "not_applied",
  retryAfterSeconds: 1,
};

const stopping: Failure = {
  ...noLeader,
  detail: "this node is stopping; ask another one",
};

const unknown: Failure = {
  ok: false,
  code: "timeout",
  detail: "the leader has not answered in time; it may still happen: list the members to see",
  outcome: "unknown",
};
