/** `watch` at the prompt: a line for each change, until the person has seen enough. */

import type { ClientPort } from "../server/client-port.ts";
import { leaderEventJson } from "../server/leader-json.ts";
import { eventJson } from "../server/watch/watch-json.ts";
import type { WatchEvent, WatchOptions } from "../server/watch/watch-port.ts";
import { renderEvent, renderFailure, renderProblem } from "./answers.ts";
import type { ExecuteOptions } from "./execute.ts";
import type { Mode } from "./mode.ts";
import { jsonLine } from "./render.ts";
import { leaderLine } from "./session-reply.ts";

const needsTerminal = (inShell: string): string =>
  renderProblem({
    ok: false,
    column: null,
    detail: "watch goes on until Ctrl-C, which only a terminal has",
    advice: `in a shell: ${inShell}`,
  });

/** Returns what there is to say at the end. */
export async function watch(
  store: ClientPort,
  options: WatchOptions,
  { signal, print, mode }: ExecuteOptions & { readonly mode: Mode },
): Promise<string> {
  if (signal === undefined || print === undefined) return needsTerminal("kv watch");
  const answer = await store.watch({ ...options, signal });
  if (!answer.ok) return renderFailure(answer);
  let count = 0;
  for await (const batch of answer.batches) {
    const lines: string[] = [];
    for (const event of batch) {
      if (event.type === "over") return renderFailure(event.failure);
      const line = eventLine(event, { isJson: mode === "json", before: options.before === true });
      if (line !== null) lines.push(line);
    }
    if (lines.length > 0) await print(lines.join("\n"));
    count += lines.length;
  }
  return changes(count);
}

/** Of an election: a line for each who comes to lead. */
export async function watchLeaders(
  store: ClientPort,
  election: string,
  { signal, print, mode }: ExecuteOptions & { readonly mode: Mode },
): Promise<string> {
  if (signal === undefined || print === undefined) return needsTerminal("kv election watch");
  const answer = await store.sessions.watchLeaders(election, { signal });
  if (!answer.ok) return renderFailure(answer);
  let count = 0;
  for await (const event of answer.events) {
    if (event.type === "over") return renderFailure(event.failure);
    if (event.type === "progress") continue;
    await print(mode === "json" ? jsonLine(leaderEventJson(event)) : leaderLine(event));
    count++;
  }
  return changes(count);
}

const changes = (count: number): string => `(${count} ${count === 1 ? "change" : "changes"})`;

/** One line; null where nothing has changed and a person reads it. */
function eventLine(
  event: WatchEvent,
  { isJson, before }: { readonly isJson: boolean; readonly before: boolean },
): string | null {
  if (!isJson) return renderEvent(event);
  return event.type === "progress" ? null : jsonLine(eventJson(event, before));
}
