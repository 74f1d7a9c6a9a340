/** `/v1/txn`: conditions and operations over any keys, all or nothing, in one log entry. */

import type { Answer, RequestHead } from "./answer.ts";
import type { ClientPort, Failure } from "./client-port.ts";
import { onceOf } from "./idempotency.ts";
import { queryOf } from "./key-path.ts";
import { methodNotAllowed } from "./key-routes.ts";
import { refusedHeader } from "./later-headers.ts";
import { parseJson } from "./json-fields.ts";
import { refusal } from "./problem.ts";
import { parseQuery } from "./query.ts";
import { resultJson, transactionOfJson } from "./transaction-json.ts";

const asWrite = { write: true };

const notJson: Failure = {
  ok: false,
  code: "unsupported_media_type",
  detail: "send the transaction as JSON, with `Content-Type: application/json`",
  field: "content-type",
};

export async function answerTransaction(
  call: {
    readonly head: RequestHead;
    readonly target: string;
    readonly body: Uint8Array | Failure;
  },
  store: ClientPort,
): Promise<Answer> {
  const { head, target, body } = call;
  if (head.method !== "POST") return methodNotAllowed(head.method, "POST");
  const query = parseQuery(queryOf(target), { taken: [], later: [] });
  if (!query.ok) return refusal(query, asWrite);
  const refused = refusedHeader(head);
  if (refused !== null) return refusal(refused, asWrite);
  if (!(body instanceof Uint8Array)) return refusal(body, asWrite);
  const type = head.headers.get("content-type") ?? "";
  if (!/^application\/json\s*(;|$)/i.test(type)) return refusal(notJson, asWrite);
  const json = parseJson(body);
  if (!json.ok) return refusal(json, asWrite);
  const read = transactionOfJson(json.value);
  if (!read.ok) return refusal(read, asWrite);
  const once = onceOf(head, { target, body });
  if (!once.ok) return refusal(once, asWrite);
  const answer = await store.transact(read.value, once.once);
  if (!answer.ok) return refusal(answer, asWrite);
  const { succeeded, results, revision } = answer;
  return {
    status: 200,
    headers: {
      "Content-Type": "application/json",
      "X-Content-Type-Options": "nosniff",
      "Cross-Origin-Resource-Policy": "same-origin",
      "Cache-Control": "no-store",
      "X-KV-Revision": String(revision),
    },
    body: JSON.stringify({ succeeded, results: results.map(resultJson), revision }),
  };
}
