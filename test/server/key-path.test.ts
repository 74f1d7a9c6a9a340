/** Keys come out of request targets as they were meant, or not at all. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { keyOfPath, pathOfKey, pathOf, queryOf, targetOf } from "../../server/key-path.ts";
import { exchange, requestText, serve, statusIn } from "./raw-http.ts";

function keyOf(raw: string): string {
  const path = keyOfPath(`/v1/kv/${raw}`);
  return path.ok ? path.key : path.code;
}

test("plain text, slashes and dots are the key as they stand", () => {
  for (const raw of [
    "a",
    "a/b",
    "a//b",
    "/a",
    "a/",
    "/",
    "..",
    ".",
    "a/../b",
    "a+b",
    "a:b",
    "~!$&",
  ]) {
    assert.is(keyOf(raw), raw);
  }
});

test("escapes are decoded once", () => {
  assert.is(keyOf("a%20b"), "a b");
  assert.is(keyOf("a%2Fb"), "a/b");
  assert.is(keyOf("%2e%2E"), "..");
  assert.is(keyOf("%2525"), "%25");
  assert.is(keyOf("%E2%82%AC"), "€");
  assert.is(keyOf("%F0%9F%90%9F"), "🐟");
  assert.is(keyOf("a%3Fb%23c"), "a?b#c");
  assert.is(keyOf("__proto__"), "__proto__");
});

test("what is no escape or no UTF-8 text is refused", () => {
  const bad = ["%", "%2", "%zz", "a%", "%FF", "%C0%AF", "%ED%A0%80", "%E2%82", "a%00b", ""];
  for (const raw of bad) assert.is(keyOf(raw), "bad_request", raw);
});

test("characters that clients rewrite are refused", () => {
  for (const raw of ["a\\b", "a#b", "ä", "a b", "a\u007f"]) assert.is(keyOf(raw), "bad_request");
});

test("2,048 bytes are a key, one more is not, however they are escaped", () => {
  assert.is(keyOf("k".repeat(2048)).length, 2048);
  assert.is(keyOf("k".repeat(2049)), "key_too_long");
  assert.is(keyOf("%20".repeat(2048)).length, 2048);
  assert.is(keyOf("%20".repeat(2049)), "key_too_long");
  assert.is(keyOf(`${"%E2%82%AC".repeat(682)}xx`).length, 684);
  assert.is(keyOf("%E2%82%AC".repeat(683)), "key_too_long");
});

test("a path that ends in a colon of its own names no key, an escaped one does", () => {
  assert.is(keyOf(":"), "bad_request");
  assert.is(keyOf("a/:"), "bad_request");
  assert.is(keyOf("a/%3A"), "a/:");
  assert.is(keyOf("a:"), "a:");
});

test("every key survives its path", () => {
  const keys = [
    ".",
    "..",
    "a/../b",
    "a//b",
    "/",
    ":",
    "a b",
    "ä€🐟",
    "%41",
    "?#\\+&=",
    "__proto__",
  ];
  for (const key of keys) assert.equal(keyOfPath(pathOfKey(key)), { ok: true, key });
});

test("a target is cut out of the URL where nobody kept it", () => {
  const request = new Request("http://localhost:1/v1/kv/a//b?level=local");
  const target = targetOf(request, undefined);
  assert.is(target, "/v1/kv/a//b?level=local");
  assert.is(pathOf(target), "/v1/kv/a//b");
  assert.is(queryOf(target), "level=local");
  assert.is(targetOf(request, "/other"), "/other");
});

/** What a target on the wire does: the key that a PUT stored under, or the status that refused it. */
async function stored(target: string): Promise<string | number> {
  const { store, port, listener } = await serve();
  const answer = await exchange(port, requestText("PUT", target, "", "v"));
  await listener.close(0);
  const keys = [...store.rows.keys()];
  assert.is(keys.length, statusIn(answer) === 201 ? 1 : 0, answer);
  return keys[0] ?? statusIn(answer);
}

test("on the wire, dot segments and slashes reach the key untouched", async () => {
  assert.is(await stored("/v1/kv/../x"), "../x");
  assert.is(await stored("/v1/kv/a/../b"), "a/../b");
  assert.is(await stored("/v1/kv/a/%2e%2E/b"), "a/../b");
  assert.is(await stored("/v1/kv/.."), "..");
  assert.is(await stored("/v1/kv/%2e"), ".");
  assert.is(await stored("/v1/kv/./a/."), "./a/.");
  assert.is(await stored("/v1/kv/a//b"), "a//b");
  assert.is(await stored("/v1/kv//"), "/");
  assert.is(await stored("/v1/kv/a%5c..%5cb"), "a\\..\\b");
  assert.is(await stored("/v1/kv/a%2e%2e/b"), "a../b");
});

test("on the wire, what is no key is refused", async () => {
  for (const key of ["", "%zz", "%", "%00", "%ff", "a\\b", "a#b", "\xc3\xa4", "a\tb"]) {
    assert.is(await stored(`/v1/kv/${key}`), 400, key);
  }
  assert.is(await stored(`/v1/kv/${"k".repeat(2049)}`), 414);
  assert.is(await stored("/v1/kv/a/:"), 405);
});

test("on the wire, a path that only parses to the routes is another path", async () => {
  assert.is(await stored("/v1/x/../kv/a"), 404);
  assert.is(await stored("//v1/kv/a"), 404);
  assert.is(await stored("/v1//kv/a"), 404);
  assert.is(await stored("/V1/kv/a"), 404);
});

test.run();
