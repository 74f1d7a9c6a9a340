/** The keys below a path: listed as one array, and deleted, however many they are. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { client } from "./asker.ts";

async function clientWith(...keys: string[]) {
  const one = client();
  for (const key of keys) await one.store.put(key, new Uint8Array());
  return one;
}

test("the keys below a path are an array, and of none an empty one", async () => {
  const { ask, store } = await clientWith("a", "a/b", "a/b/c", 'a/b/"é', "a/bc", "b");
  store.pageRowsMax = 1;
  const keysAt = async (path: string): Promise<unknown> =>
    JSON.parse((await ask("GET", path)).text);
  assert.equal(await keysAt("/v1/kv/:"), ["a", "a/b", 'a/b/"é', "a/b/c", "a/bc", "b"]);
  assert.equal(await keysAt("/v1/kv/a/b/:"), ['a/b/"é', "a/b/c"]);
  assert.equal(await keysAt("/v1/kv/a/%62/:?level=local"), ['a/b/"é', "a/b/c"]);
  assert.equal(await keysAt("/v1/kv/nothing/:"), []);
});

test("they are deleted, and no others", async () => {
  const { ask, store } = await clientWith("a", "a/b", "a/c", "ab");
  const { status, json } = await ask("DELETE", "/v1/kv/a/:");
  assert.equal([status, json["deleted"]], [200, 2]);
  assert.equal([...store.rows.keys()], ["a", "ab"]);
  assert.is((await ask("DELETE", "/v1/kv/:")).json["deleted"], 2);
  assert.is(store.rows.size, 0);
});

test("more than one entry of the log deletes are deleted in several, or, once, not at all", async () => {
  const { ask, store } = client();
  for (let at = 0; at < 10_001; at++) await store.put(`k/${at}`, new Uint8Array());
  const once = await ask("DELETE", "/v1/kv/k/:", { headers: { "Idempotency-Key": "x" } });
  assert.equal([once.status, store.rows.size], [413, 10_001]);
  assert.is((await ask("DELETE", "/v1/kv/k/:")).json["deleted"], 10_001);
  assert.is(store.rows.size, 0);
});

test("where a later part fails, it is not known what was deleted", async () => {
  const { ask, store } = client();
  for (let at = 0; at < 10_001; at++) await store.put(`k/${at}`, new Uint8Array());
  const deleteRange = store.deleteRange.bind(store);
  store.deleteRange = async (selection, options) => {
    const answer = await deleteRange(selection, options);
    store.failure = { ok: false, code: "no_leader", detail: "gone", outcome: "not_applied" };
    return answer;
  };
  const { status, json } = await ask("DELETE", "/v1/kv/k/:");
  assert.equal([status, json["outcome"]], [503, "unknown"]);
});

test("nothing else is done with them", async () => {
  const { ask, store } = client();
  for (const method of ["PUT", "POST", "PATCH"]) {
    const { status, headers } = await ask(method, "/v1/kv/a/:");
    assert.equal([status, headers.get("allow")], [405, "GET, HEAD, DELETE"]);
  }
  const refused = await ask("DELETE", "/v1/kv/a/:", { headers: { "if-match": "*" } });
  assert.equal([refused.status, refused.json["field"]], [400, "if-match"]);
  assert.is((await ask("DELETE", "/v1/kv/a/:?limit=1")).status, 400);
  assert.is((await ask("GET", "/v1/kv/%zz/:")).status, 400);
  assert.is((await ask("PUT", "/v1/kv/a/%3A", { body: "v" })).status, 201);
  assert.equal([...store.rows.keys()], ["a/:"]);
});

test.run();
