/** What the client sends again, and what it must not. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { connect } from "../../client/client.ts";
import { failureOf } from "./errors.ts";
import { fakeClient, problem, written } from "./fake-server.ts";

const broken = (): Promise<never> => Promise.reject(new TypeError("the connection was reset"));

test("a write without an idempotency key that perhaps was done is not sent again", async () => {
  for (const answer of [broken, () => problem(504, "timeout", { outcome: "unknown" })]) {
    const { kv, asked } = fakeClient(answer, { idempotencyKeys: false });
    const error = await failureOf(kv.put("k", "v"));
    assert.is(error.outcome, "unknown");
    assert.is(asked.length, 1);
  }
});

test("a write that surely was not done is sent to another node at once", async () => {
  for (const refusal of [
    () => "refused" as const,
    () => problem(503, "no_leader", { outcome: "not_applied" }),
    () => problem(429, "overloaded", { outcome: "not_applied" }),
  ]) {
    const { kv, asked } = fakeClient((_, turn) => (turn === 1 ? refusal() : written(7)));
    assert.equal(await kv.put("k", "v"), { revision: 7 });
    assert.is(new Set(asked.map(({ origin }) => origin)).size, 2);
  }
});

test("a write is sent again under the idempotency key that it had", async () => {
  const lost = fakeClient((_, turn) => (turn === 1 ? broken() : written(7)));
  assert.equal(await lost.kv.put("k", "v"), { revision: 7 });
  const keys = lost.asked.map(({ headers }) => headers.get("idempotency-key"));
  assert.is(keys.length, 2);
  assert.is(keys[0], keys[1]);
  assert.match(keys[0] ?? "", /^[0-9a-f]{32}$/);
  await lost.kv.put("k", "v");
  assert.is.not(lost.asked[2]?.headers.get("idempotency-key"), keys[0]);
  const own = fakeClient((_, turn) => (turn === 1 ? broken() : written(7)), {
    idempotencyKeys: false,
  });
  await own.kv.put("k", "v", { idempotencyKey: "mine" });
  assert.equal(
    own.asked.map(({ headers }) => headers.get("idempotency-key")),
    ["mine", "mine"],
  );
});

test("once a try was perhaps done, no later refusal makes the outcome certain", async () => {
  const refuse = () => problem(503, "no_leader", { outcome: "not_applied" });
  const { kv } = fakeClient((_, turn) => (turn === 1 ? broken() : refuse()), {
    timeout: 300,
  });
  const error = await failureOf(kv.put("k", "v"));
  assert.equal([error.code, error.outcome], ["no_leader", "unknown"]);
});

test("a read is sent again whatever became of it, and a refusal is final", async () => {
  const { kv } = fakeClient((_, turn) => (turn < 4 ? broken() : written(7)));
  assert.is((await kv.get("k"))?.revision, 7);
  const refused = fakeClient(() => problem(400, "bad_request", { field: "level" }));
  const error = await failureOf(refused.kv.get("k"));
  assert.equal([error.code, error.field, error.outcome], ["bad_request", "level", undefined]);
  assert.is(refused.asked.length, 1);
});

test("a 404 that is not the store's is no word on a key", async () => {
  const { kv } = fakeClient(() => new Response("<h1>Not found</h1>", { status: 404 }));
  const error = await failureOf(kv.get("k"));
  assert.equal([error.code, error.status], ["protocol", 404]);
});

test("a success that is not the store's is told, and leaves a write's outcome open", async () => {
  const { kv } = fakeClient(() => new Response("welcome"));
  const error = await failureOf(kv.put("k", "v"));
  assert.equal([error.code, error.outcome], ["protocol", "unknown"]);
  assert.is((await failureOf(kv.get("k"))).outcome, undefined);
});

test("a browser's own fetch may be given: it is a method of nothing but its window", async () => {
  const receivers = new Set<unknown>();
  const kv = connect("one:1", {
    async fetch(this: unknown) {
      receivers.add(this);
      return written(7);
    },
  });
  await kv.put("k", "v");
  assert.equal([...receivers], [undefined]);
});

test("the token goes with every request", async () => {
  const { kv, asked } = fakeClient(() => written(1), { token: "secret" });
  await kv.put("k", "v");
  assert.is(asked[0]?.headers.get("authorization"), "Bearer secret");
});

test.run();
