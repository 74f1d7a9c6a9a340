/** A read that waits: until the key has changed behind a revision, or the time is over. */

import type { ClientPort, Failure, GetAnswer, ReadOptions } from "./client-port.ts";
import type { WatchBatches } from "./watch/watch-port.ts";

export interface Wait {
  readonly ms: number;
  /** What the client knows already; undefined: what there is now. */
  readonly after: number | undefined;
}

export type WaitedAnswer =
  | { readonly kind: "answer"; readonly answer: GetAnswer; readonly revision: number | null }
  /** Nothing has come. */
  | { readonly kind: "unchanged" };

export async function getChanged(
  store: ClientPort,
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
  store: ClientPort,
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
  if (after !== undefined) {
    const answer = await store.get(key, options);
    const isNew = answer.ok && (answer.row === null ? isForgotten : answer.row.revision > after);
    if (isNew || !answer.ok) return now(answer);
  }
  const revision = await firstChange(watch.batches);
  if (revision === null) return { kind: "unchanged" };
  if (typeof revision !== "number") return now(revision);
  const answer = await store.get(key, { ...options, minRevision: revision });
  return { kind: "answer", answer, revision };
}

async function firstChange(batches: WatchBatches): Promise<number | Failure | null> {
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
