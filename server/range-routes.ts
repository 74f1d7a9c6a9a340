/** `/v1/kv`: many rows, selected by a prefix of their keys, as JSON. */

import { Buffer } from "node:buffer";
import { responseOf } from "./answer.ts";
import type { ClientPort, Failure, ListOptions, Result } from "./client-port.ts";
import { methodNotAllowed, readHeaders } from "./key-routes.ts";
import { defaultLimits } from "./limits.ts";
import { badRequest, notImplemented, problem } from "./problem.ts";
import {
  type KnownParameters,
  parseCount,
  parseFlag,
  parseLevel,
  parseQuery,
  type Parameters,
} from "./query.ts";
import type { Row } from "./state-machine/command.ts";

const listParameters: KnownParameters = {
  taken: ["prefix", "limit", "cursor", "keys", "level"],
  later: ["start", "end", "reverse", "count", "delimiter", "min_revision", "max_stale", "timeout"],
};
const deleteParameters: KnownParameters = { taken: [], later: ["prefix", "start", "end"] };

const rangeMethods = "GET, HEAD, DELETE";
const unselected: Failure = badRequest("name what to delete; there is no deleting of everything");

/** Answers every method on the range that `query` selects. */
export async function answerRange(
  request: Request,
  query: string,
  store: ClientPort,
): Promise<Response> {
  switch (request.method) {
    case "GET":
    case "HEAD":
      return list(request, query, store);
    case "DELETE": {
      const parsed = parseQuery(query, deleteParameters);
      return problem(parsed.ok ? unselected : parsed, { write: true });
    }
    default:
      return responseOf(methodNotAllowed(request.method, rangeMethods));
  }
}

async function list(request: Request, query: string, store: ClientPort): Promise<Response> {
  if (request.headers.get("accept")?.includes("application/x-ndjson") === true) {
    return problem(notImplemented("rows line by line are not implemented yet", "accept"));
  }
  const selection = selectionOf(query);
  if (!selection.ok) return problem(selection);
  const { options } = selection;
  const answer = await store.list(options);
  if (!answer.ok) return problem(answer);
  const last = answer.rows.at(-1);
  const body = JSON.stringify({
    rows: answer.rows.map(options.keysOnly === true ? keyJson : rowJson),
    cursor: answer.more && last !== undefined ? cursorAfter(last.key) : undefined,
    revision: answer.revision,
  });
  const headers = {
    "Content-Type": "application/json",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "X-KV-Revision": String(answer.revision),
    ...readHeaders(answer),
  };
  return new Response(body, { headers });
}

function selectionOf(query: string): Result<{ readonly options: ListOptions }> {
  const parsed = parseQuery(query, listParameters);
  if (!parsed.ok) return parsed;
  const { parameters } = parsed;
  const prefix = parameters.get("prefix") ?? "";
  const level = parseLevel(parameters);
  if (!level.ok) return level;
  const keys = parseFlag(parameters, "keys");
  if (!keys.ok) return keys;
  const limit = parseCount(parameters, "limit", {
    max: defaultLimits.listRowsMax,
    otherwise: defaultLimits.listRowsDefault,
  });
  if (!limit.ok) return limit;
  const cursor = afterOf(parameters, prefix);
  if (!cursor.ok) return cursor;
  const options: ListOptions = {
    prefix,
    after: cursor.after,
    limit: limit.count,
    keysOnly: keys.flag,
    level: level.level,
  };
  return { ok: true, options };
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text of `bytes`, or undefined where they are not UTF-8. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Opaque to clients: the last key that was given, so that a cursor outlives rows and servers. */
function cursorAfter(key: string): string {
  return Buffer.from(key).toString("base64url");
}

function afterOf(
  parameters: Parameters,
  prefix: string,
): Result<{ readonly after: string | null }> {
  const cursor = parameters.get("cursor");
  if (cursor === undefined) return { ok: true, after: null };
  const after = textOf(Buffer.from(cursor, "base64url"));
  if (after === undefined || after === "" || cursorAfter(after) !== cursor) {
    return badRequest("`cursor` is not one that a listing gave", "cursor");
  }
  if (after.startsWith(prefix)) return { ok: true, after };
  return badRequest("`cursor` belongs to a listing of another prefix", "cursor");
}

function keyJson(row: Row): object {
  return { key: row.key, revision: row.revision };
}

/** The row as JSON can hold it: a value that is not UTF-8 text is given in base64. */
function rowJson(row: Row): object {
  const { key, revision, createRevision } = row;
  const contentType = row.contentType ?? undefined;
  const value = textOf(row.value);
  if (value !== undefined) return { key, value, contentType, revision, createRevision };
  const bytes = Buffer.from(row.value.buffer, row.value.byteOffset, row.value.byteLength);
  const valueBase64 = bytes.toString("base64");
  return { key, valueBase64, contentType, revision, createRevision };
}
