/** Whatever cannot be sent, or read, is a KvError: a rejection, with the outcome where it is of a write. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { connect, json, KvError, type Client, type Duration } from "../../client/client.ts";
import { failureOf } from "./errors.ts";
import { fakeClient, written } from "./fake-server.ts";

type Refused = (kv: Client) => Promise<unknown>;

const half = "\ud800";
const circular: { self?: object } = {};
circular.self = circular;

const writes: [what: string, field: string, write: Refused][] = [
  ["a key that is no text", "key", (kv) => kv.put(half, "x")],
  ["a key to be deleted that is none", "key", (kv) => kv.delete(half)],
  ["a counter's key that is none", "key", (kv) => kv.incr(half)],
  ["a taken key that is none", "key", (kv) => kv.getAndDelete(half)],
  ["a range that is no text", "prefix", (kv) => kv.deleteRange({ prefix: half })],
  ["a lock's name that is no text", "name", (kv) => kv.lock(half)],
  ["a lock's name of a dot", "name", (kv) => kv.lock(".")],
  ["a value that is none", "value", (kv) => kv.put("k", undefined as unknown as string)],
  ["a time below zero", "ttl", (kv) => kv.put("k", "x", { ttl: -1 })],
  ["a counter's time below zero", "ttl", (kv) => kv.incr("k", 1, { ttl: -1 })],
  ["a touch with no time", "ttl", (kv) => kv.touch("k", 0)],
  ["a lease without end", "ttl", (kv) => kv.lease(Infinity)],
  ["a lock's time that is none", "ttl", (kv) => kv.lock("l", { ttl: "soon" })],
  ["a lock's wait that is none", "wait", (kv) => kv.lock("l", { wait: -1 })],
  ["a header that is none", "contentType", (kv) => kv.put("k", "x", { contentType: "a\nb" })],
  ["a key no header holds", "idempotencyKey", (kv) => kv.put("k", "x", { idempotencyKey: "ä" })],
  ["JSON in a circle", "value", (kv) => kv.typed(json<unknown>()).put("c", circular)],
  ["what JSON has not", "value", (kv) => kv.typed(json<unknown>()).put("u", undefined)],
];

for (const [what, field, write] of writes) {
  test(`${what} is refused, and nothing was applied`, async () => {
    const { kv, asked } = fakeClient(() => written(1));
    const { code, field: named, outcome } = await failureOf(write(kv));
    assert.equal([code, named, outcome], ["bad_request", field, "not_applied"]);
    assert.is(asked.length, 0);
  });
}

const first = (rows: AsyncIterator<unknown>): Promise<unknown> => rows.next();

const reads: [what: string, field: string, read: Refused][] = [
  ["a key that is no text", "key", (kv) => kv.get(half)],
  ["a listing of what is no text", "start", (kv) => first(kv.list({ start: half }))],
  ["a watch of what is no text", "key", (kv) => first(kv.watch({ key: half }))],
  ["a negative number of rows", "limit", (kv) => first(kv.list({ limit: -1 }))],
  ["no number of rows", "limit", (kv) => first(kv.list({ limit: Number.NaN }))],
  ["an age that is none", "maxStale", (kv) => kv.get("k", { maxStale: -1 })],
];

for (const [what, field, read] of reads) {
  test(`to read, ${what} is refused`, async () => {
    const { kv, asked } = fakeClient(() => written(1));
    const { code, field: named, outcome } = await failureOf(read(kv));
    assert.equal([code, named, outcome], ["bad_request", field, undefined]);
    assert.is(asked.length, 0);
  });
}

test("a value that its reader cannot read says why", async () => {
  const { kv } = fakeClient((_, turn) => (turn === 1 ? plain("{") : plain("\xff")));
  const isCause = (cause: unknown): boolean => cause instanceof SyntaxError;
  const typed = await failureOf(kv.typed(json<unknown>()).get("k"));
  assert.equal([typed.code, isCause(typed.cause)], ["undecodable", true]);
  const entry = await kv.get("k");
  assert.throws(
    () => entry?.json(),
    (error: unknown) => KvError.is(error, "undecodable"),
  );
});

const plain = (value: string): Response =>
  new Response(value, { headers: { "X-KV-Revision": "1" } });

test("a time without a unit, which would be read in two ways, says what would be right", async () => {
  const { kv, asked } = fakeClient(() => written(1));
  assert.match(
    (await failureOf(kv.put("k", "x", { ttl: "30" }))).message,
    /write "30s", or a number/,
  );
  const times: [Duration, string][] = [
    [30, "30ms"],
    ["30s", "30000ms"],
    ["1.5s", "1500ms"],
  ];
  for (const [ttl, sent] of times) {
    await kv.put("k", "x", { ttl });
    assert.is(asked.at(-1)?.path, `/v1/kv/k?ttl=${sent}`);
  }
});

test("an endpoint with more than a host and a port is refused and not shortened", () => {
  for (const endpoint of ["http://h/nope", "h:1/?x", "http://u:p@h", "h:1/#"]) {
    assert.throws(() => connect(endpoint), /is more than http:\/\/h/, endpoint);
  }
  for (const endpoint of ["http://h/", "h:1", " https://h:1 "]) connect(endpoint).close();
});

test("a key of dots is written with the answer that other keys have", async () => {
  const answer = '{"succeeded":true,"results":[{"revision":7}],"revision":7}';
  const { kv } = fakeClient(() => new Response(answer));
  assert.equal(await kv.put("..", "x"), { revision: 7 });
});

test.run();
