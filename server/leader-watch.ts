/** `GET /v1/elections/NAME?watch`: who leads, and everyone who comes to lead. */

import type { Answer, RequestHead } from "./answer.ts";
import { valueJson } from "./json-row.ts";
import { refusal } from "./problem.ts";
import type { Leader, LeaderEvent, LeaderEvents, SessionPort } from "./session-port.ts";
import type { WatchOver } from "./watch/watch-port.ts";
import { isByLine, streamed } from "./watch-routes.ts";

export const leaderJson = (leader: Leader | null): object | null =>
  leader === null ? null : { ...valueJson(leader.value), token: leader.token };

export async function watchLeaders(
  { head, name }: { readonly head: RequestHead; readonly name: string },
  sessions: SessionPort,
): Promise<Answer | Response> {
  const given = new AbortController();
  const watch = await sessions.watchLeaders(name, { signal: given.signal });
  if (!watch.ok) return refusal(watch);
  const encode = isByLine(head) ? leaderLine : serverSentEvent;
  return streamed(head, textsOf(watch.events, encode), given);
}

async function* textsOf(
  events: LeaderEvents,
  encode: (event: LeaderEvent) => string,
): AsyncGenerator<string | WatchOver> {
  for await (const event of events) yield event.type === "over" ? event : encode(event);
}

/** Without its type, which a server-sent event has a field for. */
function fieldsOf(event: LeaderEvent): object {
  const { revision } = event;
  return event.type === "leader" ? { leader: leaderJson(event.leader), revision } : { revision };
}

export const leaderEventJson = (event: LeaderEvent): object => ({
  type: event.type,
  ...fieldsOf(event),
});

const leaderLine = (event: LeaderEvent): string => `${JSON.stringify(leaderEventJson(event))}\n`;

const serverSentEvent = (event: LeaderEvent): string =>
  `id: ${event.revision}\nevent: ${event.type}\ndata: ${JSON.stringify(fieldsOf(event))}\n\n`;
