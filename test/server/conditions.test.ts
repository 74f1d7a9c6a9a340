/** `If-Match` and `If-None-Match` on writes: done if and only if the row is the one that is named. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { client } from "./asker.ts";

const when = (name: string, value: string, body = "v"): RequestInit => ({
  body,
  headers: { [name]: value },
});

test("a put with the current ETag is done, with another it is 412 and names the current one", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/k", { body: "one" });
  assert.is((await ask("PUT", "/v1/kv/k", when("if-match", '"1"', "two"))).status, 200);
  const late = await ask("PUT", "/v1/kv/k", when("if-match", '"1"', "three"));
  assert.is(late.status, 412);
  const { code, outcome, revision } = late.json;
  assert.equal([code, outcome, revision], ["condition_failed", "not_applied", 2]);
  assert.is(late.headers.get("etag"), '"2"');
  assert.is((await ask("GET", "/v1/kv/k")).text, "two");
});

test("a put that must create does so once", async () => {
  const { ask } = client();
  assert.is((await ask("PUT", "/v1/kv/k", when("if-none-match", "*", "one"))).status, 201);
  const again = await ask("PUT", "/v1/kv/k", when("if-none-match", "*", "two"));
  assert.equal([again.status, again.headers.get("etag")], [412, '"1"']);
  assert.is(again.json["field"], "if-none-match");
  assert.is((await ask("GET", "/v1/kv/k")).text, "one");
});

test("a condition on a key that is not there has no ETag to name", async () => {
  const { ask } = client();
  for (const condition of ["*", '"1"']) {
    const answer = await ask("PUT", "/v1/kv/k", when("if-match", condition));
    assert.equal([answer.status, answer.headers.get("etag")], [412, null]);
    assert.is(answer.json["field"], "if-match");
  }
  assert.is((await ask("GET", "/v1/kv/k")).status, 404);
});

test("a row that went and came again is another one", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/k", { body: "one" });
  await ask("DELETE", "/v1/kv/k");
  await ask("PUT", "/v1/kv/k", { body: "one" });
  assert.is((await ask("PUT", "/v1/kv/k", when("if-match", '"1"'))).status, 412);
});

test("a delete honours conditions as a put does", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/k", { body: "v" });
  const other = await ask("DELETE", "/v1/kv/k", { headers: { "if-match": '"9"' } });
  assert.equal([other.status, other.headers.get("etag")], [412, '"1"']);
  assert.is(other.json["field"], "if-match");
  const right = await ask("DELETE", "/v1/kv/k", { headers: { "if-match": '"1"' } });
  assert.equal([right.status, right.json["deleted"]], [200, 1]);
});

test("both conditions have to hold", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/k", { body: "v" });
  const headers = { "if-match": "*", "if-none-match": '"1"' };
  const same = await ask("PUT", "/v1/kv/k", { body: "w", headers });
  assert.equal([same.status, same.json["field"]], [412, "if-none-match"]);
  await ask("PUT", "/v1/kv/k", { body: "v" });
  assert.is((await ask("PUT", "/v1/kv/k", { body: "w", headers })).status, 200);
});

test("a condition that is no revision is refused by name, and nothing is written", async () => {
  const { ask, store } = client();
  for (const name of ["if-match", "if-none-match"]) {
    for (const text of ["1", 'W/"1"', '"a"', '"1", "2"', '"9999999999999999"', ""]) {
      const { status, json } = await ask("PUT", "/v1/kv/k", when(name, text));
      assert.equal([status, json["field"], json["outcome"]], [400, name, "not_applied"], text);
    }
  }
  assert.is(store.writes, 0);
});

test.run();
