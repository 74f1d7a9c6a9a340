/** `Idempotency-Key`: sent again, a request is answered again and not done again. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { requestKeptMs, requestKnownMs } from "../../server/state-machine/once.ts";
import { client } from "./asker.ts";

const under = (key: string, body?: string): RequestInit => ({
  headers: { "idempotency-key": key, "content-type": "application/json" },
  ...(body === undefined ? {} : { body }),
});

type Ask = ReturnType<typeof client>["ask"];

/** Asks the same twice, and holds that the second changed nothing and was answered as the first. */
async function assertOnce(ask: Ask, method: string, path: string, body?: string): Promise<void> {
  const what = `${method} ${path}`;
  const first = await ask(method, path, under(what, body));
  const all = (await ask("GET", "/v1/kv")).text.replace(/"revision":\d+\}$/, "");
  const again = await ask(method, path, under(what, body));
  const after = (await ask("GET", "/v1/kv")).text.replace(/"revision":\d+\}$/, "");
  assert.is(after, all, what);
  assert.equal([again.status, again.text], [first.status, first.text], what);
  for (const name of ["etag", "x-kv-revision", "content-type"]) {
    assert.is(again.headers.get(name), first.headers.get(name), `${what}: ${name}`);
  }
  const other = await ask(method, path, under(what, `${body ?? ""} `));
  // A delete of a range has no body that would count.
  if (method === "DELETE" && path.includes("?")) return;
  const isRefused = other.status === 422 || other.status === 400;
  assert.ok(isRefused, `${what} with another body: ${other.status}`);
}

test("every change is done once under its key, and answered with the same again", async () => {
  const { ask } = client();
  await assertOnce(ask, "PUT", "/v1/kv/a", "one");
  await assertOnce(ask, "PUT", "/v1/kv/a?", "two");
  await assertOnce(ask, "POST", "/v1/kv/n?op=incr&by=5");
  await assertOnce(ask, "POST", "/v1/kv/n?op=max&value=9");
  await assertOnce(ask, "POST", "/v1/kv/t?op=append", "end");
  await assertOnce(ask, "POST", "/v1/kv/t?op=getdel");
  await assertOnce(ask, "POST", "/v1/kv/t?op=getdel&");
  await assertOnce(ask, "POST", "/v1/kv/a?op=incr");
  const txn = {
    if: [{ key: "a", exists: true }],
    then: [
      { op: "incr", key: "n", by: 1 },
      { op: "get", key: "a" },
      { op: "range", prefix: "" },
      { op: "append", key: "l", value: "." },
      { op: "put", key: "p", value: "v" },
      { op: "delete", key: "p" },
      { op: "deleteRange", prefix: "p" },
    ],
  };
  await assertOnce(ask, "POST", "/v1/txn", JSON.stringify(txn));
  await assertOnce(ask, "DELETE", "/v1/kv/a");
  await assertOnce(ask, "DELETE", "/v1/kv?prefix=");
});

test("a key that stands for another request is refused with 422, and nothing is done", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/k", under("r", "one"));
  const others = [
    ["PUT", "/v1/kv/k", "two"],
    ["PUT", "/v1/kv/other", "one"],
    ["DELETE", "/v1/kv/k", undefined],
    ["POST", "/v1/kv/k?op=getdel", undefined],
  ] as const;
  for (const [method, path, body] of others) {
    const { status, json } = await ask(method, path, under("r", body));
    const { code, outcome, field } = json;
    assert.is(status, 422, `${method} ${path}`);
    const expected = ["idempotency_mismatch", "not_applied", "idempotency-key"];
    assert.equal([code, outcome, field], expected);
  }
  assert.is((await ask("GET", "/v1/kv/k")).text, "one");
  assert.is((await ask("GET", "/v1/kv/other")).status, 404);
});

test("a refusal for what was found is remembered too", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/k", { body: "no number" });
  const first = await ask("POST", "/v1/kv/k?op=incr", under("r"));
  assert.is(first.status, 409);
  await ask("PUT", "/v1/kv/k", { body: "1" });
  const again = await ask("POST", "/v1/kv/k?op=incr", under("r"));
  assert.equal([again.status, again.text], [409, first.text]);
  const when = { ...under("s", "v"), headers: { "idempotency-key": "s", "if-match": '"999"' } };
  assert.is((await ask("PUT", "/v1/kv/k", when)).status, 412);
  assert.is((await ask("PUT", "/v1/kv/k", when)).status, 412);
  // The same request without the condition is the same request still.
  assert.is((await ask("PUT", "/v1/kv/k", { ...under("s", "v") })).status, 412);
});

test("a request whose time is over is refused, and its key is free again later", async () => {
  const { ask, store } = client();
  await ask("POST", "/v1/kv/n?op=incr", under("r"));
  store.timeMs = requestKeptMs - 1;
  assert.equal((await ask("POST", "/v1/kv/n?op=incr", under("r"))).json["value"], 1);
  store.timeMs = requestKeptMs;
  const late = await ask("POST", "/v1/kv/n?op=incr", under("r"));
  assert.equal([late.status, late.json["code"]], [422, "idempotency_mismatch"]);
  assert.match(late.text, /too long ago/);
  store.timeMs = requestKnownMs;
  assert.equal((await ask("POST", "/v1/kv/n?op=incr", under("r"))).json["value"], 2);
});

test("a key that is none is refused, and nothing is done", async () => {
  const { ask, store } = client();
  for (const key of ["", "x".repeat(256), "caf\u{e9}"]) {
    for (const [method, path] of [
      ["PUT", "/v1/kv/k"],
      ["DELETE", "/v1/kv/k"],
      ["POST", "/v1/kv/k?op=incr"],
      ["DELETE", "/v1/kv?prefix=a"],
    ] as const) {
      const { status, json } = await ask(method, path, under(key));
      const { field, outcome } = json;
      assert.equal([status, field, outcome], [400, "idempotency-key", "not_applied"]);
    }
  }
  assert.is(store.writes, 0);
});

test("a read has no use for a key and takes no harm from it", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/k", { body: "v" });
  assert.is((await ask("GET", "/v1/kv/k", under("r"))).text, "v");
});

test.run();
