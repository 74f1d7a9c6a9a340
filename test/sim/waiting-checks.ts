/** What a read that waits may be answered: the row as it was committed, in time, and what became of it. */

import type { Failure, GetAnswer, ReadLevel } from "../../server/client-port.ts";
import type { Wait, WaitedAnswer } from "../../server/long-poll.ts";
import { must } from "../../server/raft/assert.ts";
import { changesIn, type CommittedChanges } from "./changes.ts";
import type { LocalReads } from "./local-reads.ts";
import type { Life, SimProcess } from "./process.ts";
import { claim } from "./trace.ts";
import { watchingIn } from "./watching.ts";
import type { SimWorld } from "./world.ts";

export interface AskedRead {
  readonly key: string;
  readonly level: ReadLevel;
  readonly minRevision: number | null;
  readonly maxStaleMs: number | null;
  /** How long it may wait for these two. */
  readonly timeoutMs: number;
  /** Null: the read waits for no change. */
  readonly wait: Wait | null;
}

/** How a read went on at its node, by the node's clock where it is about time. */
export interface ReadCourse {
  readonly asked: AskedRead;
  readonly process: SimProcess;
  readonly life: Life;
  /** What was known to be committed anywhere when it came. */
  readonly committedBefore: number;
  readonly appliedBefore: number;
  readonly arrivedMs: number;
  /** When the first watch was open, and what its node had applied then; null: none was. */
  opened: { readonly ms: number; readonly applied: number } | null;
  /** Changes up to here were there to be told of before the time was over. */
  dueThrough: number;
  isWatchOver: boolean;
  /** When the watch first told of a change, and of which; null: it did not. */
  told: { readonly ms: number; readonly revision: number } | null;
  /** When the first look at the row was done; null: not yet. */
  lookedMs: number | null;
  looksAgain: boolean;
}

export type Got = Extract<GetAnswer, { readonly ok: true }>;

export class WaitingChecks {
  readonly #world: SimWorld;
  readonly #localReads: LocalReads;

  constructor(world: SimWorld, localReads: LocalReads) {
    this.#world = world;
    this.#localReads = localReads;
  }

  answered(course: ReadCourse, found: WaitedAnswer, nowMs: number): void {
    const { answer } = found;
    if (!answer.ok) return this.#refused(course, answer, nowMs);
    this.#read(course, answer);
    const { wait } = course.asked;
    if (wait === null) return;
    if (found.kind === "unchanged") this.#unchanged(course, answer, { wait, nowMs });
    else this.#changed(course, answer, wait);
  }

  /** It looks at the row once more: because it was told of a change, or because the time is over. */
  looksAgain(course: ReadCourse): void {
    course.looksAgain = true;
    const { asked, process, told, lookedMs } = course;
    const { nowMs } = this.#world.time;
    const dueMs = Math.max(told?.ms ?? nowMs, lookedMs ?? nowMs);
    claim(
      nowMs <= dueMs,
      () => `node ${process.id} could say what ${asked.key} is for ${nowMs - dueMs} ms, and waits`,
    );
  }

  /** The time for which a change was to be waited for is over, with all that was to be done at once. */
  timeIsOver({ asked, process, life, isWatchOver }: ReadCourse): void {
    claim(
      isWatchOver || process.life !== life,
      () => `node ${process.id} waits for ${asked.key} longer than ${asked.wait?.ms} ms`,
    );
  }

