/** `/v1/kv`: many rows, selected by their keys, as JSON or one a line; and deleting them. */

import { Buffer } from "node:buffer";
import { responseOf, type RequestHead } from "./answer.ts";
import type {
  ClientPort,
  Failure,
  ListAnswer,
  ListOptions,
  ReadMeta,
  Result,
  Selection,
} from "./client-port.ts";
import { onceOf } from "./idempotency.ts";
import { queryOf } from "./key-path.ts";
import { methodNotAllowed, readHeaders } from "./key-routes.ts";
import { keyJson, rowJson, textOf } from "./json-row.ts";
import { refusedHeader } from "./later-headers.ts";
import { defaultLimits } from "./limits.ts";
import { badRequest, problem } from "./problem.ts";
import {
  type KnownParameters,
  parseCount,
  parseFlag,
  parseQuery,
  type Parameters,
} from "./query.ts";
import { readOptionsOf, readParameters } from "./read-parameters.ts";
import { rowLines } from "./row-lines.ts";
import { keyBytesMax } from "./state-machine/command.ts";
import { compareKeys } from "./state-machine/key-range.ts";

const selecting = ["prefix", "start", "end"] as const;

const listParameters: KnownParameters = {
  taken: [
    ...[...selecting, ...readParameters],
    ...["limit", "cursor", "keys", "reverse", "count", "delimiter"],
  ],
  later: [],
};
const deleteParameters: KnownParameters = { taken: [...selecting, "limit"], later: [] };

const rangeMethods = "GET, HEAD, DELETE";
const unselected: Failure = badRequest(
  "name what to delete: `prefix`, `start` or `end`; only an empty `prefix=` stands for everything",
  "prefix",
);

/** Answers every method on the range that the query of `target` selects. */
export async function answerRange(
  request: RequestHead,
  target: string,
  store: ClientPort,
): Promise<Response> {
  switch (request.method) {
    case "GET":
    case "HEAD":
      return read(request, queryOf(target), store);
    case "DELETE":
      return remove(request, target, store);
    default:
      return responseOf(methodNotAllowed(request.method, rangeMethods));
  }
}

async function read(head: RequestHead, query: string, store: ClientPort): Promise<Response> {
  const parsed = parseQuery(query, listParameters);
  if (!parsed.ok) return problem(parsed);
  const { parameters } = parsed;
  const selection = listOptionsOf(parameters);
  if (!selection.ok) return problem(selection);
  const { options } = selection;
  const counts = parseFlag(parameters, "count");
  if (!counts.ok) return problem(counts);
  if (counts.flag) return count(parameters, options, store);
  const isByLine = head.headers.get("accept")?.includes("application/x-ndjson") === true;
  if (!isByLine) return list(options, store);
  // How many they are is up to the client where it does not say.
  const limit = parameters.has("limit") ? (options.limit ?? null) : null;
  const lines = await rowLines(store, options, limit);
  if (!lines.ok) return problem(lines);
  const headers = { ...rangeHeaders(lines, options), "Content-Type": "application/x-ndjson" };
  return new Response(lines.body, { headers });
}

async function list(options: ListOptions, store: ClientPort): Promise<Response> {
  const answer = await store.list(options);
  if (!answer.ok) return problem(answer);
  const body = JSON.stringify({
    rows: answer.rows.map(options.keysOnly === true ? keyJson : rowJson),
    prefixes: options.delimiter === undefined ? undefined : answer.prefixes,
    cursor: cursorOf(answer),
    revision: answer.revision,
  });
  return new Response(body, { headers: rangeHeaders(answer, options) });
}

/** What only a listing has to do with is refused, rather than left out of account. */
const notCounted = ["limit", "cursor", "keys", "reverse", "delimiter"];

async function count(
  parameters: Parameters,
  options: ListOptions,
  store: ClientPort,
): Promise<Response> {
  const odd = notCounted.find((name) => parameters.has(name));
  if (odd !== undefined) return problem(badRequest(`\`${odd}\` does not go with \`count\``, odd));
  const answer = await store.count(options);
  if (!answer.ok) return problem(answer);
  const { count: found, revision } = answer;
  return new Response(JSON.stringify({ count: found, revision }), {
    headers: rangeHeaders(answer, options),
  });
}

function rangeHeaders(
  answer: ReadMeta & { readonly revision: number },
  asked: ListOptions,
): Record<string, string> {
  return {
    "Content-Type": "application/json",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "X-KV-Revision": String(answer.revision),
    ...readHeaders(answer, asked),
  };
}

