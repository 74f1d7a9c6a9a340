/**
 * A path that ends in `/:`: the keys below it as one JSON array, and deleting them. It is what
 * unstorage's HTTP driver asks for, which needs no adapter so.
 */

import { responseOf, type RequestHead } from "./answer.ts";
import type { ClientPort, DeleteRangeAnswer, Failure, ListAnswer } from "./client-port.ts";
import { onceOf } from "./idempotency.ts";
import { folderOfPath, pathOf, queryOf } from "./key-path.ts";
import { methodNotAllowed, readHeaders } from "./key-routes.ts";
import { refusedHeader } from "./later-headers.ts";
import { defaultLimits } from "./limits.ts";
import { badRequest, problem } from "./problem.ts";
import { parseQuery } from "./query.ts";
import { readOptionsOf, readParameters } from "./read-parameters.ts";

/** Keys that are asked for, and deleted, at a time. */
const pageKeysMax = defaultLimits.rangeRowsMax;

export async function answerFolder(
  head: RequestHead,
  target: string,
  store: ClientPort,
): Promise<Response> {
  const { method } = head;
  const isRead = method === "GET" || method === "HEAD";
  const folder = folderOfPath(pathOf(target));
  if (!folder.ok) return problem(folder, { write: !isRead });
  if (isRead) return keys(folder.prefix, queryOf(target), store);
  if (method === "DELETE") return clear(head, { target, prefix: folder.prefix }, store);
  return responseOf(methodNotAllowed(method, "GET, HEAD, DELETE"));
}

async function keys(prefix: string, query: string, store: ClientPort): Promise<Response> {
  const parsed = parseQuery(query, { taken: readParameters, later: [] });
  if (!parsed.ok) return problem(parsed);
  const recent = readOptionsOf(parsed.parameters);
  if (!recent.ok) return problem(recent);
  const page = (after: string | null): Promise<ListAnswer> =>
    store.list({ ...recent.options, prefix, after, limit: pageKeysMax, keysOnly: true });
  const first = await page(null);
  if (!first.ok) return problem(first);
  const headers = {
    "Content-Type": "application/json",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "X-KV-Revision": String(first.revision),
    ...readHeaders(first, recent.options),
  };
  return new Response(arrayOf(first, page), { headers });
}

type Page = Extract<ListAnswer, { readonly ok: true }>;

/** What waits in memory is one page. Where a later one fails the stream breaks off. */
function arrayOf(
  first: Page,
  pageAfter: (after: string | null) => Promise<ListAnswer>,
): ReadableStream {
  const encoder = new TextEncoder();
  let page: Page | null = first;
  let opening = "[";
  return new ReadableStream({
    async pull(controller) {
      if (page === null) {
        controller.close();
        return;
      }
      const { rows, more, last }: Page = page;
      const names = rows.map(({ key }) => JSON.stringify(key)).join(",");
      controller.enqueue(encoder.encode(`${opening}${names}${more ? "" : "]"}`));
      if (rows.length > 0) opening = ",";
      if (!more) {
        page = null;
        return;
      }
      const next = await pageAfter(last);
      if (!next.ok) throw new Error(next.detail);
      page = next;
    },
  });
}

async function clear(
  head: RequestHead,
  { target, prefix }: { readonly target: string; readonly prefix: string },
  store: ClientPort,
): Promise<Response> {
  const refused = refusedForm(head, target);
  if (refused !== null) return problem(refused, { write: true });
  const once = onceOf(head, { target, body: new Uint8Array() });
  if (!once.ok) return problem(once, { write: true });
  // What is done once is one entry of the log, and deletes no more than such a one can.
  const isOnce = once.once.idempotencyKey !== undefined;
  const answer = await (isOnce
    ? store.deleteRange({ prefix }, once.once)
    : deleteAll(store, prefix));
  if (!answer.ok) return problem(answer, { write: true });
  const { deleted, revision } = answer;
  const headers = { "Content-Type": "application/json", "X-KV-Revision": String(revision) };
  return new Response(JSON.stringify({ deleted, revision }), { headers });
}

function refusedForm(head: RequestHead, target: string): Failure | null {
  const parsed = parseQuery(queryOf(target), { taken: [], later: [] });
  if (!parsed.ok) return parsed;
  for (const name of ["if-match", "if-none-match"]) {
    if (head.headers.has(name)) return badRequest(`\`${name}\` is for one key`, name);
  }
  return refusedHeader(head);
}

/** However many there are, so many at a time; keys that come meanwhile may stay. */
async function deleteAll(store: ClientPort, prefix: string): Promise<DeleteRangeAnswer> {
  for (let before = 0; ; before += pageKeysMax) {
    const answer = await store.deleteRange({ prefix }, { limit: pageKeysMax });
    if (!answer.ok) return before === 0 ? answer : { ...answer, outcome: "unknown" };
    if (answer.deleted < pageKeysMax) return { ...answer, deleted: before + answer.deleted };
  }
}
