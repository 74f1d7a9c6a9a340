/**
 * Elections and locks as the session port has them: who leads, and with which value, is what was committed
 * at the revision that an answer names.
 */

import type { Failure } from "../../server/client-port.ts";
import type { LeaderEvent, SessionPort } from "../../server/session-port.ts";
import {
  transactionOf,
  type Condition,
  type Operation,
} from "../../server/state-machine/transaction.ts";
import type { WatchOver } from "../../server/watch/watch-port.ts";
import type { Asking } from "./caller.ts";
import type { CaseDraws } from "./case-draws.ts";
import { caseElection as name, caseQueue as queue } from "./case-keys.ts";
import type { CaseJudge, Seen } from "./case-judge.ts";
import { frontOf, placeRow, type Before } from "./case-oracle.ts";
import { shown } from "./case-rows.ts";
import { claim } from "./trace.ts";
import type { SimWorld } from "./world.ts";

type Told = LeaderEvent | WatchOver;

export class CaseElections {
  readonly #world: SimWorld;
  readonly #judge: CaseJudge;
  readonly #draws: CaseDraws;
  /** Those that come with places are added. */
  readonly #leases: number[];
  /** Of whoever was told last that it is his turn. */
  #token = 0;

  constructor(
    world: SimWorld,
    judge: CaseJudge,
    about: { readonly draws: CaseDraws; readonly leases: number[] },
  ) {
    this.#world = world;
    this.#judge = judge;
    this.#draws = about.draws;
    this.#leases = about.leases;
  }

  any(): Asking {
    const chance = this.#world.random.float();
    if (chance < 0.35) return this.#enter();
    if (chance < 0.55) return this.#asHolder("setValue");
    if (chance < 0.65) return this.#asHolder("leave");
    return chance < 0.85 ? this.#leader() : this.#observe();
  }

  // ------------------------------------------------------------------ campaigns

  #enter(): Asking {
    const { random } = this.#world;
    const value = this.#draws.value();
    const ttlMs = this.#draws.ttlMs();
    const waitMs = random.float() < 0.5 ? 0 : ttlMs * random.float();
    const lease = random.float() < 0.3 ? (this.#leases.at(-1) ?? null) : null;
    const join = { op: "join", key: queue, value, lease, ttlMs, waits: waitMs > 0 } as const;
    return {
      name: "enter",
      ask: async ({ sessions }) => {
        const asked = { value, lease, ttlMs, waitMs };
        const answer = await sessions.enter({ kind: "election", name }, asked);
        return (seen) => {
          if (!answer.ok) return this.#notEntered(join, answer, seen);
          this.#world.coverage.add(`an election: ${waitMs > 0 ? "waited for" : "won at once"}`);
          this.#checkTurn(join, answer, seen);
          this.#token = answer.token;
          if (answer.lease === answer.token) this.#leases.push(answer.lease);
        };
      },
    };
  }

