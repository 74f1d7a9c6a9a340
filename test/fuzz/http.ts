/** The HTTP application asked without a network: any method, target, header and body. */

import * as assert from "uvu/assert";
import { keyBytesMax, valueBytesMax } from "../../server/state-machine/command.ts";
import { appOf } from "../server/raw-http.ts";
import { MapStore } from "../server/map-store.ts";
import type { Tape } from "./tape.ts";

const methods = ["GET", "PUT", "DELETE", "HEAD", "POST", "OPTIONS", "PATCH", "PROPFIND", "get"];

const paths = [
  "/v1/kv/",
  "/v1/kv",
  "/v1/txn",
  "/v1/leases",
  "/v1/locks/",
  "/v1/elections/",
  "/v1/status",
  "/livez",
  "/readyz",
  "/version",
  "/v1/",
  "/",
  "",
  "*",
  "//v1/kv/k",
  "/v1/kv/../kv/k",
  "http://localhost/v1/kv/k",
  "localhost:80",
] as const;

/** Pieces of keys: what is decoded, what is not, and what somebody decodes twice. */
const pieces = [
  "k",
  "a/b",
  "%20",
  "%2F",
  "%00",
  "%2e%2e",
  "..",
  ".",
  "//",
  "%",
  "%4",
  "%zz",
  "%C3%A4",
  "%FF",
  "%ED%A0%80",
  "%EF%BB%BF",
  "+",
  "__proto__",
  "constructor",
  ":",
  "*",
  ":key{.*}",
  "ä",
  "\ud800",
  "#",
  "\\",
  " ",
  "\t",
  "%25252F",
  "x".repeat(keyBytesMax - 1),
  "%61".repeat(keyBytesMax),
] as const;

const parameters = [
  "level",
  "prefix",
  "limit",
  "cursor",
  "keys",
  "ttl",
  "op",
  "wait",
  "__proto__",
  "%",
  "",
] as const;

const parameterValues = [
  "",
  "local",
  "linearizable",
  "0",
  "1",
  "10000",
  "1e3",
  "99999999999999999999",
  "true",
  "k",
  "aw",
  "%",
  "%FF",
  "%00",
  "\ud800",
  "&",
  "incr",
] as const;

const headers: readonly (readonly [string, readonly string[]])[] = [
  ["host", ["localhost", "localhost:1", "evil", "", "[::1", "127.0.0.1:80"]],
  ["origin", ["null", "http://localhost", "https://friend.example", "http://evil", ""]],
  ["content-type", ["text/plain", "", "x".repeat(300), "é", "application/json"]],
  ["content-length", ["0", "3", "-1", "1e9", "1073741824", "3, 3", "00", " 3"]],
  ["content-encoding", ["gzip", "identity", ""]],
  ["content-range", ["bytes 0-1/2"]],
  ["if-none-match", ["*", '"1"', 'W/"1", "2"', "", '"']],
  ["if-match", ['"1"', "*"]],
  ["ttl", ["30s"]],
  ["idempotency-key", ["a"]],
  ["accept", ["application/x-ndjson", "*/*", "\u00e9"]],
  ["access-control-request-method", ["PUT"]],
  ["transfer-encoding", ["chunked"]],
  ["expect", ["100-continue"]],
];

interface Asked {
  readonly method: string;
  readonly target: string;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer> | null;
}

function drawTarget(tape: Tape): string {
  let target: string = tape.pick(paths);
  for (let count = tape.below(4); count > 0; count--) {
    target += tape.once(4) ? String.fromCharCode(tape.byte()) : tape.pick(pieces);
  }
  for (let count = tape.below(4); count > 0; count--) {
    const mark = target.includes("?") ? "&" : "?";
    target += `${mark}${tape.pick(parameters)}=${tape.pick(parameterValues)}`;
  }
  return target;
}

