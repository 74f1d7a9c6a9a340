/**
 * Holds what nodes answer against what was committed: an answered write is what its oracle makes of the
 * rows before it, what was refused left nothing behind, and nothing was done twice.
 */

import type { Transaction } from "../../server/state-machine/transaction.ts";
import {
  leaseIn,
  leaseOfRow,
  outcomeOf,
  type Before,
  type Done,
  type Undone,
} from "./case-oracle.ts";
import { shown } from "./case-rows.ts";
import { changesIn, type CommittedChange, type CommittedChanges } from "./changes.ts";
import type { Checks } from "./checks.ts";
import type { Life, SimProcess } from "./process.ts";
import { claim } from "./trace.ts";
import type { SimWorld } from "./world.ts";

/** When a call was under way, in revisions. */
export interface Seen {
  readonly process: SimProcess;
  readonly life: Life;
  /** When it came to the node this was committed: what it asked for came later. */
  readonly since: number;
  /** When it was asked, somebody knew of this. */
  readonly acknowledged: number;
  /** When it came to the node, that life had shown this. */
  readonly floor: number;
}

/** By the log's time: a request is answered again for so long, and its key is known for so long. */
export const keptMs: number = 24 * 60 * 60 * 1_000;
export const knownMs: number = 2 * keptMs;

/** Rows under these keys say in their values which write they are of. */
export const markPrefix = "case-mark/";

export class CaseJudge {
  readonly #checks: Checks;
  readonly #changes: CommittedChanges;
  /** The value of a mark, and where it was written. */
  readonly #written = new Map<string, number>();
  /** Of writes that surely left nothing behind. */
  readonly #refused = new Map<string, string>();
  #scanned = 0;

  constructor(world: SimWorld) {
    this.#checks = world.checks;
    this.#changes = changesIn(world);
  }

  /** The rows as they are when that entry is about to be applied. */
  before(revision: number): Before {
    const changes = this.#changes;
    return {
      revision,
      timeMs: changes.timeMs(revision),
      row: (key) => changes.rowAt(key, revision - 1),
      rows: (takes) => changes.rowsAt(revision - 1, takes),
    };
  }

  /** The rows once that entry is applied, and the time then. */
  at(revision: number): Before {
    return { ...this.before(revision + 1), timeMs: this.#changes.timeMs(revision) };
  }

  /** Keys of all that came or went behind a revision, as far as it is applied. */
  changedSince(revision: number, through: number): string[] {
    const keys: string[] = [];
    for (let index = revision + 1; index <= through && this.#changes.has(index); index++) {
      keys.push(...this.#changes.of(index).map(({ key }) => key));
    }
    return keys;
  }

  /** It was answered as done at this revision. */
  done(transaction: Transaction, revision: number, seen: Pick<Seen, "since" | "process">): Done {
    const { lastCommitted } = this.#checks;
    const { process, since } = seen;
    const what = (): string => `node ${process.id} says that ${shown(transaction)} is ${revision}`;
    claim(
      since < revision && revision <= lastCommitted,
      () => `${what()}, which was asked behind ${since}, and ${lastCommitted} is committed`,
    );
    this.#checks.acknowledged(process.id, revision as never);
    const outcome = outcomeOf(transaction, this.before(revision));
    claim(outcome.isDone, () => `${what()}, and it is to fail: ${shown(outcome)}`);
    this.#compare(outcome, revision, what);
    this.scan();
    return outcome;
  }

  #compare({ after }: Done, revision: number, what: () => string): void {
    const before = this.before(revision);
    const isNews = (key: string): boolean => before.row(key)?.revision !== after.get(key)?.revision;
    const expected = [...after.keys()].filter(isNews).sort();
    const committed = this.#changes.of(revision).map(({ key }) => key);
    claim(
      shown(expected) === shown(committed.sort()),
      () => `${what()}, which changes ${shown(expected)}, and changed were ${shown(committed)}`,
    );
    for (const [key, row] of after) {
      const there = this.#changes.rowAt(key, revision);
      const isEqual = shown(there) === shown(row);
      claim(isEqual, () => `${what()}, which leaves ${shown(row)}, and there is ${shown(there)}`);
    }
  }

  /** It was answered as impossible, or to no effect: so it was at some entry that changed nothing. */
  undone(
    transaction: Transaction,
    seen: Pick<Seen, "since" | "process">,
    isSo: (outcome: Done | Undone, before: Before) => boolean,
  ): void {
    const isFound = this.#somewhere(seen.since + 1, (index) => {
      if (!this.#changes.has(index) || this.#changes.of(index).length > 0) return false;
      const before = this.before(index);
      return isSo(outcomeOf(transaction, before), before);
    });
    claim(
      isFound,
      () =>
        `node ${seen.process.id} says that ${shown(transaction)} comes to nothing, ` +
        `and behind ${seen.since} it never did`,
    );
  }