  #read({ asked, process, life }: ReadCourse, { row, level, ageMs, revision }: Got): void {
    const { key, minRevision, maxStaleMs } = asked;
    const { lastCommitted } = this.#world.checks;
    const who = `node ${process.id} is asked for ${key}`;
    process.look();
    claim(
      revision !== undefined && revision <= lastCommitted,
      () => `${who} and answers at ${revision}; ${lastCommitted} is committed`,
    );
    claim(level === asked.level, () => `${who} by ${asked.level}, and answers by ${level}`);
    claim(
      revision >= (minRevision ?? 0),
      () => `${who} at ${minRevision}, and answers at ${revision}`,
    );
    claim(
      maxStaleMs === null || (ageMs ?? Infinity) <= maxStaleMs,
      () => `${who} as it was ${maxStaleMs} ms ago at the most, and answers with ${ageMs} ms`,
    );
    const committed = this.#changes.rowAt(key, revision);
    claim(
      row?.revision === committed?.revision &&
        Buffer.compare(row?.value ?? none, committed?.value ?? none) === 0,
      () => `${who}, shows ${row?.revision} at ${revision}, and it is ${committed?.revision}`,
    );
    if (level !== "local") return;
    claim(!life.node.mending?.state, () => `${who}, and answers while its state is made anew`);
    this.#localReads.check(process, life, row);
  }

  #unchanged(
    course: ReadCourse,
    { row, revision = 0 as never }: Got,
    { wait, nowMs }: { readonly wait: Wait; readonly nowMs: number },
  ): void {
    const { key } = course.asked;
    const { ms, after } = wait;
    const { told, dueThrough, isWatchOver } = course;
    const opened = must(course.opened ?? undefined, "it has watched");
    const who = describe(course, wait);
    this.#world.coverage.add("a long poll: nothing came");
    claim(told === null, () => `${who}, is told of ${told?.revision}, and says nothing of it`);
    const waitedMs = nowMs - opened.ms;
    claim(isWatchOver && this.#isAtLeast(waitedMs, ms), () => `${who}, and waits ${waitedMs} ms`);
    const missed = this.#changes.lastChange(key, after ?? opened.applied, dueThrough);
    claim(missed === null, () => `${who}, and says nothing of ${missed} until the time is over`);
    if (after === undefined) return;
    const unsaid = this.#changes.lastChange(key, after, revision);
    claim(unsaid === null, () => `${who}, and calls what is of ${row?.revision} unchanged`);
  }

  #changed(course: ReadCourse, { row, revision = 0 as never }: Got, wait: Wait): void {
    const { key } = course.asked;
    const { after } = wait;
    const { told, dueThrough, looksAgain } = course;
    const opened = must(course.opened ?? undefined, "it has watched");
    const since = after ?? opened.applied;
    const who = describe(course, wait);
    if (told !== null) {
      this.#world.coverage.add("a long poll: a change came");
      const isSo = this.#changes.lastChange(key, told.revision - 1, told.revision) !== null;
      claim(isSo && told.revision > (after ?? 0), () => `${who}, and hears of ${told.revision}`);
      claim(
        !looksAgain || revision >= told.revision,
        () => `${who}, hears of ${told.revision}, and shows ${revision}`,
      );
    } else {
      this.#world.coverage.add("a long poll: it had changed before");
      const missed = looksAgain ? this.#changes.lastChange(key, since, dueThrough) : null;
      claim(missed === null, () => `${who}, and says nothing of ${missed} until the time is over`);
    }
    const isChanged = this.#changes.lastChange(key, since, revision) !== null;
    // Of a row that is not there nobody knows whether it was, once that is forgotten.
    const { oldestRevision } = watchingIn(course.life).watches;
    const isForgotten = row === null && since < oldestRevision;
    claim(isChanged || isForgotten, () => `${who}, and answers without a change`);
  }

  #refused(course: ReadCourse, { code, detail, field }: Failure, nowMs: number): void {
    const { asked, process, appliedBefore, arrivedMs, committedBefore } = course;
    this.#world.coverage.add(`a read that may wait was refused: ${code}`);
    const { minRevision, maxStaleMs, timeoutMs, wait } = asked;
    const why = (): string => `node ${process.id} is asked for ${JSON.stringify(asked)}: ${detail}`;
    if (code === "bad_request") {
      return claim(field === "after" && (wait?.after ?? 0) > committedBefore, why);
    }
    claim(code !== "compacted", why);
    const isUnreached = detail.includes("has not reached");
    if (!isUnreached && !detail.includes("is older than")) return;
    claim(isUnreached ? (minRevision ?? 0) > appliedBefore : maxStaleMs !== null, why);
    const waitedMs = nowMs - arrivedMs;
    claim(this.#isAtLeast(waitedMs, timeoutMs), () => `${why()}, after ${waitedMs} ms`);
  }

  /** A clock that changes its rate meanwhile has no say. */
  #isAtLeast(waitedMs: number, ms: number): boolean {
    return this.#world.options.faults.has("clockDrift") || waitedMs >= ms - roundingMs;
  }

  get #changes(): CommittedChanges {
    return changesIn(this.#world);
  }
}

const describe = ({ asked, process }: ReadCourse, { ms, after }: Wait): string =>
  `node ${process.id} is to say in ${ms} ms what becomes of ${asked.key} behind ${after}`;

/** By which sums of fractions may differ. */
const roundingMs = 1e-3;

const none = new Uint8Array(0);
