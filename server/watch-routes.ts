/** `/v1/watch`: changes as they come, as server-sent events or one a line. */

import { Buffer } from "node:buffer";
import { responseOf, type RequestHead } from "./answer.ts";
import type { ClientPort, Failure, FailureCode, Result } from "./client-port.ts";
import { keyBytesMax } from "./state-machine/command.ts";
import { methodNotAllowed } from "./key-routes.ts";
import { badRequest, problem } from "./problem.ts";
import { parseFlag, parseQuery, type KnownParameters, type Parameters } from "./query.ts";
import { selectionOf } from "./range-routes.ts";
import { parseRevision } from "./read-parameters.ts";
import { revisionOfText } from "./state-machine/integer.ts";
import { eventLines, serverSentEvents } from "./watch/watch-json.ts";
import type { WatchBatches, WatchEvent, WatchOptions, WatchOver } from "./watch/watch-port.ts";

const selecting = ["prefix", "start", "end"] as const;
const watchParameters: KnownParameters = {
  taken: ["key", ...selecting, "since", "prev"],
  later: [],
};

export async function answerWatch(
  head: RequestHead,
  query: string,
  store: ClientPort,
): Promise<Response> {
  // A head alone would tell nothing that is true a moment later.
  if (head.method !== "GET") return responseOf(methodNotAllowed(head.method, "GET"));
  const parsed = parseQuery(query, watchParameters);
  if (!parsed.ok) return problem(parsed);
  const asked = optionsOf(parsed.parameters, head);
  if (!asked.ok) return problem(asked);
  const given = new AbortController();
  const answer = await store.watch({ ...asked.options, signal: given.signal });
  if (!answer.ok) return unstreamed(head, named(answer, head));
  const withBefore = asked.options.before === true;
  const encode = isByLine(head) ? eventLines : serverSentEvents;
  const batches = textsOf(answer.batches, (events) => encode(events, withBefore));
  return streamed(head, batches, given);
}

/** Where the header won over `since`, it is what is wrong. */
const named = (failure: Failure, { headers }: RequestHead): Failure =>
  failure.field === "since" && isResumed(headers.get(lastEventId))
    ? { ...failure, field: lastEventId }
    : failure;

const lastEventId = "last-event-id";
const isResumed = (id: string | null): id is string => id !== null && id !== "";

export const isByLine = ({ headers }: RequestHead): boolean =>
  headers.get("accept")?.includes("application/x-ndjson") === true;

async function* textsOf(
  batches: WatchBatches,
  encode: (events: readonly WatchEvent[]) => string,
): AsyncGenerator<string | WatchOver> {
  for await (const batch of batches) {
    const [first] = batch;
    if (first?.type === "over") yield first;
    else yield encode(batch as readonly WatchEvent[]);
  }
}

/** A stream of texts that goes on until they end, or the client. Lines or events, as the head asks. */
export function streamed(
  head: RequestHead,
  texts: AsyncGenerator<string | WatchOver>,
  given: AbortController,
): Response {
  const isLines = isByLine(head);
  const type = isLines ? "application/x-ndjson" : eventsType;
  return new Response(bodyOf(texts, given, isLines ? "" : comeBack), { headers: headersOf(type) });
}

/**
 * Why there is no stream. An `EventSource` comes back by itself after every stream that has ended, and
 * after an answer that is none it never does, nor tells its page why (HTML §9.2.2). So where another
 * try may succeed, it is given a stream that ends at once.
 */
export function unstreamed(head: RequestHead, failure: Failure): Response {
  const takesEvents = head.headers.get("accept")?.includes(eventsType) === true;
  const isEventSource = takesEvents && !isByLine(head);
  if (!isEventSource || !passing.has(failure.code)) return problem(failure);
  const text = `${comeBack}: ${failure.code}: ${failure.detail}\n\n`;
  return new Response(text, { headers: headersOf(eventsType) });
}

const eventsType = "text/event-stream";
/** The milliseconds after which an `EventSource` that was cut off tries again. */
const comeBack = "retry: 1000\n";
const passing: ReadonlySet<FailureCode> = new Set(["no_leader", "stale", "timeout"]);

const headersOf = (contentType: string): Record<string, string> => ({
  "Content-Type": contentType,
  "X-Content-Type-Options": "nosniff",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cache-Control": "no-store",
  // A proxy that gathers answers would keep the changes to itself.
  "X-Accel-Buffering": "no",
});

/** `opening` comes with the first text. Nothing is read ahead of what the client takes. */
function bodyOf(
  source: AsyncGenerator<string | WatchOver>,
  given: AbortController,
  opening: string,
): ReadableStream {
  const encoder = new TextEncoder();
  let before = opening;
  return new ReadableStream(
    {
      async pull(controller) {
        const { value, done } = await source.next();
        if (done === true) controller.close();
        else if (typeof value === "string") {
          controller.enqueue(encoder.encode(before + value));
          before = "";
        } else if (value.failure.code === "no_leader") controller.close();
        // Whoever lacks something is to see that the end is missing.
        else controller.error(new Error(value.failure.detail));
      },
      cancel() {
        given.abort();
      },
    },
    { highWaterMark: 0 },
  );
}

function optionsOf(
  parameters: Parameters,
  { headers }: RequestHead,
): Result<{ readonly options: WatchOptions }> {
  const selection = selectionOf(parameters);
  if (!selection.ok) return selection;
  const key = parameters.get("key");
  if (key !== undefined) {
    const other = selecting.find((name) => parameters.has(name));
    if (other !== undefined) return badRequest(`\`${other}\` does not go with \`key\``, other);
    const bytes = Buffer.byteLength(key);
    if (bytes < 1 || bytes > keyBytesMax || key.includes("\0")) {
      return badRequest(`\`key\` is 1 to ${keyBytesMax} bytes without NUL`, "key");
    }
  }
  const prev = parseFlag(parameters, "prev");
  if (!prev.ok) return prev;
  const since = sinceOf(parameters, headers.get(lastEventId));
  if (!since.ok) return since;
  const options = {
    ...selection.selection,
    ...(key === undefined ? {} : { key }),
    ...(since.revision === undefined ? {} : { since: since.revision }),
    before: prev.flag,
  };
  return { ok: true, options };
}

/** A browser that comes back sends the address of its beginning, and in a header how far it came. */
function sinceOf(
  parameters: Parameters,
  id: string | null,
): Result<{ readonly revision: number | undefined }> {
  if (!isResumed(id)) return parseRevision(parameters, "since");
  const revision = revisionOfText(id);
  if (revision !== null) return { ok: true, revision };
  return badRequest("`Last-Event-ID` is the id of an event, a revision", lastEventId);
}
