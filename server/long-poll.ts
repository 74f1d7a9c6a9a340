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
  | { readonly kind: "answer"; readonly answer: GetAnswer; readonly revision: Index | null }
  /** Nothing has come; `answer` says what is there. */
  | { readonly kind: "unchanged"; readonly answer: Extract<GetAnswer, { readonly ok: true }> };

/** What it asks of a store. */
export type PolledStore = Pick<ClientPort, "get" | "watch">;

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
    return await changed(store, key, { wait, options, signal: given.signal });
  } finally {
    options.signal?.removeEventListener("abort", giveUp);
    given.abort();
  }
}

async function changed(
  store: PolledStore,
  key: string,
  { wait, options, signal }: { wait: Wait; options: ReadOptions; signal: AbortSignal },
): Promise<WaitedAnswer> {
  const { after, ms: forMs } = wait;
  const now = (answer: GetAnswer): WaitedAnswer => ({ kind: "answer", answer, revision: null });
  const watching = { key, signal, forMs };
  const asked = after === undefined ? watching : { ...watching, since: after };
  let watch = await store.watch(asked);
  const isForgotten = !watch.ok && watch.code === "compacted";
  // A row that is as it was needs no history.
  if (isForgotten) watch = await store.watch(watching);
  if (!watch.ok) return now(named(watch));
  // Heard from the beginning, however long the row takes to be read: when the time is over nothing is
  // told of what was not heard. It never fails, and ends with `signal`.
  const change = firstChange(watch.batches);
  const before = await store.get(key, options);
  if (!before.ok) return now(before);
  if (after !== undefined) {
    const isNew = before.row === null ? isForgotten : before.row.revision > after;
    if (isNew) return now(before);
  }
  const revision = await change;
  if (revision !== null && typeof revision !== "number") return now(revision);
  if (revision !== null) {
    const answer = await store.get(key, { ...options, minRevision: revision });
    return { kind: "answer", answer, revision };
  }
  // What is said of the row, and of how old that is, is to be true now.
  const answer = await store.get(key, options);
  const isSame = answer.ok && answer.row?.revision === before.row?.revision;
  return isSame ? { kind: "unchanged", answer } : now(answer);
}

async function firstChange(batches: WatchBatches): Promise<Index | Failure | null> {
  for await (const batch of batches) {
    for (const event of batch) {
      if (event.type === "over") return event.failure;
      if (event.type !== "progress") return event.revision;
    }
  }
  return null;
}

const named = (failure: Failure): Failure =>
  failure.field === "since" ? { ...failure, field: "after" } : failure;
