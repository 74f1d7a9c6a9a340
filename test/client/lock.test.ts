/** Locks of the client: how they are kept, how their loss is told, and how a place is not lost. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { KvError } from "../../client/client.ts";
import { until } from "../e2e/wait.ts";
import { fakeClient, problem, type Asked, type Handler } from "./fake-server.ts";

const json = (value: object, status = 200): Response =>
  new Response(JSON.stringify(value), { status });
const entered = (): Response => json({ name: "a", token: 7, lease: 7 });

const isEntering = ({ method, path }: Asked): boolean =>
  method === "POST" && path === "/v1/locks/a";
const isRenewal = ({ path }: Asked): boolean => path === "/v1/leases/7/keepalive";

/** A server that gives the lock, and whose other answers are `others`. */
const giving =
  (others: Handler): Handler =>
  (asked, turn) =>
    isEntering(asked) ? entered() : others(asked, turn);

test("a lock is kept alive until it is released by its token, and then no more", async () => {
  const { kv, asked } = fakeClient(giving(() => json({ released: true })));
  const lock = await kv.lock("a", { ttl: 300 });
  assert.equal([lock.name, lock.token, lock.lease], ["a", 7, 7]);
  await until("it is renewed", 5_000, async () => asked.filter(isRenewal).length >= 3);
  assert.is(lock.signal.aborted, false);
  await lock.release();
  assert.equal([asked.at(-1)?.method, asked.at(-1)?.path], ["DELETE", "/v1/locks/a?token=7"]);
  const count = asked.length;
  await new Promise((resolve) => setTimeout(resolve, 250));
  assert.is(asked.length, count);
  assert.is(lock.signal.aborted, false);
});

test("the end of a block gives the lock back, whatever the server says", async () => {
  for (const answer of [() => json({}), () => problem(409, "conflict"), () => "refused" as const]) {
    const { kv, asked } = fakeClient(giving(answer), { timeout: 100 });
    {
      await using lock = await kv.lock("a");
      assert.is(lock.token, 7);
    }
    assert.ok(asked.some(({ method }) => method === "DELETE"));
  }
});

test("a lock whose lease is gone is lost at once", async () => {
  const { kv } = fakeClient(giving(() => problem(404, "not_found", { field: "lease" })));
  const lock = await kv.lock("a", { ttl: 300 });
  await until("it is lost", 1_000, async () => lock.signal.aborted);
  assert.ok(KvError.is(lock.signal.reason, "not_found"));
});

test("a lock that nobody can renew is lost when its time is over, and not before", async () => {
  const { kv } = fakeClient(giving(() => "refused"));
  const askedMs = performance.now();
  const lock = await kv.lock("a", { ttl: 500 });
  await until("it is lost", 5_000, async () => lock.signal.aborted);
  const ms = performance.now() - askedMs;
  assert.ok(ms >= 490 && ms < 2_000, `${ms} ms`);
});

test("closing the client loses its locks", async () => {
  const { kv } = fakeClient(giving(() => json({})));
  const lock = await kv.lock("a");
  kv.close();
  assert.is(lock.signal.aborted, true);
});

test("a lost answer is asked for again under the same key, a lost place under another", async () => {
  const { kv, asked } = fakeClient((question, turn) => {
    if (!isEntering(question)) return json({});
    if (turn === 1) return Promise.reject(new TypeError("the connection was reset"));
    return turn === 2 ? problem(409, "conflict") : entered();
  });
  await (await kv.lock("a")).release();
  const keys = asked.filter(isEntering).map(({ headers }) => headers.get("idempotency-key"));
  assert.is(keys.length, 3);
  assert.is(keys[0], keys[1]);
  assert.is.not(keys[1], keys[2]);
});

test("who does not want to wait, or no longer, hears that it is taken", async () => {
  for (const wait of [0, 250]) {
    const { kv, asked } = fakeClient(() => problem(409, "conflict", { outcome: "not_applied" }));
    const error: unknown = await kv.lock("a", { wait }).catch((reason: unknown) => reason);
    assert.ok(KvError.is(error, "conflict"));
    assert.is(asked.length > 1, wait > 0);
  }
});

test("a lock that was waited for longer than its time is renewed before it is given", async () => {
  let renewals = 0;
  const { kv } = fakeClient(async (question) => {
    if (isRenewal(question)) {
      renewals++;
      return renewals === 1 ? problem(404, "not_found") : json({});
    }
    if (isEntering(question)) await new Promise((resolve) => setTimeout(resolve, 150));
    return isEntering(question) ? entered() : json({});
  });
  const lock = await kv.lock("a", { ttl: 300 });
  assert.is(renewals, 2);
  await lock.release();
});

test.run();
