/** Reads that wait, for a change or for a recent enough state: who waits how long, and what is said. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { text } from "../../client/client.ts";
import { failureOf } from "./errors.ts";
import { fakeClient, problem, written, type Asked } from "./fake-server.ts";

const unchanged = (): Response => new Response(null, { status: 304 });

/** In milliseconds; 0 where it was not said. */
function timeIn({ path }: Asked | undefined = { path: "" } as Asked, name: string): number {
  return Number(new RegExp(`[?&]${name}=(\\d+)ms`).exec(path)?.[1] ?? 0);
}

test("a read that waits gives the row, undefined where it is gone, null where nothing came", async () => {
  const answers = [written(7), problem(404, "not_found"), unchanged()];
  const { kv, asked } = fakeClient((_, turn) => answers[turn - 1] ?? unchanged());
  const asks = { wait: "30s", after: 3 };
  assert.is((await kv.get("k", asks))?.revision, 7);
  assert.is(await kv.get("k", asks), undefined);
  assert.is(await kv.get("k", asks), null);
  assert.is(await kv.typed(text).get("k", asks), null);
  const { path = "" } = asked[0] ?? {};
  assert.match(path, /^\/v1\/kv\/k\?after=3&wait=(30000|29\d\d\d)ms$/);
});

test("it has its wait and the time of a call besides", async () => {
  const { kv } = fakeClient(() => after(150, unchanged), { timeout: 100 });
  assert.is(await kv.get("k", { wait: 200 }), null);
});

test("another server is asked to wait for what is left", async () => {
  const lost = (): Promise<Response> => after(100, () => Promise.reject(new TypeError("reset")));
  const { kv, asked } = fakeClient((_, turn) => (turn === 1 ? lost() : unchanged()));
  assert.is(await kv.get("k", { wait: 5_000 }), null);
  assert.ok(timeIn(asked[1], "wait") <= 4_910, asked[1]?.path);
  assert.ok(timeIn(asked[1], "wait") > 0, asked[1]?.path);
});

test("what cannot wait, or has nothing to wait for, is refused", async () => {
  const { kv, asked } = fakeClient(unchanged);
  const alone = { after: 3 } as unknown as { readonly wait: number };
  assert.is((await failureOf(kv.get("k", alone))).field, "after");
  assert.is((await failureOf(kv.get("..", { wait: 10 }))).field, "key");
  assert.is((await failureOf(kv.get("k", { wait: 0 }))).field, "wait");
  assert.is(asked.length, 0);
});

test("servers that are not recent enough say so before others are asked", async () => {
  const hold = async (asked: Asked): Promise<Response> => {
    const timeoutMs = timeIn(asked, "timeout");
    // As a server does where it is not told, which is longer than the client has.
    return after(timeoutMs === 0 ? 5_000 : timeoutMs, () => problem(503, "stale"));
  };
  const { kv, asked } = fakeClient(hold, { timeout: 400 });
  for (const read of [
    () => kv.get("k", { minRevision: 1e9 }),
    () => kv.get("k", { maxStale: 1 }),
    () => kv.count({ minRevision: 1e9 }),
    () => kv.list({ minRevision: 1e9 }).next(),
  ]) {
    const error = await failureOf(read());
    assert.equal([error.code, error.status], ["stale", 503]);
  }
  assert.ok(asked.length >= 8, "both were asked each time");
});

test("what a server said is told, though another one said nothing", async () => {
  const stale = (): Response => problem(503, "stale");
  const { kv } = fakeClient(({ origin }) => (origin === "http://one:1" ? stale() : "refused"), {
    timeout: 200,
  });
  assert.is((await failureOf(kv.get("k", { minRevision: 9 }))).code, "stale");
});

test("other reads tell no server how long to wait", async () => {
  const { kv, asked } = fakeClient(() => written(1));
  await kv.get("k", { level: "local" });
  assert.is(asked[0]?.path, "/v1/kv/k?level=local");
});

function after<T>(ms: number, give: () => T | Promise<T>): Promise<T> {
  return new Promise((resolve) => setTimeout(() => resolve(give()), ms));
}

test.run();
