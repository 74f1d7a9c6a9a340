/**
 * Writes of every form that the client port has, each answer held against what its oracle makes of the
 * committed rows.
 */

import type {
  DeleteAnswer,
  Failure,
  PutAnswer,
  TransactionAnswer,
  WriteOptions,
} from "../../server/client-port.ts";
import {
  transactionOf,
  type Operation,
  type Transaction,
} from "../../server/state-machine/transaction.ts";
import type { Asking } from "./caller.ts";
import type { CaseDraws } from "./case-draws.ts";
import { caseKeys } from "./case-keys.ts";
import { markPrefix, type CaseJudge, type Seen } from "./case-judge.ts";
import { shown } from "./case-rows.ts";
import { claim } from "./trace.ts";
import type { SimWorld } from "./world.ts";

export class CaseWrites {
  readonly #world: SimWorld;
  readonly #judge: CaseJudge;
  readonly #draws: CaseDraws;
  #lastMark = 0;

  constructor(world: SimWorld, judge: CaseJudge, draws: CaseDraws) {
    this.#world = world;
    this.#judge = judge;
    this.#draws = draws;
  }

  // ------------------------------------------------------------------ transactions

  transact(): Asking {
    const { random } = this.#world;
    const isMarked = random.float() < 0.7;
    const mark = isMarked ? this.newMark() : null;
    const transaction = this.#draws.transaction(mark === null ? null : marking(mark));
    return {
      name: "transact",
      ask: async (store) => {
        const answer = await store.transact(transaction);
        return (seen) => this.#transacted({ transaction, mark, answer }, seen);
      },
    };
  }

