/** Watching on the node in this process: from when, and what its end is called. */

import type { Failure, Result } from "../client-port.ts";
import type { Leadership } from "../leadership.ts";
import type { ReadAnswer } from "../pending-reads.ts";
import type { Clock, Timer } from "../ports.ts";
import { badRequest } from "../problem.ts";
import { unreachable } from "../raft/assert.ts";
import { rangeOf } from "../selection.ts";
import type { StateMachine } from "../state-machine/port.ts";
import type { Remembered } from "./history-rows.ts";
import { Watches, type Opened, type WatchLimits } from "./watches.ts";
import type { Watched } from "./watch-index.ts";
import type { WatchAnswer, WatchBatches, WatchOptions } from "./watch-port.ts";
import type { WatchEnd, Watcher } from "./watcher.ts";

function watchedOf(options: WatchOptions): Watched {
  const { key, prefix = "", start, end } = options;
  if (key !== undefined) return { kind: "key", key };
  if (start === undefined && end === undefined) return { kind: "prefix", prefix };
  return { kind: "range", range: rangeOf(options) };
}

/** Those of a node that has not applied anything yet; `remembered`: what led to the state that it has. */
export function watchesOf(
  node: { readonly machine: StateMachine; readonly leadership: Pick<Leadership, "leaderId"> },
  options: {
    readonly clock: Clock;
    readonly limits: WatchLimits;
    readonly remembered?: Remembered | null;
  },
): Watches {
  const { machine } = node;
  const { appliedIndex } = machine.applied;
  const hasLeader = (): boolean => node.leadership.leaderId !== null;
  const watches = new Watches({ ...options, appliedIndex, hasLeader });
  machine.watch(watches);
  return watches;
}

/** What a node has of its own, and how it learns whether that is the newest. */
export interface WatchedNode {
  readonly watches: Watches;
  readonly node: {
    readonly leadership: Pick<Leadership, "leaderId">;
    read(done: (answer: ReadAnswer) => void): void;
  };
}

/**
 * Calls `done` once this node can be watched from behind `since`: what it does not know of yet may have
 * been acknowledged elsewhere, and while it knows no leader what comes may come to the others alone.
 */
export function whenKnown(
  { watches, node }: WatchedNode,
  since: number | undefined,
  done: (answer: ReadAnswer) => void,
): void {
  const isCurrent = node.leadership.leaderId !== null;
  if (since !== undefined && since <= watches.appliedIndex && isCurrent) done({ ok: true });
  else node.read(done);
}

export function openWatcher(
  watches: Watches,
  options: WatchOptions,
): Result<{ readonly watcher: Watcher }> {
  const { since, before = false } = options;
  const opened = watches.open(watchedOf(options), since ?? null, before);
  return opened.ok ? opened : refusalOf(opened.error, watches);
}

export function openWatch(
  { watches, clock }: { readonly watches: Watches; readonly clock: Clock },
  options: WatchOptions,
): WatchAnswer {
  const { forMs, signal } = options;
  const opened = openWatcher(watches, options);
  if (!opened.ok) return opened;
  const { watcher } = opened;
  const given = { isOver: signal?.aborted ?? false };
  const giveUp = (): void => {
    given.isOver = true;
    watcher.close();
  };
  // Also where nobody ever asks for the first batch.
  signal?.addEventListener("abort", giveUp, { once: true });
  if (given.isOver) giveUp();
  const timer = forMs === undefined ? null : clock.after(forMs, giveUp);
  return { ok: true, batches: batchesOf(watcher, given, timer) };
}

async function* batchesOf(
  watcher: Watcher,
  given: { readonly isOver: boolean },
  timer: Timer | null,
): WatchBatches {
  try {
    while (!given.isOver) {
      const batch = await watcher.next();
      if (given.isOver) return;
      if (typeof batch === "string") {
        yield [{ type: "over", failure: overOf(batch) }];
        return;
      }
      yield batch;
    }
  } finally {
    timer?.cancel();
    watcher.close();
  }
}

function refusalOf(error: Exclude<Opened, { ok: true }>["error"], watches: Watches): Failure {
  switch (error) {
    case "compacted": {
      const { oldestRevision } = watches;
      const detail =
        `this node remembers changes behind revision ${oldestRevision} only: ` +
        "list what there is, and watch from the listing's revision";
      return { ok: false, code: "compacted", detail, oldestRevision };
    }
    case "future":
      return badRequest(
        `there is no such revision yet; the newest is ${watches.appliedIndex}`,
        "since",
      );
    case "overloaded": {
      const detail = "too many watch on this node; ask another one";
      return { ok: false, code: "overloaded", detail, retryAfterSeconds: 1 };
    }
    case "stopped":
      return overOf("stopped");
    default:
      return unreachable(error);
  }
}

export function overOf(end: WatchEnd): Failure {
  switch (end) {
    case "behind": {
      const detail = "what was not read yet is gone: read faster, or watch less";
      return { ok: false, code: "overloaded", detail };
    }
    case "replaced": {
      const detail = "this node was too far behind the others; watch on from another one";
      return { ok: false, code: "stale", detail };
    }
    case "stopped": {
      const detail = "this node is stopping; ask another one";
      return { ok: false, code: "no_leader", detail, retryAfterSeconds: 1 };
    }
    default:
      return unreachable(end);
  }
}
