/**
 * Requests under idempotency keys: sent again they are answered as before and not done again, another
 * request under the key of one is refused, and by the log's time the answer goes first and then the key.
 */

import type { Failure, TransactionAnswer } from "../../server/client-port.ts";
import type { Transaction } from "../../server/state-machine/transaction.ts";
import type { Asking } from "./caller.ts";
import type { CaseDraws } from "./case-draws.ts";
import { keptMs, knownMs, type CaseJudge, type Seen } from "./case-judge.ts";
import { shown } from "./case-rows.ts";
import { impossible, marking, refusals, type CaseWrites } from "./case-writes.ts";
import { claim } from "./trace.ts";
import type { SimWorld } from "./world.ts";

interface Request {
  readonly idempotencyKey: string;
  readonly transaction: Transaction;
  readonly mark: string;
  /** What it came to, as it was answered first; null: nobody has heard. */
  answer: string | null;
  /** By the log's time, not before and not after; null: it has not come to a node. */
  doneFromMs: number | null;
  doneByMs: number;
  /** When it was asked first this was committed. */
  since: number;
  /** Its key may stand for another request by now. */
  isOver: boolean;
  /** Another request came under its key where keys are forgotten in time. */
  mayBeOver: boolean;
  /** How often it was done anew. */
  renewals: number;
}

/** Of these, one that was asked lately is sent again. */
const repeatedMax = 6;

const mismatch = "idempotency_mismatch";

export class CaseRequests {
  readonly #world: SimWorld;
  readonly #judge: CaseJudge;
  readonly #draws: CaseDraws;
  readonly #writes: CaseWrites;
  readonly #requests: Request[] = [];

  constructor(world: SimWorld, judge: CaseJudge, about: { draws: CaseDraws; writes: CaseWrites }) {
    this.#world = world;
    this.#judge = judge;
    this.#draws = about.draws;
    this.#writes = about.writes;
  }

  /** A new one, or one of those before once more. */
  once(): Asking {
    const request = this.#world.random.float() < 0.5 ? this.#begun() : null;
    return this.#ask(request ?? this.#newRequest());
  }