  #checkTurn(
    join: Extract<Operation, { readonly op: "join" }>,
    { token, lease }: { readonly token: number; readonly lease: number },
    seen: Seen,
  ): void {
    const place = { queue, token };
    const entered = placeRow(this.#judge.at(token), place);
    if (token <= seen.since || shown(entered?.value) !== shown(join.value)) {
      // Someone came with this lease before, perhaps only a moment: his place is gone on with.
      claim(lease === join.lease, () => `${shown(join)} has the place of another lease, ${lease}`);
      const behind = { ...seen, acknowledged: seen.since + 1 };
      this.#judge.true(`${shown(join)} keeps ${token}`, behind, (rows) => {
        const row = placeRow(rows, place);
        return row?.lease === lease && shown(row.value) === shown(join.value);
      });
    } else {
      const { results } = this.#judge.done(transactionOf([], join), token, seen);
      const [result] = results;
      const isIt = result?.op === "join" && result.token === token && result.lease === lease;
      claim(isIt, () => `${shown(join)} has the token ${token}, and it gives ${shown(results)}`);
    }
    const from = { ...seen, acknowledged: Math.max(token, seen.since) };
    this.#judge.true(`it is the turn of ${token}`, from, (rows) => {
      const isThere = placeRow(rows, place)?.lease === lease;
      return isThere && tokenIn(rows) === token;
    });
  }

  #notEntered(join: Operation, failure: Failure, seen: Seen): void {
    this.#refused("a campaign", failure);
    const { code } = failure;
    if (code === "not_found") {
      const isGone = this.#isFailed(code);
      return this.#judge.undone(transactionOf([], join), seen, isGone);
    }
    if (code !== "conflict" || !failure.detail.startsWith("somebody else")) return;
    const since = { ...seen, acknowledged: seen.since };
    this.#judge.true("somebody else is in front", since, (rows) => tokenIn(rows) !== null);
  }

  readonly #isFailed =
    (code: string) =>
    (found: { readonly isDone: boolean; readonly code?: string }): boolean =>
      !found.isDone && found.code === code;

  /** A new value, or one's place given back: only for whoever is in front. */
  #asHolder(op: "setValue" | "leave"): Asking {
    const { random, checks } = this.#world;
    const front = frontOf(this.#judge.at(checks.lastCommitted), queue);
    const known = front?.createRevision ?? 0;
    // 0 stands for nobody.
    const token = random.pick([known, known, this.#token]) || 1;
    const value = this.#draws.value();
    const operation = { op, key: queue, token, value } as Operation;
    const holds: Condition = { kind: "holder", key: queue, not: false, token };
    const transaction = transactionOf([holds], operation);
    const run = (sessions: SessionPort) =>
      op === "setValue"
        ? sessions.proclaim(name, { token, value })
        : sessions.leave({ kind: "election", name }, token);
    return {
      name: op,
      ask: async ({ sessions }) => {
        const answer = await run(sessions);
        return (seen) => {
          if (answer.ok) {
            const { succeeded } = this.#judge.done(transaction, answer.revision, seen);
            claim(
              succeeded,
              () => `${token} is not in front at ${answer.revision}, and does ${op}`,
            );
            this.#world.coverage.add(`an election: ${op}`);
            return;
          }
          this.#refused(op, answer);
          const { code } = answer;
          if (code !== "conflict") return claim(code !== "not_found", () => `${op}: ${code}`);
          this.#judge.undone(transaction, seen, (found) => found.isDone && !found.succeeded);
        };
      },
    };
  }

  // ------------------------------------------------------------------ who leads

  #leader(): Asking {
    return {
      name: "leader",
      ask: async ({ sessions }) => {
        const answer = await sessions.leader(name);
        return (seen) => {
          if (!answer.ok) return this.#refused("a look", answer);
          const { revision, leader } = answer;
          const { acknowledged, process } = seen;
          const isNew = revision >= acknowledged;
          claim(isNew, () => `node ${process.id} says at ${revision} who leads`);
          this.#checkLeader(leader, revision, seen);
          this.#world.coverage.add("an election: asked for its leader");
        };
      },
    };
  }

  #checkLeader(leader: unknown, revision: number, { process }: Seen): void {
    const { lastCommitted } = this.#world.checks;
    const who = `node ${process.id} says that ${shown(leader)} leads at ${revision}`;
    claim(revision <= lastCommitted, () => `${who}, and ${lastCommitted} is committed`);
    const expected = leaderOf(this.#judge.at(revision));
    claim(shown(leader) === shown(expected), () => `${who}, and it is ${shown(expected)}`);
  }

  /** For a while. */
  #observe(): Asking {
    const { random, options } = this.#world;
    const ms = options.limits.electionTimeoutMs * (0.2 + 3 * random.float());
    return {
      name: "watchLeaders",
      ask: async ({ sessions }, clock) => {
        const ending = new AbortController();
        const opened = await sessions.watchLeaders(name, { signal: ending.signal });
        if (!opened.ok) return () => this.#refused("a watch", opened);
        clock.after(ms, () => ending.abort());
        const told: Told[] = [];
        for await (const event of opened.events) told.push(event);
        return (seen) => this.#checkTold(told, seen);
      },
    };
  }

  #checkTold(told: readonly Told[], seen: Seen): void {
    let last: Extract<Told, { readonly type: "leader" }> | null = null;
    for (const event of told) {
      if (event.type === "over") return this.#refused("a watch", event.failure);
      const { revision } = event;
      if (event.type === "leader") {
        this.#checkLeader(event.leader, revision, seen);
        const isLater = last === null || last.revision < revision;
        claim(isLater, () => `node ${seen.process.id} tells ${revision} after ${last?.revision}`);
        if (last !== null) this.#world.coverage.add("an election: another leader was told");
        last = event;
      } else if (last !== null && revision > last.revision) {
        // Nothing was left out up to there.
        this.#checkLeader(last.leader, revision, seen);
      }
    }
  }

  #refused(what: string, { code, detail }: Failure): void {
    this.#world.coverage.add(`an election: ${what} was refused: ${code}`);
    claim(refusals.has(code), () => `${what} is refused with ${code}: ${detail}`);
  }
}

const refusals = new Set([
  ...["no_leader", "timeout", "overloaded", "no_space", "stale", "compacted"],
  ...["not_found", "conflict"],
]);

const tokenIn = (rows: Before): number | null => frontOf(rows, queue)?.createRevision ?? null;

function leaderOf(rows: Before): { readonly value: Uint8Array; readonly token: number } | null {
  const front = frontOf(rows, queue);
  return front === null ? null : { value: front.value, token: front.createRevision };
}
