/** What the routes answer, asked without a network. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Failure } from "../../server/client-port.ts";
import type { Index } from "../../server/raft/entry.ts";
import { client, type Answered } from "./asker.ts";
import { MapStore } from "./map-store.ts";
import { appOf } from "./raw-http.ts";

test("a put creates with 201, replaces with 200, and tells the revision", async () => {
  const { ask } = client();
  const created = await ask("PUT", "/v1/kv/a/b%20c", { body: "one" });
  assert.is(created.status, 201);
  assert.equal(created.json, { key: "a/b c", revision: 1 });
  assert.is(created.headers.get("etag"), '"1"');
  assert.is(created.headers.get("x-kv-revision"), "1");
  assert.is((await ask("PUT", "/v1/kv/a/b%20c", { body: "two" })).status, 200);
});

test("a get gives the bytes, the type and the revision", async () => {
  const { ask } = client();
  const headers = { "content-type": "text/plain" };
  await ask("PUT", "/v1/kv/k", { body: "hello", headers });
  const got = await ask("GET", "/v1/kv/k");
  assert.is(got.status, 200);
  assert.is(got.text, "hello");
  assert.is(got.headers.get("content-type"), "text/plain");
  assert.is(got.headers.get("content-length"), "5");
  assert.is(got.headers.get("etag"), '"1"');
  assert.is(got.headers.get("x-kv-revision"), "1");
  assert.is(got.headers.get("x-kv-level"), "linearizable");
  assert.is(got.headers.get("x-kv-age"), null);
});

test("a missing key is 404 with a problem document and no outcome", async () => {
  const { status, json } = await client().ask("GET", "/v1/kv/nothing");
  assert.is(status, 404);
  assert.is(json["code"], "not_found");
  assert.is("outcome" in json, false);
});

test("delete says whether there was something", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/k", { body: "v" });
  const first = await ask("DELETE", "/v1/kv/k");
  assert.equal([first.status, first.json], [200, { deleted: 1, revision: 2 }]);
  assert.equal((await ask("DELETE", "/v1/kv/k")).json, { deleted: 0, revision: 3 });
});

test("all 256 byte values come back as they were", async () => {
  const { ask, store } = client();
  const body = Uint8Array.from({ length: 256 }, (_, i) => i);
  await ask("PUT", "/v1/kv/k", { body });
  assert.equal([...(store.rows.get("k")?.value ?? [])], [...body]);
  const app = appOf(store);
  const response = await app.request("http://localhost/v1/kv/k");
  assert.equal(new Uint8Array(await response.arrayBuffer()), body);
});

test("an empty value is a value", async () => {
  const { ask } = client();
  assert.is((await ask("PUT", "/v1/kv/k")).status, 201);
  const got = await ask("GET", "/v1/kv/k");
  assert.equal([got.status, got.text, got.headers.get("content-length")], [200, "", "0"]);
});

test("any content type is kept, and none is octet-stream", async () => {
  const { ask, store } = client();
  const form = { "content-type": "application/x-www-form-urlencoded" };
  await ask("PUT", "/v1/kv/form", { body: "a=b", headers: form });
  assert.is((await ask("GET", "/v1/kv/form")).headers.get("content-type"), form["content-type"]);
  await ask("PUT", "/v1/kv/none", { body: new Uint8Array([1]) });
  assert.is(store.rows.get("none")?.contentType, null);
  const none = await ask("GET", "/v1/kv/none");
  assert.is(none.headers.get("content-type"), "application/octet-stream");
});

test("a content type that no header can hold is refused", async () => {
  const { ask } = client();
  const put = (type: string) => ask("PUT", "/v1/kv/k", { headers: { "content-type": type } });
  assert.is((await put(`text/${"x".repeat(250)}`)).status, 201);
  const long = await put(`text/${"x".repeat(251)}`);
  assert.equal([long.status, long.json["field"]], [400, "content-type"]);
  assert.is((await put("text/\u00e4")).status, 400);
});

test("a stored content type that no header can hold does not break reading", async () => {
  const { ask, store } = client();
  await ask("PUT", "/v1/kv/k", { body: "v" });
  const row = store.rows.get("k");
  if (row) store.rows.set("k", { ...row, contentType: "a\r\nb: c" });
  const got = await ask("GET", "/v1/kv/k");
  assert.equal([got.status, got.headers.get("content-type")], [200, "application/octet-stream"]);
});

test("stored pages can do nothing in a browser", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/k", { body: "<script>", headers: { "content-type": "text/html" } });
  const { headers } = await ask("GET", "/v1/kv/k");
  assert.is(headers.get("x-content-type-options"), "nosniff");
  assert.match(headers.get("content-security-policy") ?? "", /sandbox$/);
  assert.is(headers.get("cross-origin-resource-policy"), "same-origin");
});

test("head is a get without the body", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/k", { body: "hello" });
  const { status, text, headers } = await ask("HEAD", "/v1/kv/k");
  assert.equal([status, text, headers.get("content-length")], [200, "", "5"]);
  assert.is((await ask("HEAD", "/v1/kv/nothing")).status, 404);
});

test("levels are taken by name, a lease read is a linearizable one", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/k", { body: "v" });
  const lease = await ask("GET", "/v1/kv/k?level=lease");
  assert.is(lease.headers.get("x-kv-level"), "linearizable");
  const local = await ask("GET", "/v1/kv/k?level=local");
  assert.is(local.headers.get("x-kv-level"), "local");
  assert.is(local.headers.get("x-kv-age"), "12");
  const bad = await ask("GET", "/v1/kv/k?level=dirty");
  assert.equal([bad.status, bad.json["field"]], [400, "level"]);
});

test("what a read was asked to keep to is named in its answer, whatever that is", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/k", { body: "v" });
  const known = { headers: { "if-none-match": '"1"' } };
  for (const [status, path, more] of [
    [200, "/v1/kv/k", {}],
    [304, "/v1/kv/k", known],
    [404, "/v1/kv/none", {}],
    [200, "/v1/kv", {}],
    [200, "/v1/kv/:", {}],
  ] as const) {
    for (const level of ["linearizable", "local"]) {
      const asked = `${path}?min_revision=1&level=${level}`;
      const { status: given, headers } = await ask("GET", asked, more);
      const named = ["x-kv-min-revision", "x-kv-level", "x-kv-revision"].map((name) =>
        headers.get(name),
      );
      assert.equal([given, ...named], [status, "1", level, "1"], asked);
    }
  }
  const plain = await ask("GET", "/v1/kv/none");
  assert.equal([plain.status, plain.headers.get("x-kv-revision")], [404, "1"]);
  assert.is(plain.headers.get("x-kv-min-revision"), null);
});

test("a known revision is answered with 304 and no body", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/k", { body: "v" });
  const get = (tag: string) => ask("GET", "/v1/kv/k", { headers: { "if-none-match": tag } });
  for (const tag of ['"1"', 'W/"1"', '"9", "1"', "*"]) {
    const { status, text, headers } = await get(tag);
    assert.equal([status, text, headers.get("etag")], [304, "", '"1"']);
  }
  assert.is((await get('"2"')).status, 200);
});

test("what a write asks for and is not done yet is refused, and nothing is written", async () => {
  const { ask, store } = client();
  const names = ["if-unmodified-since", "ttl", "lease"];
  for (const name of names) {
    for (const method of ["PUT", "DELETE"]) {
      const { status, json } = await ask(method, "/v1/kv/k", { headers: { [name]: '"1"' } });
      assert.is(status, 501);
      assert.equal([json["outcome"], json["field"]], ["not_applied", name]);
    }
  }
  assert.is((await ask("GET", "/v1/kv/k", { headers: { "if-match": '"1"' } })).status, 501);
  assert.is(store.writes, 0);
});

test("unknown parameters are refused by name, before anything is done", async () => {
  const { ask, store } = client();
  for (const method of ["PUT", "DELETE", "GET"]) {
    const { status, json } = await ask(method, "/v1/kv/k?colour=red");
    assert.equal([status, json["field"]], [400, "colour"]);
  }
  assert.is((await ask("GET", "/v1/kv/k?level=local&level=local")).status, 400);
  assert.is((await ask("GET", "/v1/kv/k?level=%zz")).status, 400);
  assert.is(store.writes, 0);
});

test("partial and encoded values are refused", async () => {
  const { ask, store } = client();
  const part = { "content-range": "bytes 0-1/9" };
  assert.is((await ask("PUT", "/v1/kv/k", { body: "v", headers: part })).status, 400);
  const coded = { "content-encoding": "gzip" };
  assert.is((await ask("PUT", "/v1/kv/k", { body: "v", headers: coded })).status, 415);
  assert.is(store.writes, 0);
});

test("a post on a key needs an operation", async () => {
  const { ask } = client();
  const form = { "content-type": "application/x-www-form-urlencoded" };
  const plain = await ask("POST", "/v1/kv/k", { body: "a=b", headers: form });
  assert.equal([plain.status, plain.json["outcome"]], [400, "not_applied"]);
});

test("a wrong method is 405 and names the right ones", async () => {
  const { ask } = client();
  const key = await ask("PATCH", "/v1/kv/k");
  assert.equal([key.status, key.json["outcome"]], [405, "not_applied"]);
  assert.is(key.headers.get("allow"), "GET, HEAD, PUT, DELETE, POST");
  const range = await ask("PUT", "/v1/kv");
  assert.equal([range.status, range.headers.get("allow")], [405, "GET, HEAD, DELETE"]);
  const status = await ask("POST", "/v1/status");
  assert.equal([status.status, status.headers.get("allow")], [405, "GET, HEAD"]);
});

test("other paths are a 404 problem", async () => {
  const { ask } = client();
  const read = await ask("GET", "/v2/kv/k");
  assert.equal(
    [read.status, read.json["code"], read.json["outcome"]],
    [404, "not_found", undefined],
  );
  assert.is((await ask("POST", "/v1/txn")).json["outcome"], "not_applied");
});

test("a body that was not read is refused for the listener's reason, behind the guard", async () => {
  const store = new MapStore();
  const body: Failure = { ok: false, code: "too_large", detail: "it is larger than that" };
  const put = async (host: string): Promise<Answered["json"]> => {
    const request = new Request(`http://${host}/v1/kv/k`, { method: "PUT" });
    const response = await appOf(store).fetch(request, { target: "/v1/kv/k", body });
    return (await response.json()) as Answered["json"];
  };
  const refused = await put("localhost");
  assert.equal([refused["code"], refused["outcome"]], ["too_large", "not_applied"]);
  assert.is((await put("evil.example"))["code"], "wrong_host");
  assert.is(store.writes, 0);
});

test("a failure of the store is told with its code and outcome", async () => {
  const { ask, store } = client();
  store.failure = { ok: false, code: "timeout", detail: "late", outcome: "unknown" };
  const put = await ask("PUT", "/v1/kv/k", { body: "v" });
  assert.equal([put.status, put.json["outcome"]], [504, "unknown"]);
  store.failure = { ok: false, code: "no_leader", detail: "none" };
  const get = await ask("GET", "/v1/kv/k");
  assert.equal([get.status, get.headers.get("retry-after")], [503, "1"]);
  assert.is((await ask("GET", "/v1/kv")).status, 503);
  assert.is((await ask("GET", "/v1/status")).status, 503);
});

test("a bug in the store is a 500 that admits not to know, and is reported", async () => {
  const bugs: unknown[] = [];
  const { ask, store } = client({ onBug: (error) => bugs.push(error) });
  store.put = () => Promise.reject(new Error("secret detail"));
  const { status, json, text } = await ask("PUT", "/v1/kv/k", { body: "v" });
  assert.equal([status, json["outcome"]], [500, "unknown"]);
  assert.not.match(text, /secret/);
  assert.is(bugs.length, 1);
});

test("a listing gives rows, text as text and bytes as base64", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/a", { body: "\ufeffä", headers: { "content-type": "text/x" } });
  await ask("PUT", "/v1/kv/b", { body: new Uint8Array([255, 0]) });
  const { status, json, headers } = await ask("GET", "/v1/kv");
  assert.is(status, 200);
  assert.is(headers.get("x-kv-level"), "linearizable");
  assert.equal(json, {
    rows: [
      { key: "a", value: "\ufeffä", contentType: "text/x", revision: 1, createRevision: 1 },
      { key: "b", valueBase64: "/wA=", revision: 2, createRevision: 2 },
    ],
    revision: 2,
  });
});

test("a cursor continues a listing to its end", async () => {
  const { ask } = client();
  for (const key of ["p%2F1", "p%2F2", "p%2F%C3%A4", "q"]) await ask("PUT", `/v1/kv/${key}`);
  const first = await ask("GET", "/v1/kv?prefix=p/&limit=2&keys");
  assert.equal(first.json["rows"], [
    { key: "p/1", revision: 1 },
    { key: "p/2", revision: 2 },
  ]);
  const cursor = String(first.json["cursor"]);
  const rest = await ask("GET", `/v1/kv?prefix=p/&limit=2&keys=true&cursor=${cursor}`);
  assert.equal(rest.json, { rows: [{ key: "p/ä", revision: 3 }], revision: 4 });
});

test("a listing's wrong parameters are refused by name", async () => {
  const { ask } = client();
  const wrong = [
    "limit=0",
    "limit=10001",
    "limit=1e3",
    "limit=",
    "cursor=%20",
    "cursor=",
    "keys=no",
    "reverse=2",
    "count=yes",
    "delimiter=",
    "prefix=%00",
  ];
  for (const query of wrong) {
    const { status, json } = await ask("GET", `/v1/kv?${query}`);
    assert.equal([status, json["field"]], [400, query.split("=")[0]], query);
  }
  assert.is((await ask("GET", "/v1/kv?prefix=p&cursor=cQ")).status, 400);
});

test("status, probes and version answer", async () => {
  const { ask } = client({ ready: () => false });
  assert.is((await ask("GET", "/v1/status")).json["role"], "leader");
  assert.is((await ask("GET", "/livez")).status, 200);
  const ready = await ask("GET", "/readyz");
  assert.equal([ready.status, ready.json["code"]], [503, "no_leader"]);
  assert.is((await ask("GET", "/version")).json["version"], "1.2.3");
});

test("a foreign host is refused before anything else", async () => {
  const { ask, store } = client({ hosts: new Set(["localhost:8001", "node-1", "[::1]"]) });
  const hosted = (host: string) => ask("PUT", "/v1/kv/k", { headers: { host } });
  for (const host of ["localhost:8001", "LOCALHOST:8001", "node-1:99", "node-1", "[::1]:5"]) {
    assert.ok((await hosted(host)).status < 300, host);
  }
  const before = store.writes;
  for (const host of ["evil", "localhost:8002", "localhost", "node-1.evil", "[::1", "evil:8001"]) {
    const { status, json } = await hosted(host);
    assert.equal([status, json["outcome"]], [421, "not_applied"], host);
  }
  assert.is((await ask("GET", "/nowhere", { headers: { host: "evil" } })).status, 421);
  assert.is(store.writes, before);
});

test("a page of a foreign origin is refused, one of our own is not", async () => {
  const { ask, store } = client();
  const from = (origin: string) =>
    ask("PUT", "/v1/kv/k", { headers: { host: "localhost:8001", origin } });
  for (const origin of ["http://evil.example", "null", "http://localhost:9", "localhost:8001"]) {
    const { status, json, headers } = await from(origin);
    assert.equal([status, json["outcome"]], [403, "not_applied"], origin);
    assert.is(headers.get("access-control-allow-origin"), null);
  }
  assert.is(store.writes, 0);
  const own = await from("http://localhost:8001");
  assert.equal([own.status, own.headers.get("access-control-allow-origin")], [201, null]);
});

test("a page of an allowed origin may ask first and read the answer", async () => {
  const { ask } = client();
  const origin = "https://friend.example";
  const asked = { origin, "access-control-request-method": "PUT" };
  const preflight = await ask("OPTIONS", "/v1/kv/k", { headers: asked });
  assert.is(preflight.status, 204);
  assert.is(preflight.headers.get("access-control-allow-origin"), origin);
  const allowed = preflight.headers.get("access-control-allow-headers") ?? "";
  for (const name of ["Authorization", "Content-Type", "If-Match", "Idempotency-Key"]) {
    assert.ok(allowed.split(", ").includes(name), name);
  }
  for (const path of ["/v1/watch", "/v1/txn", "/v1/kv"]) {
    assert.is((await ask("OPTIONS", path, { headers: asked })).status, 204, path);
  }
  const put = await ask("PUT", "/v1/kv/k", { headers: { origin } });
  assert.is(put.headers.get("access-control-allow-origin"), origin);
  assert.is(put.headers.get("vary"), "Origin");
  assert.is((await ask("OPTIONS", "/v1/kv/k")).status, 405);
});

test("keys that name properties of objects are plain data", async () => {
  const { ask } = client();
  for (const key of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
    assert.is((await ask("GET", `/v1/kv/${key}`)).status, 404);
    assert.is((await ask("PUT", `/v1/kv/${key}`, { body: key })).status, 201);
    assert.is((await ask("GET", `/v1/kv/${key}`)).text, key);
  }
  assert.is((await ask("GET", "/v1/kv/k?__proto__=1")).status, 400);
});

test("revisions are told as whole numbers however large", async () => {
  const { ask, store } = client();
  const revision = (2 ** 53 - 1) as Index;
  store.put = () => Promise.resolve({ ok: true, created: true, revision });
  const { headers } = await ask("PUT", "/v1/kv/k", { body: "v" });
  assert.is(headers.get("etag"), '"9007199254740991"');
});

test.run();
