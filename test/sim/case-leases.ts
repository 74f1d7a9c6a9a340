/**
 * Leases asked for directly, with keys of several clients on one, held against the rows as they were
 * committed: they end with all their keys, and not before their time.
 */

import type { Failure } from "../../server/client-port.ts";
import { transactionOf, type Operation } from "../../server/state-machine/transaction.ts";
import type { Asking } from "./caller.ts";
import type { CaseJudge, Seen } from "./case-judge.ts";
import { leaseIn, ttlOf } from "./case-oracle.ts";
import { shown } from "./case-rows.ts";
import { claim } from "./trace.ts";
import type { SimWorld } from "./world.ts";

/** Of these, one of the newest is asked for. */
const recentMax = 4;

export class CaseLeases {
  readonly #world: SimWorld;
  readonly #judge: CaseJudge;
  readonly #granted: number[];

  /** `granted` is filled with those that somebody was granted. */
  constructor(world: SimWorld, judge: CaseJudge, granted: number[]) {
    this.#world = world;
    this.#judge = judge;
    this.#granted = granted;
  }

  any(): Asking {
    const { random } = this.#world;
    const lease = this.#granted[this.#granted.length - 1 - random.below(recentMax)];
    const chance = random.float();
    if (lease === undefined || chance < 0.3) return this.#grant();
    if (chance < 0.5) return this.#keepAlive(lease);
    return chance < 0.65 ? this.#revoke(lease) : this.#read(lease);
  }

  #grant(): Asking {
    const { random, options } = this.#world;
    const { electionTimeoutMs } = options.limits;
    const ttlMs = Math.ceil(electionTimeoutMs * random.pick([1, 5, 15]) * (0.5 + random.float()));
    return {
      name: "grantLease",
      ask: async ({ sessions }) => {
        const answer = await sessions.grantLease(ttlMs);
        return (seen) => {
          if (!answer.ok) return this.#refused("a grant", answer);
          const { revision } = answer;
          const result = { op: "leaseGrant", lease: revision };
          this.#done({ op: "leaseGrant", ttlMs }, { revision, result, seen });
          claim(answer.ttlMs === ttlMs, () => `a lease of ${ttlMs} is one of ${answer.ttlMs}`);
          this.#granted.push(revision);
        };
      },
    };
  }

  #keepAlive(lease: number): Asking {
    const operation = { op: "leaseRenew", lease } as const;
    return {
      name: "keepLeaseAlive",
      ask: async ({ sessions }) => {
        const answer = await sessions.keepLeaseAlive(lease);
        return (seen) => {
          if (!answer.ok) return this.#gone(operation, answer, seen);
          const { revision, ttlMs } = answer;
          this.#done(operation, { revision, result: { op: "leaseRenew", ttlMs }, seen });
        };
      },
    };
  }

  #revoke(lease: number): Asking {
    const operation = { op: "leaseRevoke", lease } as const;
    return {
      name: "revokeLease",
      ask: async ({ sessions }) => {
        const answer = await sessions.revokeLease(lease);
        return (seen) => {
          if (!answer.ok) return this.#gone(operation, answer, seen);
          const { revision, deleted } = answer;
          this.#done(operation, { revision, result: { op: "leaseRevoke", deleted }, seen });
          if (deleted > 1) this.#world.coverage.add("a lease was revoked with several keys");
        };
      },
    };
  }

  #read(lease: number): Asking {
    return {
      name: "lease",
      ask: async ({ sessions }) => {
        const answer = await sessions.lease(lease);
        return (seen) => {
          if (!answer.ok) {
            this.#refused("a read", answer);
            if (answer.code !== "not_found") return;
            this.#judge.true(`${lease} is gone`, seen, (rows) => leaseIn(rows, lease) === null);
            return;
          }
          const { ttlMs, remainingMs } = answer;
          this.#world.coverage.add("a lease: read");
          this.#judge.true(`lease ${lease} is ${shown(answer)}`, seen, (rows) => {
            const row = leaseIn(rows, lease);
            if (row === null || ttlOf(row) !== ttlMs) return false;
            return remainingMs === Math.max(0, (row.expiresMs ?? 0) - rows.timeMs);
          });
        };
      },
    };
  }

  // ------------------------------------------------------------------ what is answered

  #done(
    operation: Operation,
    about: { readonly revision: number; readonly result: unknown; readonly seen: Seen },
  ): void {
    const { revision, result, seen } = about;
    this.#world.coverage.add(`a lease: ${operation.op}`);
    const { results } = this.#judge.done(transactionOf([], operation), revision, seen);
    claim(
      shown([result]) === shown(results),
      () => `${shown(operation)} at ${revision} gives ${shown(result)}, and not ${shown(results)}`,
    );
  }

  #gone(operation: Operation, failure: Failure, seen: Seen): void {
    this.#refused(operation.op, failure);
    const { code } = failure;
    if (code !== "not_found") return;
    this.#judge.undone(
      transactionOf([], operation),
      seen,
      (found) => !found.isDone && found.code === code,
    );
  }

  #refused(what: string, { code, detail }: Failure): void {
    this.#world.coverage.add(`a lease: ${what} was refused: ${code}`);
    claim(refusals.has(code), () => `${what} is refused with ${code}: ${detail}`);
  }
}

const refusals = new Set(["no_leader", "timeout", "overloaded", "no_space", "not_found", "stale"]);
