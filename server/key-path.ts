/**
 * Keys in request paths. They are read from the request target as it was sent: a URL parser would
 * drop dot segments, also percent-encoded ones, and a write would reach another key than was named.
 */

import { Buffer } from "node:buffer";
import type { Failure, Result } from "./client-port.ts";
import { badRequest } from "./problem.ts";
import type { QueueKind } from "./session-port.ts";
import { keyBytesMax } from "./state-machine/command.ts";

export const keyPathPrefix = "/v1/kv/";

/** Every byte escaped: no path of a valid key is longer. */
const escapedKeyCharactersMax = 3 * keyBytesMax;

/** What may not stand in a path unescaped, and what some client has already rewritten if it does. */
const unescaped = /[^!-~]|[\\#]/;
const badEscape = /%(?![0-9A-Fa-f]{2})/;

/**
 * The request target in origin form. `target` is what came over the wire, where the listener knows
 * it; otherwise it is cut out of the URL, whose authority may not contain a slash.
 */
export function targetOf(request: Request, target: string | undefined): string {
  if (target !== undefined) return target;
  const url = request.url;
  const slash = url.indexOf("/", url.indexOf("://") + 3);
  return slash < 0 ? "/" : url.slice(slash);
}

/** The path of a target, without its query. */
export function pathOf(target: string): string {
  const mark = target.indexOf("?");
  return mark < 0 ? target : target.slice(0, mark);
}

/** The query of a target, without its question mark; empty where there is none. */
export function queryOf(target: string): string {
  const mark = target.indexOf("?");
  return mark < 0 ? "" : target.slice(mark + 1);
}

export const keyTooLong: Failure = {
  ok: false,
  code: "key_too_long",
  detail: `the key is longer than ${keyBytesMax} bytes; use a shorter one`,
  field: "key",
};

/** The key that `path`, which starts with `keyPathPrefix`, names: 1 … `keyBytesMax` bytes of UTF-8. */
export function keyOfPath(path: string): Result<{ readonly key: string }> {
  const raw = path.slice(keyPathPrefix.length);
  if (raw === "") return badRequest("the key is empty; a key has at least one byte", "key");
  if (raw.length > escapedKeyCharactersMax) return keyTooLong;
  if (isFolderPath(path)) {
    return badRequest("a path that ends in `:` names no key; send a literal one as %3A", "key");
  }
  const decoded = decodedPath(raw);
  return decoded.ok ? checkLength(decoded.text) : decoded;
}

/** What stands in the rest of a path: UTF-8 without NUL, percent-decoded once. */
export function decodedPath(raw: string): Result<{ readonly text: string }> {
  if (unescaped.test(raw)) {
    return badRequest("the path has a character that must be percent-encoded", "key");
  }
  return raw.includes("%") ? unescape(raw) : { ok: true, text: raw };
}

/** Whether `path`, which starts with `keyPathPrefix`, names the keys below it, and none itself. */
export const isFolderPath = (path: string): boolean => path.endsWith("/:");

/** What the keys below it begin with: all that stands before the `:`. */
export function folderOfPath(path: string): Result<{ readonly prefix: string }> {
  const raw = path.slice(keyPathPrefix.length, -1);
  if (raw === "") return { ok: true, prefix: "" };
  const named = keyOfPath(keyPathPrefix + raw);
  return named.ok ? { ok: true, prefix: named.key } : named;
}

function unescape(raw: string): Result<{ readonly text: string }> {
  if (badEscape.test(raw)) {
    return badRequest("a `%` in the path is not followed by two hex digits; send it as %25", "key");
  }
  let key: string;
  try {
    key = decodeURIComponent(raw);
  } catch {
    return badRequest("the key is not valid UTF-8; escape the bytes of UTF-8 text", "key");
  }
  if (key.includes("\0")) return badRequest("the key contains a NUL byte", "key");
  return { ok: true, text: key };
}

function checkLength(key: string): Result<{ readonly key: string }> {
  // A UTF-16 unit takes three bytes at the most.
  if (key.length * 3 > keyBytesMax && Buffer.byteLength(key) > keyBytesMax) return keyTooLong;
  return { ok: true, key };
}

/** The path that names `key`. */
export const pathOfKey = (key: string): string => keyPathPrefix + pathOfName(key);

/**
 * Any text as the rest of a path. Slashes are escaped too, so that `a/../b` has no dot segment; `.` and
 * `..` are escaped for those who do not parse further, and survive in no URL object.
 */
function pathOfName(name: string): string {
  const escaped = encodeURIComponent(name);
  return /^\.{1,2}$/.test(name) ? escaped.replaceAll(".", "%2E") : escaped;
}

/** Behind which the name of a lock, or of an election, stands. */
export const queuePaths: Readonly<Record<QueueKind, string>> = {
  lock: "/v1/locks/",
  election: "/v1/elections/",
};

/** The path that names a lock or an election. */
export const pathOfQueue = (kind: QueueKind, name: string): string =>
  queuePaths[kind] + pathOfName(name);
