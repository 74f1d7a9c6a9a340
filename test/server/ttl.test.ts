/** TTLs over HTTP: what they may be, whom they hold for, and what clears or renews them. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { asJson, client } from "./asker.ts";

type Ask = ReturnType<typeof client>["ask"];

async function ttlOf(ask: Ask, key: string): Promise<unknown> {
  const { json } = await ask("GET", `/v1/kv?prefix=${key}`);
  return (json["rows"] as { ttlMs?: number }[])[0]?.ttlMs;
}

test("a duration is a number with a unit, or a number of seconds", async () => {
  const { ask } = client();
  const durations = { "500ms": 500, "30s": 30_000, "5m": 300_000, "2h": 7_200_000, "1.5": 1_500 };
  for (const [text, ms] of Object.entries({ ...durations, "7d": 604_800_000, 9: 9_000 })) {
    assert.is((await ask("PUT", `/v1/kv/k?ttl=${text}`, { body: "v" })).status < 300, true);
    assert.is(await ttlOf(ask, "k"), ms, text);
    await ask("PUT", "/v1/kv/k", { body: "v", headers: { "x-ttl": text } });
    assert.is(await ttlOf(ask, "k"), ms, text);
  }
});

test("a TTL that is zero, negative, endless or none is refused, and names its field", async () => {
  const { ask, store } = client();
  const odd = ["-1", "0", "0s", "inf", "Infinity", "never", "", "1e9", "9999999d", "5 s", "-5s"];
  for (const text of odd) {
    const query = encodeURIComponent(text);
    const asked: [string, string, RequestInit, string][] = [
      ["PUT", `/v1/kv/k?ttl=${query}`, { body: "v" }, "ttl"],
      ["PUT", "/v1/kv/k", { body: "v", headers: { "x-ttl": text } }, "x-ttl"],
      ["POST", `/v1/kv/k?op=incr&ttl=${query}`, {}, "ttl"],
      ["POST", `/v1/kv/k?op=touch&ttl=${query}`, {}, "ttl"],
      [
        "POST",
        "/v1/txn",
        asJson({ then: [{ op: "put", key: "k", value: "v", ttl: text }] }),
        "then[0].ttl",
      ],
    ];
    for (const [method, path, more, field] of asked) {
      const { status, json } = await ask(method, path, more);
      assert.equal([status, json["field"], json["outcome"]], [400, field, "not_applied"], path);
    }
  }
  const both = await ask("PUT", "/v1/kv/k?ttl=5s", { body: "v", headers: { "x-ttl": "5s" } });
  assert.is(both.status, 400);
  assert.is((await ask("DELETE", "/v1/kv/k", { headers: { "x-ttl": "5s" } })).status, 400);
  assert.is((await ask("POST", "/v1/kv/k?op=max&value=1&ttl=5s")).status, 400);
  assert.is((await ask("POST", "/v1/kv/k?op=touch")).status, 400);
  assert.is(store.writes, 0);
});

test("a read of the key says what is left of it, and when the key was made", async () => {
  const { ask, store } = client();
  const told = async () => {
    const { headers } = await ask("HEAD", "/v1/kv/k");
    return [headers.get("x-ttl"), headers.get("x-kv-create-revision")];
  };
  await ask("PUT", "/v1/kv/k", { body: "v" });
  assert.equal(await told(), [null, null]);
  await ask("PUT", "/v1/kv/k?ttl=30s", { body: "v" });
  store.timeMs = 500;
  await ask("PUT", "/v1/kv/other", { body: "v" });
  assert.equal(await told(), ["29.5", "1"]);
});

test("a put renews or clears it; what changes a value where it is leaves it", async () => {
  const { ask, store } = client();
  await ask("PUT", "/v1/kv/n?ttl=10s", { body: "1" });
  store.timeMs = 4_000;
  await ask("POST", "/v1/kv/n?op=incr&ttl=60s");
  await ask("POST", "/v1/kv/n?op=max&value=9");
  await ask("POST", "/v1/kv/n?op=append", { body: "0" });
  assert.is((await ask("GET", "/v1/kv/n")).text, "90");
  assert.is(await ttlOf(ask, "n"), 6_000);
  await ask("PUT", "/v1/kv/n?ttl=10s", { body: "1" });
  assert.is(await ttlOf(ask, "n"), 10_000);
  await ask("PUT", "/v1/kv/n", { body: "1" });
  assert.is(await ttlOf(ask, "n"), undefined);
  await ask("POST", "/v1/kv/m?op=incr&ttl=60s");
  assert.is(await ttlOf(ask, "m"), 60_000);
});

test("a touch gives a row another time, and leaves its value and its ETag", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/k", { body: "v" });
  const touched = await ask("POST", "/v1/kv/k?op=touch&ttl=30s");
  assert.equal([touched.status, touched.text], [200, '{"key":"k","value":"v","revision":1}']);
  assert.is(await ttlOf(ask, "k"), 30_000);
  const { headers } = await ask("GET", "/v1/kv/k");
  assert.is(headers.get("etag"), '"1"');
  assert.is((await ask("POST", "/v1/kv/none?op=touch&ttl=30s")).status, 404);
});

test("a transaction gives TTLs, and a later condition sees the row as it is", async () => {
  const { ask, store } = client();
  const txn = {
    if: [{ key: "a", exists: false }],
    then: [
      { op: "put", key: "a", value: "v", ttl: 30 },
      { op: "incr", key: "n", ttl: "5s" },
      { op: "touch", key: "a", ttl: "40s" },
      { op: "get", key: "a" },
    ],
  };
  const { json } = await ask("POST", "/v1/txn", asJson(txn));
  assert.is(json["succeeded"], true);
  assert.is((json["results"] as { ttlMs?: number }[])[3]?.ttlMs, 40_000);
  store.timeMs = 1_000;
  await ask("PUT", "/v1/kv/other", { body: "v" });
  assert.is(await ttlOf(ask, "a"), 39_000);
  assert.is(await ttlOf(ask, "n"), 4_000);
});

test.run();