  #transacted(
    about: {
      readonly transaction: Transaction;
      readonly mark: string | null;
      readonly answer: TransactionAnswer;
    },
    seen: Seen,
  ): void {
    const { transaction, mark, answer } = about;
    if (answer.ok) this.checkDone(transaction, answer, seen);
    else {
      this.checkUndone(transaction, answer, seen);
      if (mark !== null && answer.outcome === "not_applied") {
        this.#judge.refused(mark, `node ${seen.process.id} answers with ${answer.code}`);
      }
    }
  }

  checkDone(
    transaction: Transaction,
    answer: Extract<TransactionAnswer, { readonly ok: true }>,
    seen: Pick<Seen, "since" | "process">,
  ): void {
    const { revision, succeeded, results } = answer;
    const done = this.#judge.done(transaction, revision, seen);
    const expected = shown({ succeeded: done.succeeded, results: done.results });
    const given = shown({ succeeded, results });
    claim(
      given === expected,
      () =>
        `node ${seen.process.id} answers ${shown(transaction)} at ${revision} ` +
        `with ${given}, and it comes to ${expected}`,
    );
    this.#cover(transaction, answer);
  }

  #cover(
    { conditions, then, otherwise }: Transaction,
    { succeeded }: { readonly succeeded: boolean },
  ): void {
    const { coverage } = this.#world;
    coverage.add(`a case: ${succeeded ? "all conditions held" : "a condition did not hold"}`);
    for (const { kind, not } of conditions) coverage.add(`a case: ${not ? "not " : ""}${kind}`);
    for (const { op } of succeeded ? then : otherwise) coverage.add(`a case: ${op}`);
  }

  /** What was not done because it cannot be; of all else nothing is to be said. */
  checkUndone(
    transaction: Transaction,
    failure: Failure,
    seen: Pick<Seen, "since" | "process">,
  ): void {
    const { code, detail, outcome } = failure;
    this.#world.coverage.add(`a case was refused: ${code}`);
    const who = `node ${seen.process.id} refuses ${shown(transaction)} with ${code}: ${detail}`;
    claim(outcome !== undefined, () => `${who}, and says nothing of what happened`);
    if (!impossible.has(code)) {
      claim(refusals.has(code), () => who);
      return;
    }
    claim(outcome === "not_applied", () => `${who}, and calls it ${outcome}`);
    this.#judge.undone(transaction, seen, (found) => {
      if (found.isDone || found.code !== code) return false;
      // Of a single operation it is not said which one it was.
      const position = /^operation (\d+): /.exec(detail)?.[1];
      return position === undefined || Number(position) === found.position + 1;
    });
  }

  newMark(): string {
    this.#lastMark++;
    return `mark ${this.#lastMark}`;
  }

  // ------------------------------------------------------------------ single writes

  atomic(): Asking {
    const operation = this.#draws.atomic();
    return {
      name: "atomic",
      ask: async (store) => {
        const answer = await store.atomic(operation);
        const transaction = transactionOf([], operation);
        return (seen) =>
          answer.ok
            ? this.checkDone(transaction, oneResult(answer), seen)
            : this.checkUndone(transaction, answer, seen);
      },
    };
  }

  deleteRange(): Asking {
    const { random } = this.#world;
    const prefix = random.pick(["case-a/", "case-b", "case-a"]);
    const [start, end] = [random.pick(caseKeys), random.pick(caseKeys)];
    const isBounded = random.float() < 0.5;
    const selection = isBounded ? { start, end } : { prefix };
    const range = isBounded ? { start, end } : { start: prefix, end: followerOf(prefix) };
    const limit = random.float() < 0.3 ? null : random.pick([1, 2]);
    const transaction = transactionOf([], { op: "deleteRange", range, limit });
    return {
      name: "deleteRange",
      ask: async (store) => {
        const answer = await store.deleteRange(selection, limit === null ? {} : { limit });
        return (seen) => {
          if (!answer.ok) return this.checkUndone(transaction, answer, seen);
          const { deleted, revision } = answer;
          const result = { op: "deleteRange", deleted } as const;
          this.checkDone(transaction, oneResult({ result, revision }), seen);
          if (limit === deleted) this.#world.coverage.add("a case: deleteRange to its limit");
        };
      },
    };
  }

  /** Only where the row is, or is not, what somebody has seen. */
  matching(): Asking {
    const { random } = this.#world;
    const put = this.#draws.put();
    const { key } = put;
    const single: Operation = random.float() < 0.7 ? put : { op: "delete", key };
    const match = random.float() < 0.3 ? "*" : (this.#draws.now(key)?.revision ?? 1);
    const isNot = random.float() < 0.4;
    const options: WriteOptions = isNot ? { ifNoneMatch: match } : { ifMatch: match };
    const condition =
      match === "*"
        ? ({ kind: "exists", key, not: isNot } as const)
        : ({ kind: "revision", key, not: isNot, revision: match } as const);
    const transaction = transactionOf([condition], single, { op: "revision", key });
    const { value, contentType, ttlMs, lease } = put;
    const lasting = { contentType, ...(ttlMs && { ttlMs }), ...(lease && { lease }) };
    return {
      name: "matching",
      ask: async (store) => {
        const answer =
          single.op === "put"
            ? await store.put(key, value, { ...options, ...lasting })
            : await store.delete(key, options);
        return (seen) => this.#matched(transaction, answer, seen);
      },
    };
  }

  #matched(transaction: Transaction, answer: PutAnswer | DeleteAnswer, seen: Seen): void {
    if (answer.ok) {
      const { revision } = answer;
      const result =
        "created" in answer
          ? ({ op: "put", created: answer.created, revision: answer.revision } as const)
          : ({ op: "delete", deleted: answer.deleted } as const);
      return this.checkDone(transaction, oneResult({ result, revision }), seen);
    }
    if (answer.code !== "condition_failed") return this.checkUndone(transaction, answer, seen);
    this.#world.coverage.add("a case: a match failed");
    this.#judge.undone(transaction, seen, (found) => {
      if (!found.isDone || found.succeeded) return false;
      return (
        shown(found.results) === shown([{ op: "revision", revision: answer.revision ?? null }])
      );
    });
  }
}

/** These say that it cannot be done, and that nothing was. */
export const impossible = new Set(["conflict", "not_found", "too_large"]);

export const refusals = new Set(["no_leader", "timeout", "overloaded", "no_space"]);

export const marking = (mark: string): Operation => ({
  op: "put",
  key: markPrefix + mark.slice(-1),
  value: Buffer.from(mark),
  contentType: null,
});

/** As a transaction of it alone is answered. */
const oneResult = <Result, Revision>({
  result,
  revision,
}: {
  readonly result: Result;
  readonly revision: Revision;
}) => ({ ok: true, succeeded: true, results: [result], revision }) as const;

/** The first text behind all that begin with this one, whose last character has one behind it. */
const followerOf = (prefix: string): string =>
  prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
