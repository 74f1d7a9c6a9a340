/** Draws transactions of every kind of condition and operation, such that they hold and fail about as often. */

import type { Row } from "../../server/state-machine/command.ts";
import type { Condition, Operation, Transaction } from "../../server/state-machine/transaction.ts";
import type { AtomicOperation } from "../../server/client-port.ts";
import { caseKeys, caseQueue, numberKeys, plainKeys } from "./case-keys.ts";
import type { CaseJudge } from "./case-judge.ts";
import { frontOf } from "./case-oracle.ts";
import type { SimWorld } from "./world.ts";

const conditionsMax = 3;
const operationsMax = 5;
/** Empty: none. */
const contentTypes = ["", "", "text/plain"];
const limits = [1, 2, 100];

export class CaseDraws {
  readonly #world: SimWorld;
  readonly #judge: CaseJudge;
  /** Leases that somebody was granted. */
  readonly #leases: readonly number[];
  #lastNumber = 0;

  constructor(world: SimWorld, judge: CaseJudge, leases: readonly number[]) {
    this.#world = world;
    this.#judge = judge;
    this.#leases = leases;
  }

  /** Nobody else writes it; a number too. */
  value(): Uint8Array {
    const { random, options } = this.#world;
    this.#lastNumber++;
    const isNumber = random.float() < 0.3;
    const padding = isNumber ? "" : `:${"x".repeat(random.below(options.valueBytesMax / 4))}`;
    return Buffer.from(`${this.#lastNumber}${padding}`);
  }

  /** `marked` is done on both sides, before or behind all else. */
  transaction(marked: Operation | null): Transaction {
    const { random } = this.#world;
    const conditions = Array.from({ length: random.below(conditionsMax + 1) }, () =>
      this.#condition(),
    );
    const side = (least: number): Operation[] => {
      const count = least + random.below(operationsMax);
      const operations = Array.from({ length: count }, () => this.#operation());
      if (marked === null) return operations;
      return random.float() < 0.5 ? [marked, ...operations] : [...operations, marked];
    };
    return { op: "transaction", conditions, then: side(1), otherwise: side(0) };
  }

  // ------------------------------------------------------------------ conditions

  /** As somebody may have seen it who has heard of all that is committed by now. */
  now(key: string): Row | null {
    return this.#judge.at(this.#world.checks.lastCommitted).row(key);
  }

  #condition(): Condition {
    const { random } = this.#world;
    const not = random.float() < 0.3;
    if (random.float() < 0.05) {
      return { kind: "holder", key: caseQueue, not, token: this.#front() };
    }
    const key = random.pick(caseKeys);
    const kind = random.pick(["exists", "revision", "createRevision", "value"] as const);
    // Of the key itself, or of another one.
    const row = this.now(random.float() < 0.75 ? key : random.pick(caseKeys));
    switch (kind) {
      case "exists":
        return { kind, key, not };
      case "revision":
        return { kind, key, not, revision: row?.revision ?? 0 };
      case "createRevision":
        return { kind, key, not, revision: row?.createRevision ?? 0 };
      case "value":
        return { kind, key, not, value: row?.value ?? new Uint8Array() };
    }
  }

  // ------------------------------------------------------------------ operations

  #operation(): Operation {
    const { random } = this.#world;
    const chance = random.float();
    if (chance < 0.05) return this.#lasting();
    if (chance < 0.35) return this.put();
    if (chance < 0.7) return this.atomic();
    const key = random.pick(caseKeys);
    if (chance < 0.85) return { op: random.pick(["get", "revision", "delete"] as const), key };
    const [start, end] = [random.pick(caseKeys), random.pick([...caseKeys, "case-b0", "case-~"])];
    const range = { start, end };
    const limit = random.pick(limits);
    if (random.float() < 0.5) return { op: "range", range, limit };
    return { op: "deleteRange", range, limit: random.float() < 0.3 ? null : limit };
  }

  /** Beside what else a transaction does. */
  #lasting(): Operation {
    const { random } = this.#world;
    const ttlMs = this.ttlMs();
    const lease = this.#recentLease() ?? 1;
    const token = this.#front();
    const [key, value] = [caseQueue, this.value()];
    return random.pick<Operation>([
      { op: "leaseGrant", ttlMs },
      { op: "leaseRenew", lease },
      { op: "leaseRevoke", lease },
      { op: "join", key, value, lease: random.float() < 0.5 ? null : lease, ttlMs, waits: true },
      { op: "leave", key, token },
      { op: "setValue", key, token, value },
    ]);
  }

  #recentLease(): number | undefined {
    return this.#leases[this.#leases.length - 1 - this.#world.random.below(4)];
  }

  #front(): number {
    const rows = this.#judge.at(this.#world.checks.lastCommitted);
    return frontOf(rows, caseQueue)?.createRevision ?? 0;
  }

  put(): Extract<Operation, { readonly op: "put" }> {
    const { random, options } = this.#world;
    const key = random.pick(caseKeys);
    const contentType = random.pick(contentTypes) || null;
    const put = { op: "put", key, value: this.value(), contentType } as const;
    const chance = random.float();
    if (chance < 0.1) return { ...put, ttlMs: this.ttlMs() };
    const lease = this.#recentLease();
    const isLeased = chance < 0.35 && lease !== undefined && options.leaseMs > 0;
    return isLeased ? { ...put, lease } : put;
  }

  ttlMs(): number {
    const { random, options } = this.#world;
    return Math.ceil(options.leaseMs * (0.5 + random.float()));
  }

  atomic(): AtomicOperation {
    const { random } = this.#world;
    const key = random.float() < 0.85 ? random.pick(numberKeys) : random.pick(caseKeys);
    const op = random.pick(["incr", "incr", "incr", "max", "min", "append", "getdel", "touch"]);
    switch (op) {
      case "incr":
        return this.#increment(key);
      case "max":
      case "min":
        return { op, key, value: this.#near(key) };
      case "append":
        return { op, key: random.pick(caseKeys), value: Buffer.from(String(random.below(10))) };
      case "getdel":
        return { op, key: random.pick(caseKeys) };
      default:
        return { op: "touch", key: random.pick(plainKeys), ttlMs: this.ttlMs() };
    }
  }

  #increment(key: string): AtomicOperation {
    const { random } = this.#world;
    const by = BigInt(random.below(11) - 5);
    const bound = (): bigint | null => (random.float() < 0.5 ? null : this.#near(key) + by);
    const ttlMs = random.float() < 0.1 ? this.ttlMs() : undefined;
    const plain = { op: "incr", key, by, min: bound(), max: bound() } as const;
    return ttlMs === undefined ? plain : { ...plain, ttlMs };
  }

  /** Of what stands there: the same, or a little more or less. */
  #near(key: string): bigint {
    const text = Buffer.from(this.now(key)?.value ?? "").toString("latin1");
    const number = /^-?\d{1,18}$/.test(text) ? BigInt(text) : 0n;
    return number + BigInt(this.#world.random.pick([-3, -1, 0, 0, 1, 3]));
  }
}
