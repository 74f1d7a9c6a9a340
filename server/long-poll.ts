/** A read that waits: until the key has changed behind a revision, or the time is over. */

import type { ClientPort, Failure, GetAnswer, ReadOptions } from "./client-port.ts";
import type { Index } from "./raft/entry.ts";
import type { WatchBatches } from "./watch/watch-port.ts";

export interface Wait {
  readonly ms: number;
  /** What the client knows already; undefined: what there is now. */
  readonly after: number | undefined;
}

export type WaitedAnswer =
  | { readonly kind: "answer"; readonly answer: GetAnswer }
  /** Nothing has come; `answer` says what is there. */
  | { readonly kind: "unchanged"; readonly answer: Extract<GetAnswer, { readonly ok: true }> };

/** What it asks of a store. */
export type PolledStore = Pick<ClientPort, "get" | "watch">;

interface Poll {
  readonly store: PolledStore;
  readonly key: string;
  readonly wait: Wait;
  readonly options: ReadOptions;
  /** Nobody waits any more. */
  readonly signal: AbortSignal;
}

export async function getChanged(
  store: PolledStore,
  key: string,
  { wait, options }: { readonly wait: Wait; readonly options: ReadOptions },
): Promise<WaitedAnswer> {
  const given = new AbortController();
  const giveUp = (): void => given.abort();
  options.signal?.addEventListener("abort", giveUp, { once: true });
  if (options.signal?.aborted === true) giveUp();
  try {
    return await changed({ store, key, wait, options, signal: given.signal });
  } finally {
    options.signal?.removeEventListener("abort", giveUp);
    given.abort();
  }
}

const now = (answer: GetAnswer): WaitedAnswer => ({ kind: "answer", answer });

async function changed(poll: Poll): Promise<WaitedAnswer> {
  const { store, key, wait, options, signal } = poll;
  const { after, ms: forMs } = wait;
  const watching = { key, signal, forMs };
  const asked = after === undefined ? watching : { ...watching, since: after };
  let watch = await store.watch(asked);
  const isForgotten = !watch.ok && watch.code === "compacted";
  // A row that is as it was needs no history.
  if (isForgotten) watch = await store.watch(watching);
  if (!watch.ok) return now(named(watch));
  // Heard from the beginning, however long the row takes to be read. It never fails, and ends with
  // `signal`.
  const hearing = firstChange(watch.batches);
  const before = await store.get(key, options);
  if (!before.ok) return now(before);
  if (after !== undefined) {
    const isNew = before.row === null ? isForgotten : before.row.revision > after;
    if (isNew) return now(before);
  }
  const heard = await hearing;
  if (heard !== null) return whatCame(poll, heard);
  // What is said of the row, and of how old that is, is to be true now.
  const answer = await store.get(key, options);
  if (!answer.ok || answer.row?.revision !== before.row?.revision) return now(answer);
  const unchanged = { kind: "unchanged", answer } as const;
  if (after === undefined || answer.row !== null) return unchanged;
  return (await whatWasMissed(poll, { after, answer })) ?? unchanged;
}

/**
 * There is no row. Perhaps there was one at `after`, and the watch was over before it could tell that it
 * has gone: while the row was being read, or history looked through.
 */
async function whatWasMissed(
  poll: Poll,
  { after, answer }: { readonly after: number; readonly answer: GetAnswer },
): Promise<WaitedAnswer | null> {
  const { store, key, signal } = poll;
  const watch = await store.watch({ key, signal, since: after });
  if (!watch.ok) return now(watch.code === "compacted" ? answer : named(watch));
  const missed = await firstChange(watch.batches, { orNothing: true });
  return missed === null ? null : whatCame(poll, missed);
}

async function whatCame(poll: Poll, came: Index | Failure): Promise<WaitedAnswer> {
  if (typeof came !== "number") return now(came);
  const { store, key, options } = poll;
  return now(await store.get(key, { ...options, minRevision: came }));
}

/** Null: nothing came until the end; or, with `orNothing`, until everything that there is was told. */
async function firstChange(
  batches: WatchBatches,
  { orNothing = false }: { readonly orNothing?: boolean } = {},
): Promise<Index | Failure | null> {
  for await (const batch of batches) {
    for (const event of batch) {
      if (event.type === "over") return event.failure;
      if (event.type !== "progress") return event.revision;
      if (orNothing) return null;
    }
  }
  return null;
}

const named = (failure: Failure): Failure =>
  failure.field === "since" ? { ...failure, field: "after" } : failure;
