/** Who is let in at the HTTP port when more is asked than the node can do, and what the others are told. */

import type { Answer } from "./answer.ts";
import { AdmissionLimit, type AdmissionLimits } from "./admission-limit.ts";
import type { Failure } from "./client-port.ts";
import { refusal } from "./problem.ts";
import { RefusalPace } from "./refusal-pace.ts";

/** Requests on data have queues of their own for reading and writing: a slow disk delays no read. */
export type Lane = "read" | "write";

/** Of these the client says himself how long they are to wait. */
const waits = /[?&](?:wait|min_revision|max_stale)=/;

const failure: Failure = {
  ok: false,
  code: "overloaded",
  detail: "more is asked of this node than it can do; nothing was done, try again later",
};

/**
 * Whoever is told to come later is left alone no longer than this, whatever he was told: what he asks for
 * over that connection meanwhile, a lease that is kept alive for one, has to wait.
 */
const deafMsMax = 500;

export interface Refused {
  readonly answer: Answer;
  /** Until then nothing more of this client is listened to. */
  readonly untilMs: number;
}

type Asked = { readonly method: string; readonly target: string };

/**
 * Null: a request that is always let in. What keeps the cluster and its clients' sessions going must not
 * stand behind the load: health, status, metrics, members, leases, locks, watches, which have maxima of
 * their own.
 */
export function laneOf(asked: Asked): Lane | null {
  const { method, target } = asked;
  // A browser that hears no to this tells its page nothing, not even that it is to come later.
  if (method === "OPTIONS") return null;
  if (!target.startsWith("/v1/kv") && !target.startsWith("/v1/txn")) return null;
  if (target.includes("?") && waits.test(target)) return null;
  return method === "GET" || method === "HEAD" ? "read" : "write";
}

/** Whether its delay says how long the queue is. Local reads stand in none, listings take long by themselves. */
function isMeasured({ target }: Asked, lane: Lane, status: number): boolean {
  if (lane === "write") return status < 300;
  return (status < 400 || status === 404) && !target.includes("?");
}

export class Admission {
  readonly #lanes: Readonly<Record<Lane, AdmissionLimit>>;
  readonly #pace: RefusalPace;
  /** By the seconds they tell, which are few: refusals are made when there is no time for them. */
  readonly #answers = { read: new Map<number, Answer>(), write: new Map<number, Answer>() };

  constructor(limits: AdmissionLimits, nowMs: number) {
    this.#lanes = {
      read: new AdmissionLimit(limits, nowMs),
      write: new AdmissionLimit(limits, nowMs),
    };
    this.#pace = new RefusalPace(nowMs);
  }

  get lanes(): Readonly<Record<Lane, AdmissionLimit>> {
    return this.#lanes;
  }

  /** Asked once its head is there, before its body is looked at. */
  refuses(lane: Lane): boolean {
    return this.#lanes[lane].refuses();
  }

  /** What it is told, and how long it is to be left alone. */
  refused(lane: Lane, nowMs: number): Refused {
    const untilMs = this.#pace.refused(nowMs);
    const seconds = Math.max(1, Math.ceil((untilMs - nowMs) / 1_000));
    const answers = this.#answers[lane];
    let answer = answers.get(seconds);
    if (answer === undefined) {
      answer = refusal({ ...failure, retryAfterSeconds: seconds }, { write: lane === "write" });
      answers.set(seconds, answer);
    }
    return { answer, untilMs: Math.min(untilMs, nowMs + deafMsMax) };
  }

  /** It goes to the store; `ended` follows. */
  began(lane: Lane): void {
    this.#lanes[lane].began();
  }

  ended(
    lane: Lane,
    asked: Asked,
    { status, nowMs, ms }: { status: number; nowMs: number; ms: number },
  ) {
    this.#pace.answered(nowMs);
    this.#lanes[lane].ended(nowMs, isMeasured(asked, lane, status) ? ms : null);
  }
}