  #begun(): Request | null {
    const { length } = this.#requests;
    const back = 1 + this.#world.random.below(repeatedMax);
    const request = this.#requests[length - back];
    return request === undefined || request.isOver ? null : request;
  }

  #newRequest(): Request {
    const mark = this.#writes.newMark();
    const transaction = this.#draws.transaction(marking(mark));
    const idempotencyKey = `case ${this.#requests.length + 1}`;
    const done = { answer: null, doneFromMs: null, doneByMs: 0, since: 0 };
    const over = { isOver: false, mayBeOver: false, renewals: 0 };
    const request = { idempotencyKey, transaction, mark, ...done, ...over };
    this.#requests.push(request);
    return request;
  }

  // ------------------------------------------------------------------ the same again

  #ask(request: Request): Asking {
    const { transaction, idempotencyKey } = request;
    return {
      name: "once",
      ask: async (store) => {
        if (request.doneFromMs === null) {
          request.since = this.#world.checks.lastCommitted;
          request.doneFromMs = this.#judge.timeMs(request.since);
        }
        const { renewals } = request;
        const answer = await store.transact(transaction, { idempotencyKey });
        return (seen) => {
          // It is not known which of the two this was.
          if (request.renewals === renewals) this.#answered(request, answer, seen);
        };
      },
    };
  }

  #answered(request: Request, answer: TransactionAnswer, seen: Seen): void {
    const { idempotencyKey, answer: known } = request;
    const who = `node ${seen.process.id} answers ${idempotencyKey}`;
    if (!answer.ok && answer.code === mismatch) return this.#forgotten(request, answer, seen);
    if (!answer.ok && !impossible.has(answer.code)) {
      claim(refusals.has(answer.code), () => `${who} with ${shown(answer)}`);
      return;
    }
    const given = shown(answer);
    // Who did not hear what it came to then may have asked before.
    const asked = { ...seen, since: request.since };
    if (known === null) return this.#done(request, answer, asked);
    const { least, most } = this.#ages(request, seen);
    if (given === known && least < keptMs) {
      this.#world.coverage.add(`a request again: ${answer.ok ? "done" : answer.code}`);
      // It was not done a second time.
      this.#judge.scan();
      return;
    }
    // Of one that could not be done the answer may be the same by chance.
    claim(
      most >= knownMs,
      () => `${who} with ${given} after ${known}, between ${least} and ${most} ms later`,
    );
    this.#world.coverage.add("a request again: done anew");
    request.renewals++;
    this.#done(request, answer, asked);
  }

  #done(request: Request, answer: TransactionAnswer, seen: Pick<Seen, "since" | "process">): void {
    const { transaction, mark } = request;
    request.answer = shown(answer);
    if (answer.ok) {
      this.#writes.checkDone(transaction, answer, seen);
      request.doneFromMs = this.#judge.timeMs(answer.revision);
      request.doneByMs = request.doneFromMs;
      return;
    }
    this.#writes.checkUndone(transaction, answer, seen);
    request.doneFromMs = this.#judge.timeMs(seen.since);
    request.doneByMs = this.#judge.newestMs;
    // Where it is forgotten in time, it may be done anew.
    if (this.#world.options.leaps) return;
    this.#judge.refused(mark, `node ${seen.process.id} answers with ${answer.code}`);
  }

  /** By the log's time, how long ago it was done when it was asked for again. */
  #ages({ doneFromMs, doneByMs }: Request, { since }: Seen): { least: number; most: number } {
    const least = this.#judge.timeMs(since) - doneByMs;
    return { least, most: this.#judge.newestMs - (doneFromMs ?? 0) };
  }

  #forgotten(request: Request, failure: Failure, seen: Seen): void {
    const { least, most } = this.#ages(request, seen);
    // What it came to when it was done anew nobody may have heard, so it may be known for longer.
    const isLate = most >= keptMs && failure.detail.includes("too long ago");
    const isTaken = request.mayBeOver && most >= knownMs;
    claim(
      isLate || isTaken || request.isOver,
      () =>
        `node ${seen.process.id} refuses ${request.idempotencyKey} between ${least} and ${most} ms ` +
        `after it was done: ${shown(failure)}`,
    );
    this.#world.coverage.add("a request again: too late");
  }

  // ------------------------------------------------------------------ another one

  /** Under the key of one that was answered; null where there is none. */
  misused(): Asking | null {
    const request = this.#begun();
    if (request === null || request.answer === null) return null;
    const { idempotencyKey } = request;
    const mark = this.#writes.newMark();
    const transaction = this.#draws.transaction(marking(mark));
    return {
      name: "misused",
      ask: async (store) => {
        const { renewals } = request;
        request.mayBeOver = this.#world.options.leaps;
        const answer = await store.transact(transaction, { idempotencyKey });
        return (seen) => {
          if (request.renewals === renewals)
            this.#misusedAs({ request, mark, transaction, answer }, seen);
          else request.isOver = true;
        };
      },
    };
  }

  #misusedAs(
    about: {
      readonly request: Request;
      readonly mark: string;
      readonly transaction: Transaction;
      readonly answer: TransactionAnswer;
    },
    seen: Seen,
  ): void {
    const { request, mark, transaction, answer } = about;
    const { idempotencyKey } = request;
    const { most } = this.#ages(request, seen);
    const code = answer.ok ? "done" : answer.code;
    this.#world.coverage.add(`a request under another's key: ${code}`);
    const who = `node ${seen.process.id}: ${idempotencyKey} is of another request`;
    if (!answer.ok && code === mismatch) {
      const isSaid = answer.outcome === "not_applied" && answer.field === "idempotency-key";
      claim(isSaid, () => `${who}: ${shown(answer)}`);
      return this.#judge.refused(mark, who);
    }
    const isAnswer = answer.ok || impossible.has(code);
    claim(isAnswer || refusals.has(code), () => `${who}: ${shown(answer)}`);
    // What nobody heard of may have been done once the key was forgotten.
    if (this.#world.options.leaps) request.isOver = true;
    else this.#judge.refused(mark, who);
    if (!isAnswer) return;
    claim(most >= knownMs, () => `${who}, and this is ${code}`);
    if (answer.ok) this.#writes.checkDone(transaction, answer, seen);
    else this.#writes.checkUndone(transaction, answer, seen);
  }
}
