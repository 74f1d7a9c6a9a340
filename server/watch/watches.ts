/**
 * Everybody who waits for changes on this node. A change is matched when it is applied, by what is
 * watched; what is found is handed over once a batch, from the history.
 */

import type { Clock, Timer } from "../ports.ts";
import { assert } from "../raft/assert.ts";
import type { Index } from "../raft/entry.ts";
import type { ChangeSink, RowChanged } from "../state-machine/changes.ts";
import { ChangeHistory } from "./change-history.ts";
import { historyOf, rememberedOf, type Remembered } from "./history-rows.ts";
import { WatchIndex, type Watched } from "./watch-index.ts";
import { Watcher, type WatchEnd, type WatcherLimits } from "./watcher.ts";

export interface WatchLimits {
  /** Watchers on this node, long polls among them. */
  readonly watchersMax: number;
  /** Changes that are remembered for those who come back, and their bytes. */
  readonly watchChangesMax: number;
  readonly watchBytesMax: number;
  /** Between two signs that nothing was left out. */
  readonly watchProgressMs: number;
}

const defaultWatcherLimits: WatcherLimits = {
  queuedMax: 1_024,
  batchBytesMax: 256 << 10,
  scanMax: 4_096,
};

/** How often those are looked for that the history has passed. */
const checkMs = 1_000;

export interface WatchesOptions {
  readonly clock: Clock;
  readonly limits: WatchLimits;
  /** Of each watcher. */
  readonly watcherLimits?: WatcherLimits;
  readonly appliedIndex: Index;
  /** Whether this node hears of what is acknowledged elsewhere; without it, it does. */
  readonly hasLeader?: () => boolean;
  /** What led there, as an earlier process has left it; without it the history begins there. */
  readonly remembered?: Remembered | null;
}

/** `future`: the revision is none that this node knows of. */
export type Opened =
  | { readonly ok: true; readonly watcher: Watcher }
  | { readonly ok: false; readonly error: "compacted" | "future" | "overloaded" | "stopped" };

interface Waiting {
  readonly revision: number;
  readonly reached: () => void;
}

export class Watches implements ChangeSink {
  readonly #options: WatchesOptions;
  readonly #history: ChangeHistory;
  readonly #index = new WatchIndex<Watcher>();
  readonly #all = new Set<Watcher>();
  /** Of these something has come, and somebody waits for it. */
  readonly #woken = new Set<Watcher>();
  /** Who waits for a revision to be applied. */
  readonly #waiting = new Set<Waiting>();
  /** What the entry in hand has changed so far. */
  readonly #entry: RowChanged[] = [];
  #appliedIndex: Index;
  #wantingBefore = 0;
  #isFlushing = false;
  #isClosed = false;
  readonly #timers: readonly Timer[];
  /** Kept for all changes together. */
  readonly #found: (watcher: Watcher) => void;

