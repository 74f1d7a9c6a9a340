/**
 * One watcher: where it stands in the history, and who waits for what comes next. It holds places and
 * no changes, so that one that reads slowly costs no memory: when the history has passed it, it is over.
 */

import type { Index } from "../raft/entry.ts";
import type { Change, ChangeHistory } from "./change-history.ts";
import { isWatched, type Watched } from "./watch-index.ts";
import type { ChangeEvent, WatchEvent } from "./watch-port.ts";

/**
 * - `behind`: it was too slow, and the history has passed it.
 * - `replaced`: another state took the place of the one that was watched, and the way there is not known.
 * - `stopped`: the node stops, or whoever watches has gone.
 */
export type WatchEnd = "behind" | "replaced" | "stopped";

export type WatchBatch = readonly WatchEvent[] | WatchEnd;

export interface WatcherLimits {
  /** Places that wait; with more of them they are looked for in the history again. */
  readonly queuedMax: number;
  /** Of one batch: bytes, but at least one change. */
  readonly batchBytesMax: number;
  /** Places looked at before other work gets a turn. */
  readonly scanMax: number;
}

export interface WatcherOptions {
  readonly watched: Watched;
  readonly wantsBefore: boolean;
  readonly history: ChangeHistory;
  readonly appliedIndex: () => Index;
  readonly limits: WatcherLimits;
  /** From here on. */
  readonly place: number;
  /** It has looked at as much as it may at a time, and wants to go on. */
  readonly goOn: (watcher: Watcher) => void;
  readonly onClose: (watcher: Watcher) => void;
}

const batchEventsMax = 256;

export class Watcher {
  readonly watched: Watched;
  readonly wantsBefore: boolean;
  readonly #options: WatcherOptions;
  /** Places of changes that are known to be for this watcher, in order. */
  #queue: number[] = [];
  /** What is in the history from here on has to be looked through, behind the queue; null: nothing. */
  #scanPlace: number | null;
  /** Of this revision, and of all before it, nothing is left to tell. */
  #toldRevision = -1;
  #owesProgress = true;
  #waiting: ((batch: WatchBatch) => void) | null = null;
  #end: WatchEnd | null = null;

  constructor(options: WatcherOptions) {
    this.#options = options;
    this.watched = options.watched;
    this.wantsBefore = options.wantsBefore;
    this.#scanPlace = options.place;
  }

  get end(): WatchEnd | null {
    return this.#end;
  }

  /** Calls `done` with what came since, as soon as there is something. To be asked again after that only. */
  take(done: (batch: WatchBatch) => void): void {
    this.#waiting = done;
    this.give();
  }

  next(): Promise<WatchBatch> {
    return new Promise((resolve) => this.take(resolve));
  }

  /** The change at `place` is for this watcher. Says whether somebody waits for it. */
  push(place: number): boolean {
    if (this.#scanPlace === null) {
      if (this.#queue.length < this.#options.limits.queuedMax) this.#queue.push(place);
      else this.#scanPlace = place;
    }
    return this.#waiting !== null;
  }

  /** Owes a sign that nothing was left out. */
  progress(): void {
    this.#owesProgress = true;
    this.give();
  }

  /** Ends it where the history has passed it, and not only the rest of a revision that is told. */
  check(): void {
    const { firstPlace, floor } = this.#options.history;
    const next = this.#queue[0] ?? this.#scanPlace;
    if (next === null || next >= firstPlace) return;
    if (this.#queue.length === 0 && this.#toldRevision >= floor) this.#scanPlace = firstPlace;
    else this.finish("behind");
  }

  /** Whoever watches wants no more. */
  close(): void {
    this.finish("stopped");
  }

  finish(end: WatchEnd): void {
    if (this.#end !== null) return;
    this.#end = end;
    this.#queue = [];
    this.#scanPlace = null;
    this.#options.onClose(this);
    this.give();
  }

  /** Hands over what there is, where somebody waits for it. */
  give(): void {
    const resolve = this.#waiting;
    if (resolve === null) return;
    if (this.#end === null) this.check();
    const batch = this.#end ?? this.#take();
    if (typeof batch !== "string" && batch.length === 0) return;
    this.#waiting = null;
    resolve(batch);
  }

  #take(): WatchEvent[] {
    const { history, limits, appliedIndex, goOn } = this.#options;
    const events: WatchEvent[] = [];
    let bytes = 0;
    const isFull = (): boolean => events.length >= batchEventsMax || bytes >= limits.batchBytesMax;
    let taken = 0;
    while (taken < this.#queue.length && !isFull()) {
      const change = history.at(this.#queue[taken] as number);
      taken++;
      events.push(this.#eventOf(change, this.#queueGoesOn(taken, change)));
      bytes += change.bytes;
    }
    this.#queue.splice(0, taken);
    for (
      let steps = 0;
      this.#scanPlace !== null && this.#queue.length === 0 && !isFull();
      steps++
    ) {
      if (this.#scanPlace === history.nextPlace) {
        this.#scanPlace = null;
        break;
      }
      if (steps === limits.scanMax) {
        goOn(this);
        return events;
      }
      const change = history.at(this.#scanPlace);
      this.#scanPlace++;
      if (!isWatched(this.watched, change.key)) continue;
      events.push(this.#eventOf(change, this.#scanGoesOn(this.#scanPlace, change)));
      bytes += change.bytes;
    }
    if (this.#owesProgress && this.#queue.length === 0 && this.#scanPlace === null) {
      this.#owesProgress = false;
      events.push({ type: "progress", revision: appliedIndex() });
    }
    return events;
  }

  /** Whether behind `change`, which was the last of those taken, more of its revision follows. */
  #queueGoesOn(taken: number, change: Change): boolean {
    const { history } = this.#options;
    const next = this.#queue[taken];
    if (next !== undefined) return history.at(next).revision === change.revision;
    return this.#scanPlace !== null && this.#scanGoesOn(this.#scanPlace, change);
  }

  #scanGoesOn(from: number, { revision }: Change): boolean {
    const { history } = this.#options;
    for (let place = from; place < history.nextPlace; place++) {
      const other = history.at(place);
      if (other.revision !== revision) return false;
      if (isWatched(this.watched, other.key)) return true;
    }
    return false;
  }

  #eventOf(change: Change, goesOn: boolean): ChangeEvent {
    const { type, key, row, revision, revisionsBefore } = change;
    if (!goesOn) this.#toldRevision = revision;
    const before = this.wantsBefore ? this.#options.history.rowBefore(change) : null;
    return { type, key, row, revision, isLast: !goesOn, before, revisionsBefore };
  }
}
