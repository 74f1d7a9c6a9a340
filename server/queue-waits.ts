/** Waiting in the queue of a lock or an election, for whoever is in front to go. */

import type { Failure, Result } from "./client-port.ts";
import type { SessionStore } from "./store-sessions.ts";
import { afterKey } from "./state-machine/key-range.ts";
import { placeKey, queuePrefix, type Queue } from "./state-machine/hidden-rows.ts";
import { transactionOf } from "./state-machine/transaction.ts";

export interface Place {
  readonly queue: Queue;
  readonly token: number;
  readonly lease: number;
  /** Of a lease that was granted with the place: it is kept alive while it waits. Null: of another. */
  readonly ownTtlMs: number | null;
}

export interface Waiting {
  readonly store: SessionStore;
  readonly nowMs: () => number;
  /** How long at the most; 0: only if the place is the first at once. */
  readonly waitMs: number;
  /** The client has gone. */
  readonly gone: AbortSignal;
}

/**
 * - `first`: it is its turn, as of a moment ago.
 * - `late`: others are still in front.
 * - `lost`: the place is gone, because its lease is.
 */
export type Turn = "first" | "late" | "lost" | Failure;

/** Renewals in the time that a lease has. */
const renewalsPerTtl = 3;

/** A place that waits in vain is given up, but for where this node can wait no longer. */
export async function turnOf(place: Place, waiting: Waiting): Promise<Turn> {
  const turn = await awaitTurn(place, waiting);
  if (turn === "late") await withdraw(place, waiting.store);
  return turn;
}

async function awaitTurn(place: Place, waiting: Waiting): Promise<Turn> {
  const { nowMs, waitMs, gone } = waiting;
  const endMs = nowMs() + waitMs;
  for (;;) {
    const seen = await look(place, waiting.store);
    if (!seen.ok) return seen;
    if (seen.isLost) return "lost";
    if (gone.aborted) return "late";
    if (seen.before === null) return "first";
    const leftMs = endMs - nowMs();
    if (leftMs <= 0) return "late";
    const { ownTtlMs } = place;
    const renewMs = ownTtlMs === null ? leftMs : Math.ceil(ownTtlMs / renewalsPerTtl);
    const keys = [seen.before, placeKey(place.queue, place.token)];
    const failure = await untilGone(keys, waiting, {
      since: seen.revision,
      forMs: Math.min(leftMs, renewMs),
    });
    if (failure !== null) return failure;
    // Also before it is the first: then it has all of its time.
    const kept = await renewed(place, waiting.store);
    if (kept !== "first") return kept;
  }
}

type Seen = Result<{
  readonly isLost: boolean;
  /** The key of the place right in front; null where there is none. */
  readonly before: string | null;
  readonly revision: number;
}>;

async function look({ queue, token }: Place, store: SessionStore): Promise<Seen> {
  const own = placeKey(queue, token);
  const answer = await store.list({
    prefix: queuePrefix(queue),
    end: afterKey(own),
    reverse: true,
    limit: 2,
    keysOnly: true,
    // Reading what this node has is enough: what it learns later wakes us.
    level: "local",
    minRevision: token,
  });
  if (!answer.ok) return answer;
  const [last, before] = answer.rows;
  const { revision } = answer;
  return { ok: true, isLost: last?.key !== own, before: before?.key ?? null, revision };
}

/** `first` where nothing has to be done, or was. */
async function renewed({ lease, ownTtlMs }: Place, store: SessionStore): Promise<Turn> {
  if (ownTtlMs === null) return "first";
  const answer = await store.transact(transactionOf([], { op: "leaseRenew", lease }));
  if (answer.ok) return "first";
  return answer.code === "not_found" ? "lost" : answer;
}

/** Returns when one of `keys` is gone, or the time is over, or the client. */
async function untilGone(
  keys: readonly string[],
  { store, gone }: Waiting,
  { since, forMs }: { readonly since: number; readonly forMs: number },
): Promise<Failure | null> {
  const given = new AbortController();
  const signal = AbortSignal.any([gone, given.signal]);
  const removal = async (key: string): Promise<Failure | null> => {
    const watch = await store.watch({ key, since, forMs, signal });
    // What has happened since is not remembered: it is looked at again.
    if (!watch.ok) return watch.code === "compacted" ? null : watch;
    for await (const batch of watch.batches) {
      for (const event of batch) {
        if (event.type === "over") return event.failure.code === "no_leader" ? event.failure : null;
        if (event.type === "delete" || event.type === "expire") return null;
      }
    }
    return null;
  };
  try {
    return await Promise.race(keys.map(removal));
  } finally {
    given.abort();
  }
}

/** What is not done here is done when the lease ends. */
export async function withdraw({ queue, token }: Place, store: SessionStore): Promise<void> {
  await store.transact(transactionOf([], { op: "leave", key: queue, token }));
}
