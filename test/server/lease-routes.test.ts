/** Leases over HTTP: granted, kept, shown, ended; what is put with them; and what is refused. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { asJson, client } from "./asker.ts";

test("a lease is granted, shown, kept alive and revoked with its keys", async () => {
  const { ask, store } = client();
  const granted = await ask("POST", "/v1/leases", asJson({ ttl: "10s" }));
  assert.equal([granted.status, granted.json], [201, { id: 1, ttlMs: 10_000 }]);
  assert.is(granted.headers.get("x-kv-revision"), "1");
  assert.is((await ask("PUT", "/v1/kv/a?lease=1", { body: "v" })).status, 201);
  const put = await ask("PUT", "/v1/kv/b", { body: "v", headers: { "x-lease": "1" } });
  assert.is(put.status, 201);
  await ask("POST", "/v1/txn", asJson({ then: [{ op: "put", key: "c", value: "v", lease: 1 }] }));
  const { json } = await ask("GET", "/v1/kv?keys=false");
  assert.equal(
    (json["rows"] as { lease: number }[]).map(({ lease }) => lease),
    [1, 1, 1],
  );
  // A node's time is that of the last entry.
  store.timeMs = 4_000;
  await ask("DELETE", "/v1/kv/none");
  const left = { id: 1, ttlMs: 10_000, remainingMs: 6_000 };
  const shown = await ask("GET", "/v1/leases/1");
  assert.equal(shown.json, left);
  assert.is(shown.headers.get("x-kv-level"), "linearizable");
  assert.is(shown.headers.get("x-kv-revision"), "1");
  const kept = await ask("POST", "/v1/leases/1/keepalive");
  assert.equal([kept.status, kept.json], [200, { id: 1, ttlMs: 10_000 }]);
  assert.equal((await ask("GET", "/v1/leases/1")).json, { ...left, remainingMs: 10_000 });
  const revoked = await ask("DELETE", "/v1/leases/1");
  assert.equal([revoked.status, revoked.json["deleted"]], [200, 3]);
  assert.equal((await ask("GET", "/v1/kv")).json["rows"], []);
});

test("only a write that fails has an outcome", async () => {
  const { ask } = client();
  assert.is((await ask("GET", "/v1/leases/abc")).json["outcome"], undefined);
  assert.is((await ask("DELETE", "/v1/leases/abc")).json["outcome"], "not_applied");
  const whole = await ask("POST", "/v1/leases", asJson([]));
  assert.equal([whole.status, whole.json["field"]], [400, "body"]);
});

test("a lease that is gone is 404 whatever is asked of it, and names itself", async () => {
  const { ask, store } = client();
  const wait = { wait: "5s", lease: 7 };
  const asked = [
    ["GET", "/v1/leases/7", {}],
    ["DELETE", "/v1/leases/7", {}],
    ["POST", "/v1/leases/7/keepalive", {}],
    ["PUT", "/v1/kv/k?lease=7", { body: "v" }],
    ["POST", "/v1/txn", asJson({ then: [{ op: "put", key: "k", value: "v", lease: 7 }] })],
    ["POST", "/v1/locks/a", asJson(wait)],
    ["POST", "/v1/elections/a", asJson({ ...wait, value: "me" })],
  ] as const;
  for (const [method, path, more] of asked) {
    const { status, json } = await ask(method, path, more);
    const field = path === "/v1/txn" ? "then[0].lease" : "lease";
    assert.equal([status, json["code"], json["field"]], [404, "not_found", field], path);
    assert.match(String(json["detail"]), /no lease 7/);
    assert.is(json["outcome"], method === "GET" ? undefined : "not_applied", path);
  }
  assert.is(store.rows.size, 0);
});

test("what is odd about a lease is refused, and nothing is done", async () => {
  const { ask, store } = client();
  const odd = [
    ["POST", "/v1/leases", asJson({}), 400, "ttl"],
    ["POST", "/v1/leases", asJson({ ttl: -1 }), 400, "ttl"],
    ["POST", "/v1/leases", asJson({ ttl: "5s", keys: 1 }), 400, "keys"],
    ["POST", "/v1/leases", { body: '{"ttl":5}' }, 415, "content-type"],
    ["PUT", "/v1/kv/k?lease=x", { body: "v" }, 400, "lease"],
    ["PUT", "/v1/kv/k?lease=0", { body: "v" }, 400, "lease"],
    ["PUT", "/v1/kv/k?lease=1&ttl=5s", { body: "v" }, 400, "lease"],
    ["PUT", "/v1/kv/k?lease=1", { body: "v", headers: { "x-lease": "1" } }, 400, "lease"],
    ["PUT", "/v1/kv/k", { body: "v", headers: { "x-lease": "-1" } }, 400, "x-lease"],
    ["DELETE", "/v1/kv/k", { headers: { "x-lease": "1" } }, 400, "x-lease"],
    ["POST", "/v1/leases/x/keepalive", {}, 404, undefined],
    ["DELETE", "/v1/leases/1/2", {}, 404, undefined],
  ] as const;
  for (const [method, path, more, status, field] of odd) {
    const { json, ...answer } = await ask(method, path, more);
    assert.equal([answer.status, json["field"]], [status, field], `${method} ${path}`);
    assert.is(json["outcome"], "not_applied", path);
  }
  assert.is(store.writes, 0);
});

test("a lease that is granted twice under one idempotency key is one", async () => {
  const { ask } = client();
  const headers = { "idempotency-key": "k", "content-type": "application/json" };
  const more = { body: '{"ttl":"5s"}', headers };
  const first = await ask("POST", "/v1/leases", more);
  const second = await ask("POST", "/v1/leases", more);
  assert.equal([second.status, second.json], [201, first.json]);
});

test.run();
