/** What a single read tells of a row besides its value comes in headers. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { fakeClient } from "./fake-server.ts";

const answered = (headers: Record<string, string>): Response =>
  new Response("v", {
    headers: { "X-KV-Revision": "7", "Content-Type": "text/plain", ...headers },
  });

test("the write that made the key, and the time that is left", async () => {
  const { kv } = fakeClient((_, turn) =>
    answered(turn === 1 ? { "X-KV-Create-Revision": "3", "X-TTL": "29.5" } : {}),
  );
  const { revision, createRevision, ttlMs, contentType } = (await kv.get("k")) ?? {};
  assert.equal([revision, createRevision, ttlMs, contentType], [7, 3, 29_500, "text/plain"]);
  const other = await kv.get("k");
  assert.equal([other?.createRevision, other?.ttlMs], [7, undefined], "where it is the same");
});

test("of what was taken away the revision is that of the taking", async () => {
  const { kv } = fakeClient(() => answered({}));
  const taken = await kv.getAndDelete("k");
  assert.equal([taken?.revision, taken?.createRevision, taken?.text()], [7, undefined, "v"]);
});

test("a range is deleted so many at a time where a limit is given", async () => {
  const { kv, asked } = fakeClient(
    () => new Response('{"deleted":5,"revision":7}', { headers: { "X-KV-Revision": "7" } }),
  );
  assert.is((await kv.deleteRange({ prefix: "a/" }, { limit: 5 })).deleted, 5);
  assert.is(asked[0]?.path, "/v1/kv?prefix=a%2F&limit=5");
});

test.run();