async function remove(head: RequestHead, target: string, store: ClientPort): Promise<Response> {
  const parsed = parseQuery(queryOf(target), deleteParameters);
  if (!parsed.ok) return problem(parsed, { write: true });
  const { parameters } = parsed;
  if (!selecting.some((name) => parameters.has(name))) return problem(unselected, { write: true });
  const selection = selectionOf(parameters);
  if (!selection.ok) return problem(selection, { write: true });
  for (const name of ["if-match", "if-none-match"]) {
    if (!head.headers.has(name)) continue;
    return problem(badRequest(`\`${name}\` is for one key`, name), { write: true });
  }
  const refused = refusedHeader(head);
  if (refused !== null) return problem(refused, { write: true });
  const { rangeRowsMax: max } = defaultLimits;
  const limit = parseCount(parameters, "limit", { max, otherwise: max });
  if (!limit.ok) return problem(limit, { write: true });
  const once = onceOf(head, { target, body: new Uint8Array() });
  if (!once.ok) return problem(once, { write: true });
  const answer = await store.deleteRange(selection.selection, {
    ...once.once,
    ...(parameters.has("limit") ? { limit: limit.count } : {}),
  });
  if (!answer.ok) return problem(answer, { write: true });
  const { deleted, revision } = answer;
  const headers = { "Content-Type": "application/json", "X-KV-Revision": String(revision) };
  return new Response(JSON.stringify({ deleted, revision }), { headers });
}

export function selectionOf(parameters: Parameters): Result<{ readonly selection: Selection }> {
  const selection: { prefix?: string; start?: string; end?: string } = {};
  for (const name of selecting) {
    const text = parameters.get(name);
    if (text === undefined) continue;
    if (text.includes("\0")) return badRequest(`\`${name}\` contains a NUL byte`, name);
    if (Buffer.byteLength(text) > keyBytesMax) {
      return badRequest(`\`${name}\` is longer than a key, ${keyBytesMax} bytes`, name);
    }
    selection[name] = text;
  }
  const { start, end } = selection;
  if (start !== undefined && end !== undefined && compareKeys(start, end) > 0) {
    return badRequest("`end` comes before `start`", "end");
  }
  return { ok: true, selection };
}

function listOptionsOf(parameters: Parameters): Result<{ readonly options: ListOptions }> {
  const selection = selectionOf(parameters);
  if (!selection.ok) return selection;
  const recent = readOptionsOf(parameters);
  if (!recent.ok) return recent;
  const keys = parseFlag(parameters, "keys");
  if (!keys.ok) return keys;
  const reverse = parseFlag(parameters, "reverse");
  if (!reverse.ok) return reverse;
  const limit = parseCount(parameters, "limit", {
    max: defaultLimits.listRowsMax,
    otherwise: defaultLimits.listRowsDefault,
  });
  if (!limit.ok) return limit;
  const cursor = afterOf(parameters);
  if (!cursor.ok) return cursor;
  const delimiter = parameters.get("delimiter");
  if (delimiter === "") return badRequest("`delimiter` is empty", "delimiter");
  const options: ListOptions = {
    ...selection.selection,
    after: cursor.after,
    limit: limit.count,
    keysOnly: keys.flag,
    reverse: reverse.flag,
    ...recent.options,
    ...(delimiter === undefined ? {} : { delimiter }),
  };
  return { ok: true, options };
}

/** Opaque to clients: what was given last, so that a cursor outlives rows and servers. */
const cursorAfter = (key: string): string => Buffer.from(key).toString("base64url");

function cursorOf({ more, last }: Extract<ListAnswer, { readonly ok: true }>): string | undefined {
  return more && last !== null ? cursorAfter(last) : undefined;
}

function afterOf(parameters: Parameters): Result<{ readonly after: string | null }> {
  const cursor = parameters.get("cursor");
  if (cursor === undefined) return { ok: true, after: null };
  const after = textOf(Buffer.from(cursor, "base64url"));
  if (after === undefined || after === "" || cursorAfter(after) !== cursor) {
    return badRequest("`cursor` is not one that a listing gave", "cursor");
  }
  if (after.startsWith(parameters.get("prefix") ?? "")) return { ok: true, after };
  return badRequest("`cursor` belongs to a listing of another prefix", "cursor");
}
