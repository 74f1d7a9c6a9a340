/** `kv watch`: a line for each change on standard output, until Ctrl-C or until nobody reads them. */

import { renderEvent } from "../repl/answers.ts";
import type { Mode } from "../repl/mode.ts";
import { jsonLine } from "../repl/render.ts";
import { leaderLine } from "../repl/session-reply.ts";
import type { ClientPort, Failure } from "../server/client-port.ts";
import { leaderEventJson } from "../server/leader-json.ts";
import { eventJson } from "../server/watch/watch-json.ts";
import type { WatchEvent, WatchOptions } from "../server/watch/watch-port.ts";
import { shutdownSignals } from "./input.ts";
import { write } from "./output.ts";

/** Null at the orderly end. */
export async function runWatch(
  store: ClientPort,
  options: WatchOptions,
  mode: Mode,
): Promise<Failure | null> {
  const signal = untilGivenUp();
  const answer = await store.watch({ ...options, signal });
  if (signal.aborted) return null;
  if (!answer.ok) return answer;
  for await (const batch of answer.batches) {
    let text = "";
    for (const event of batch) {
      if (event.type === "over") return event.failure;
      const line = lineOf(event, { mode, before: options.before === true });
      if (line !== null) text += `${line}\n`;
    }
    if (text !== "") await write(process.stdout, text);
  }
  return null;
}

/** `kv election watch`: a line for each who comes to lead. Null at the orderly end. */
export async function runLeaderWatch(
  store: ClientPort,
  election: string,
  mode: Mode,
): Promise<Failure | null> {
  const signal = untilGivenUp();
  const answer = await store.sessions.watchLeaders(election, { signal });
  if (signal.aborted) return null;
  if (!answer.ok) return answer;
  for await (const event of answer.events) {
    if (event.type === "over") return event.failure;
    if (mode === "json") await write(process.stdout, `${jsonLine(leaderEventJson(event))}\n`);
    else if (event.type === "leader") await write(process.stdout, `${leaderLine(event)}\n`);
  }
  return null;
}

function untilGivenUp(): AbortSignal {
  const given = new AbortController();
  const giveUp = (): void => given.abort();
  for (const signal of shutdownSignals) process.on(signal, giveUp);
  for (const event of ["error", "close"]) process.stdout.on(event, giveUp);
  return given.signal;
}

/** Signs of progress are for programs. */
const lineOf = (
  event: WatchEvent,
  { mode, before }: { readonly mode: Mode; readonly before: boolean },
): string | null => (mode === "json" ? jsonLine(eventJson(event, before)) : renderEvent(event));
