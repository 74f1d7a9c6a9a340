/** What routes have in common whose requests carry a JSON object. */

import type { Answer, RequestHead } from "./answer.ts";
import type { Failure, Result } from "./client-port.ts";
import { onceOf, type Once } from "./idempotency.ts";
import { parseJson } from "./json-fields.ts";
import { queryOf } from "./key-path.ts";
import { refusedHeader } from "./later-headers.ts";
import { badRequest } from "./problem.ts";
import { parseQuery, type Parameters } from "./query.ts";

export interface JsonCall {
  readonly head: RequestHead;
  readonly target: string;
  readonly body: Uint8Array | Failure;
}

const notJson: Failure = {
  ok: false,
  code: "unsupported_media_type",
  detail: "send JSON, with `Content-Type: application/json`",
  field: "content-type",
};

/** Of a request that changes something: its query, with no parameters but those `taken`, and its key. */
function writeIn(
  { head, target, body }: JsonCall,
  taken: readonly string[] = [],
): Result<{ readonly parameters: Parameters; readonly once: Once; readonly bytes: Uint8Array }> {
  const parsed = parseQuery(queryOf(target), { taken, later: [] });
  if (!parsed.ok) return parsed;
  const refused = refusedHeader(head);
  if (refused !== null) return refused;
  if (!(body instanceof Uint8Array)) return body;
  const once = onceOf(head, { target, body });
  return once.ok ? { ...parsed, ...once, bytes: body } : once;
}

/** The same, and the JSON in its body. */
export function jsonIn(
  call: JsonCall,
  taken: readonly string[] = [],
): Result<{ readonly parameters: Parameters; readonly once: Once; readonly value: unknown }> {
  const write = writeIn(call, taken);
  if (!write.ok) return write;
  const type = call.head.headers.get("content-type") ?? "";
  if (!/^application\/json\s*(;|$)/i.test(type)) return notJson;
  const json = parseJson(write.bytes);
  return json.ok ? { ...write, value: json.value } : json;
}

/** The same of a request that has none. */
export function bareIn(
  call: JsonCall,
  taken: readonly string[] = [],
): Result<{ readonly parameters: Parameters; readonly once: Once }> {
  const write = writeIn(call, taken);
  if (!write.ok || write.bytes.byteLength === 0) return write;
  return badRequest("this takes no body; name what it needs in the path and the query", "body");
}

/** Of a read, which is linearizable. */
export const readAnswer = (value: object, revision: number): Answer =>
  jsonAnswer(200, value, { "X-KV-Revision": String(revision), "X-KV-Level": "linearizable" });

export function jsonAnswer(
  status: number,
  value: object,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return {
    status,
    headers: {
      "Content-Type": "application/json",
      "X-Content-Type-Options": "nosniff",
      "Cross-Origin-Resource-Policy": "same-origin",
      "Cache-Control": "no-store",
      ...headers,
    },
    body: JSON.stringify(value),
  };
}