  constructor(options: WatchesOptions) {
    const { clock, limits, appliedIndex, remembered = null } = options;
    const { watchChangesMax: changesMax, watchBytesMax: bytesMax } = limits;
    const bounds = { changesMax, bytesMax };
    this.#options = options;
    this.#appliedIndex = appliedIndex;
    // Of another state there would be a hole.
    const isOfThis = remembered?.appliedIndex === appliedIndex;
    const former = remembered !== null && isOfThis ? historyOf(remembered, bounds) : null;
    this.#history = former ?? new ChangeHistory(appliedIndex, bounds);
    this.#found = (watcher) => {
      if (watcher.push(this.#history.nextPlace - 1)) this.#wake(watcher);
    };
    this.#timers = [
      clock.every(checkMs, () => this.#all.forEach((watcher) => watcher.check())),
      clock.every(limits.watchProgressMs, () => this.#giveSigns()),
    ];
  }

  /** Changes behind this revision can be watched. */
  get oldestRevision(): Index {
    return this.#history.floor;
  }

  get appliedIndex(): Index {
    return this.#appliedIndex;
  }

  get count(): number {
    return this.#all.size;
  }

  get historyBytes(): number {
    return this.#history.bytes;
  }

  /** Changes up to `revision` are not remembered any more; who had not read them yet is told. */
  compact(revision: Index): void {
    assert(revision <= this.#appliedIndex, "what is to come is not given up");
    this.#history.compact(revision);
    for (const watcher of this.#all) watcher.check();
  }

  /** Of the state as it is now, for the next process. */
  get remembered(): Remembered {
    return rememberedOf(this.#history, this.#appliedIndex);
  }

  /** From behind `since` on; null: from now on. */
  open(watched: Watched, since: number | null, wantsBefore: boolean): Opened {
    const history = this.#history;
    if (this.#isClosed) return { ok: false, error: "stopped" };
    if (since !== null && since > this.#appliedIndex) return { ok: false, error: "future" };
    if (since !== null && since < history.floor) return { ok: false, error: "compacted" };
    if (this.#all.size >= this.#options.limits.watchersMax) {
      return { ok: false, error: "overloaded" };
    }
    const { watcherLimits = defaultWatcherLimits } = this.#options;
    const watcher = new Watcher({
      watched,
      wantsBefore,
      history,
      appliedIndex: () => this.#appliedIndex,
      limits: watcherLimits,
      place: since === null ? history.nextPlace : history.placeAfter(since),
      goOn: (waiting) => this.#options.clock.after(0, () => waiting.give()),
      onClose: (closed) => this.#remove(closed),
    });
    this.#all.add(watcher);
    this.#index.add(watcher);
    if (wantsBefore) this.#wantingBefore++;
    return { ok: true, watcher };
  }

  /** Calls `reached` once that revision is applied, maybe at once. Returns how to wait no more. */
  whenApplied(revision: number, reached: () => void): () => void {
    if (this.#appliedIndex >= revision) {
      reached();
      return () => {};
    }
    const waiting = { revision, reached };
    this.#waiting.add(waiting);
    return () => void this.#waiting.delete(waiting);
  }

  /** Whoever waits is told how far he has come: nothing older may be remembered behind the next start. */
  close(): void {
    this.#isClosed = true;
    for (const timer of this.#timers) timer.cancel();
    for (const watcher of this.#all) watcher.progress();
    this.#endAll("stopped");
  }

  // ------------------------------------------------------------------ what the state machine says

  get wantsRowBefore(): boolean {
    return this.#wantingBefore > 0;
  }

  changed(change: RowChanged): void {
    this.#entry.push(change);
  }

  applied(appliedIndex: Index): void {
    this.#appliedIndex = appliedIndex;
    if (this.#entry.length > 0) {
      const isWatched = this.#all.size > 0;
      for (const change of netChanges(this.#entry)) {
        this.#history.add(change, appliedIndex);
        if (isWatched) this.#index.each(change.key, this.#found);
      }
      this.#entry.length = 0;
      this.#history.trim();
    }
    if (this.#waiting.size > 0) this.#scheduleFlush();
  }

  replaced(appliedIndex: Index): void {
    this.#appliedIndex = appliedIndex;
    this.#entry.length = 0;
    this.#endAll("replaced");
    this.#history.restart(appliedIndex);
    if (this.#waiting.size > 0) this.#scheduleFlush();
  }

  // ------------------------------------------------------------------ inside

  /** Whoever watches a node that is cut off is to notice, and to watch another one. */
  #giveSigns(): void {
    if (this.#options.hasLeader?.() === false) return;
    for (const watcher of this.#all) watcher.progress();
  }

  #wake(watcher: Watcher): void {
    this.#woken.add(watcher);
    this.#scheduleFlush();
  }

  /** Behind the batch that is being applied. */
  #scheduleFlush(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    this.#options.clock.soon(() => this.#flush());
  }

  #flush(): void {
    this.#isFlushing = false;
    for (const watcher of this.#woken) watcher.give();
    this.#woken.clear();
    for (const waiting of this.#waiting) {
      if (waiting.revision > this.#appliedIndex) continue;
      this.#waiting.delete(waiting);
      waiting.reached();
    }
  }

  #endAll(end: WatchEnd): void {
    for (const watcher of [...this.#all]) watcher.finish(end);
  }

  #remove(watcher: Watcher): void {
    this.#all.delete(watcher);
    this.#woken.delete(watcher);
    this.#index.remove(watcher);
    if (watcher.wantsBefore) this.#wantingBefore--;
  }
}

/** Each key once, from what stood there before the entry to what stands there after it. */
function netChanges(changes: readonly RowChanged[]): Iterable<RowChanged> {
  if (changes.length === 1) return changes;
  const net = new Map<string, RowChanged>();
  for (const change of changes) {
    const first = net.get(change.key);
    if (first === undefined) {
      net.set(change.key, change);
      continue;
    }
    const { revisionsBefore, rowBefore } = first;
    if (change.row === null && revisionsBefore === null) net.delete(change.key);
    else net.set(change.key, { ...change, revisionsBefore, rowBefore });
  }
  return net.values();
}