  /** What was read is true of a state that is not older than what somebody knew when he asked. */
  true(what: string, { acknowledged, process }: Seen, isSo: (rows: Before) => boolean): void {
    const isFound = this.#somewhere(acknowledged, (index) => isSo(this.at(index)));
    claim(isFound, () => `node ${process.id} says ${what}, which it is not since ${acknowledged}`);
  }

  #somewhere(from: number, isSo: (index: number) => boolean): boolean {
    for (let index = this.#checks.lastCommitted; index >= from; index--) {
      if (isSo(index)) return true;
    }
    return false;
  }

  /** The write with this mark surely did nothing, and never will. */
  refused(mark: string, why: string): void {
    this.scan();
    const revision = this.#written.get(mark);
    claim(revision === undefined, () => `${why}: and yet ${mark} was written at ${revision}`);
    this.#refused.set(mark, why);
  }

  /** Each mark is written once, unless its request is forgotten, and none that was refused. */
  scan(): void {
    for (; this.#changes.has(this.#scanned); this.#scanned++) {
      for (const change of this.#changes.of(this.#scanned)) {
        const { key, after } = change;
        if (after === null) this.#checkGone(change);
        else if (key.startsWith(markPrefix))
          this.#noteMark(Buffer.from(after.value).toString("latin1"));
      }
    }
  }

  /** Nothing goes before its time, or without its lease; and with a lease goes all that it has. */
  #checkGone({ type, key, before }: CommittedChange): void {
    const index = this.#scanned;
    const timeMs = this.timeMs(index);
    const rows = this.at(index);
    const lease = leaseOfRow(key);
    const kept = lease === null ? [] : this.#changes.rowsAt(index, () => true);
    const orphan = kept.find((row) => row.lease === lease);
    claim(
      orphan === undefined,
      () => `${shown(orphan)} outlives its lease, which ends at ${index}`,
    );
    if (type !== "expire") return;
    const isDue =
      before?.lease === undefined
        ? (before?.expiresMs ?? Infinity) < timeMs
        : leaseIn(rows, before.lease) === null;
    claim(isDue, () => `${shown(before)} goes at ${index}, and its time is not over at ${timeMs}`);
  }

  /** Of the newest entry that somebody has applied. */
  get newestMs(): number {
    this.scan();
    return this.#changes.timeMs(this.#scanned - 1);
  }

  timeMs(index: number): number {
    return this.#changes.timeMs(index);
  }

  #noteMark(mark: string): void {
    const first = this.#written.get(mark);
    const isForgotten =
      first !== undefined && this.timeMs(this.#scanned) - this.timeMs(first) >= knownMs;
    claim(
      first === undefined || isForgotten,
      () => `${mark} is written at ${first} and ${this.#scanned}`,
    );
    const why = this.#refused.get(mark);
    claim(why === undefined, () => `${why}: and yet ${mark} is written at ${this.#scanned}`);
    this.#written.set(mark, this.#scanned);
  }
}
