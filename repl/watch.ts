/** `watch` at the prompt: a line for each change, until the person has seen enough. */

import type { ClientPort } from "../server/client-port.ts";
import { renderEvent, renderFailure, renderProblem } from "./answers.ts";
import type { ExecuteOptions } from "./execute.ts";

const needsTerminal = renderProblem({
  ok: false,
  column: null,
  detail: "watch goes on until Ctrl-C, which only a terminal has",
  advice: "in a shell: kv watch",
});

/** Returns what there is to say at the end. */
export async function watch(
  store: ClientPort,
  { prefix }: { readonly prefix: string },
  { signal, print }: ExecuteOptions,
): Promise<string> {
  if (signal === undefined || print === undefined) return needsTerminal;
  const answer = await store.watch({ prefix, signal });
  if (!answer.ok) return renderFailure(answer);
  let count = 0;
  for await (const batch of answer.batches) {
    const lines: string[] = [];
    for (const event of batch) {
      if (event.type === "over") return renderFailure(event.failure);
      const line = renderEvent(event);
      if (line !== null) lines.push(line);
    }
    if (lines.length > 0) await print(lines.join("\n"));
    count += lines.length;
  }
  return `(${count} ${count === 1 ? "change" : "changes"})`;
}
