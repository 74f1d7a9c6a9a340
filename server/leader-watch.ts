/** `GET /v1/elections/NAME?watch`: who leads, and everyone who comes to lead. */

import type { Answer, RequestHead } from "./answer.ts";
import type { ClientPort } from "./client-port.ts";
import { valueJson } from "./json-row.ts";
import { refusal } from "./problem.ts";
import type { Row } from "./state-machine/command.ts";
import { queuePrefix, type Queue } from "./state-machine/hidden-rows.ts";
import type { WatchBatches, WatchOver } from "./watch/watch-port.ts";
import { isByLine, streamed } from "./watch-routes.ts";

export const leaderJson = ({ value, createRevision }: Row) => ({
  ...valueJson(value),
  token: createRevision,
});

export async function watchLeaders(
  { head, queue }: { readonly head: RequestHead; readonly queue: Queue },
  store: ClientPort,
): Promise<Answer | Response> {
  const given = new AbortController();
  const watch = await store.watch({ prefix: queuePrefix(queue), signal: given.signal });
  if (!watch.ok) return refusal(watch);
  const encode = isByLine(head) ? line : serverSentEvent;
  return streamed(head, leaders({ batches: watch.batches, queue, encode }, store), given);
}

type Encode = (type: "leader" | "progress", revision: number, more: object) => string;

const line: Encode = (type, revision, more) => `${JSON.stringify({ type, ...more, revision })}\n`;

const serverSentEvent: Encode = (type, revision, more) =>
  `id: ${revision}\nevent: ${type}\ndata: ${JSON.stringify({ ...more, revision })}\n\n`;

/** Whoever led between two looks, and leads no more, is left out. */
async function* leaders(
  { batches, queue, encode }: { batches: WatchBatches; queue: Queue; encode: Encode },
  store: ClientPort,
): AsyncGenerator<string | WatchOver> {
  let told: string | null = null;
  for await (const batch of batches) {
    const last = batch.at(-1);
    if (last === undefined) continue;
    if (last.type === "over") {
      yield last;
      return;
    }
    const { revision } = last;
    const answer = await store.list({
      prefix: queuePrefix(queue),
      limit: 1,
      level: "local",
      minRevision: revision,
    });
    if (!answer.ok) {
      yield { type: "over", failure: answer };
      return;
    }
    const [first] = answer.rows;
    const leader = first === undefined ? null : leaderJson(first);
    const now = `${first?.createRevision} ${first?.revision}`;
    if (now !== told) yield encode("leader", answer.revision, { leader });
    else if (last.type === "progress") yield encode("progress", revision, {});
    told = now;
  }
}