function draw(tape: Tape): Asked {
  const given = new Headers();
  const method = tape.once(16) ? drawToken(tape) : tape.pick(methods);
  const target = drawTarget(tape);
  for (let count = tape.below(4); count > 0; count--) {
    const [name, values] = tape.pick(headers);
    try {
      given.set(name, tape.pick(values));
    } catch {
      // What no header can hold never reaches the application.
    }
  }
  const size = tape.pick([0, 1, 3, 1_000, valueBytesMax, valueBytesMax + 1]);
  const isWithoutBody = tape.once(2) || ["GET", "HEAD"].includes(method.toUpperCase());
  const body = isWithoutBody ? null : new Uint8Array(size).fill(tape.byte());
  return { method, target, headers: given, body };
}

function drawToken(tape: Tape): string {
  const token = Array.from({ length: 1 + tape.below(12) }, () => 65 + tape.below(26));
  const name = String.fromCharCode(...token);
  return ["CONNECT", "TRACE", "TRACK"].includes(name) ? "X" : name;
}

/** The request as a listener would make it: the target beside it, as it came. */
function requestOf({ method, target, headers: given, body }: Asked): Request | null {
  const isPlain = /^\/[\w/.-]*$/.test(target);
  try {
    const init: RequestInit = { method, headers: given, body };
    return new Request(`http://localhost${isPlain ? target : "/"}`, init);
  } catch {
    return null;
  }
}

/** Every status the interface knows; 500 is a bug. */
const statuses = new Set([
  200, 201, 204, 304, 400, 403, 404, 405, 409, 412, 413, 414, 415, 421, 429, 501, 503, 504, 507,
]);

async function check(method: string, target: string, response: Response): Promise<void> {
  const what = `${method} ${target.slice(0, 80)}: ${response.status}`;
  assert.ok(statuses.has(response.status), what);
  const text = await response.text();
  if (response.status < 400) return;
  assert.is(response.headers.get("content-type"), "application/problem+json", what);
  if (method === "HEAD") return;
  const problem = JSON.parse(text) as Record<string, unknown>;
  assert.is(problem["status"], response.status, what);
  assert.type(problem["code"], "string", what);
  assert.ok(typeof problem["detail"] === "string" && problem["detail"].length > 5, what);
  const isRead = ["GET", "HEAD", "OPTIONS"].includes(method);
  if (!isRead) assert.ok(["not_applied", "unknown"].includes(String(problem["outcome"])), what);
  if (response.status === 405) assert.ok(response.headers.has("allow"), what);
  if ([429, 503].includes(response.status)) assert.ok(response.headers.has("retry-after"), what);
}

const stateOf = ({ rows }: MapStore): string =>
  [...rows.values()].map(({ key, revision }) => `${revision} ${key}`).join("\n");

/** Every answer is one of ours, nothing throws, and what a PUT stored is what a GET gives. */
export async function checkApp(tape: Tape): Promise<void> {
  const bugs: unknown[] = [];
  const store = new MapStore();
  const app = appOf(store, { onBug: (error) => bugs.push(error) });
  for (let count = 1 + tape.below(6); count > 0; count--) {
    const asked = draw(tape);
    const request = requestOf(asked);
    if (request === null) continue;
    const before = stateOf(store);
    const response = await app.fetch(request, { target: asked.target });
    if (bugs.length > 0) throw new Error("the application threw", { cause: bugs[0] });
    // The runtime may have changed it: to upper case, or to GET where it is none that it knows.
    const { method } = request;
    await check(method, asked.target, response.clone());
    const isWrite = ["PUT", "DELETE", "POST"].includes(method);
    if (!isWrite || response.status >= 300) assert.is(stateOf(store), before, "nothing was done");
    if (method !== "PUT" || response.status >= 300) continue;
    const back = await app.fetch(new Request("http://localhost/"), { target: asked.target });
    assert.is(back.status, 200, `what was put at ${asked.target.slice(0, 80)} is there`);
    for (const key of store.rows.keys()) {
      const size = Buffer.byteLength(key);
      assert.ok(size > 0 && size <= keyBytesMax && key.isWellFormed() && !key.includes("\0"));
    }
    const stored = new Uint8Array(await back.arrayBuffer());
    assert.is(Buffer.compare(stored, asked.body ?? new Uint8Array(0)), 0, "as it was put");
    const listing = await app.fetch(new Request("http://localhost/"), { target: "/v1/kv" });
    assert.is(listing.status, 200);
    await listing.json();
  }
}
