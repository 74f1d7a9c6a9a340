/** `kv watch`: a line for each change on standard output, until Ctrl-C or until nobody reads them. */

import { renderEvent } from "../repl/answers.ts";
import type { Mode } from "../repl/mode.ts";
import { jsonLine } from "../repl/render.ts";
import type { ClientPort, Failure } from "../server/client-port.ts";
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
  const given = new AbortController();
  const giveUp = (): void => given.abort();
  for (const signal of shutdownSignals) process.on(signal, giveUp);
  for (const event of ["error", "close"]) process.stdout.on(event, giveUp);
  const answer = await store.watch({ ...options, signal: given.signal });
  if (given.signal.aborted) return null;
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

/** Signs of progress are for programs. */
const lineOf = (
  event: WatchEvent,
  { mode, before }: { readonly mode: Mode; readonly before: boolean },
): string | null => (mode === "json" ? jsonLine(eventJson(event, before)) : renderEvent(event));
