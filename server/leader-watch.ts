/** `GET /v1/elections/NAME?watch`: who leads, and everyone who comes to lead. */

import type { RequestHead } from "./answer.ts";
import { leaderEventFields, leaderEventJson } from "./leader-json.ts";
import type { LeaderEvent, LeaderEvents, SessionPort } from "./session-port.ts";
import type { WatchOver } from "./watch/watch-port.ts";
import { isByLine, streamed, unstreamed } from "./watch-routes.ts";

export async function watchLeaders(
  { head, name }: { readonly head: RequestHead; readonly name: string },
  sessions: SessionPort,
): Promise<Response> {
  const given = new AbortController();
  const watch = await sessions.watchLeaders(name, { signal: given.signal });
  if (!watch.ok) return unstreamed(head, watch);
  const encode = isByLine(head) ? leaderLine : serverSentEvent;
  return streamed(head, textsOf(watch.events, encode), given);
}

async function* textsOf(
  events: LeaderEvents,
  encode: (event: LeaderEvent) => string,
): AsyncGenerator<string | WatchOver> {
  for await (const event of events) yield event.type === "over" ? event : encode(event);
}

const leaderLine = (event: LeaderEvent): string => `${JSON.stringify(leaderEventJson(event))}\n`;

const serverSentEvent = (event: LeaderEvent): string =>
  `id: ${event.revision}\nevent: ${event.type}\ndata: ${JSON.stringify(leaderEventFields(event))}\n\n`;
