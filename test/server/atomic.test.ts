/** `POST /v1/kv/<key>?op=…`: one value changed where it is. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { valueBytesMax } from "../../server/state-machine/command.ts";
import { client } from "./asker.ts";

test("a counter begins at nothing and tells its value", async () => {
  const { ask } = client();
  const first = await ask("POST", "/v1/kv/c?op=incr");
  assert.equal([first.status, first.json], [200, { key: "c", value: 1, revision: 1 }]);
  assert.is(first.headers.get("etag"), '"1"');
  assert.is((await ask("POST", "/v1/kv/c?op=incr&by=41")).json["value"], 42);
  assert.is((await ask("POST", "/v1/kv/c?op=incr&by=-50")).json["value"], -8);
  assert.is((await ask("GET", "/v1/kv/c")).text, "-8");
});

test("a counter counts exactly to the ends of 64 bits, and not beyond", async () => {
  const { ask } = client();
  const most = "9223372036854775807";
  await ask("PUT", "/v1/kv/c", { body: "9223372036854775806" });
  assert.is((await ask("POST", "/v1/kv/c?op=incr")).json["value"], most);
  const beyond = await ask("POST", "/v1/kv/c?op=incr");
  assert.equal([beyond.status, beyond.json["code"]], [409, "conflict"]);
  assert.is(beyond.json["outcome"], "not_applied");
  assert.is((await ask("GET", "/v1/kv/c")).text, most);
  assert.is((await ask("POST", "/v1/kv/c?op=incr&by=-9007199254740993")).status, 200);
  assert.is((await ask("GET", "/v1/kv/c")).text, "9214364837600034814");
  assert.is((await ask("POST", `/v1/kv/c?op=incr&by=${most}0`)).json["field"], "by");
});

test("numbers that a double holds are numbers, greater ones strings", async () => {
  const { ask } = client();
  const by = (text: string) => ask("POST", `/v1/kv/${text}?op=incr&by=${text}`);
  assert.is((await by("9007199254740991")).json["value"], 9_007_199_254_740_991);
  assert.is((await by("9007199254740992")).json["value"], "9007199254740992");
  assert.is((await by("-9007199254740992")).json["value"], "-9007199254740992");
});

test("a counter stays within its bounds, and is refused rather than cut", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/stock", { body: "2" });
  const take = (count: number) => ask("POST", `/v1/kv/stock?op=incr&by=-${count}&min=0`);
  assert.is((await take(3)).status, 409);
  assert.is((await take(2)).json["value"], 0);
  assert.is((await take(1)).status, 409);
  assert.is((await ask("POST", "/v1/kv/stock?op=incr&by=6&max=5")).status, 409);
  assert.is((await ask("POST", "/v1/kv/stock?op=incr&min=5&max=4")).json["field"], "max");
});

test("what is no integer is not counted with", async () => {
  const { ask } = client();
  for (const body of ["", "1.5", "abc", " 1", "1\n", "0x10", "9223372036854775808", "\xff"]) {
    await ask("PUT", "/v1/kv/c", { body });
    for (const query of ["op=incr", "op=max&value=1", "op=min&value=1"]) {
      const { status, json } = await ask("POST", `/v1/kv/c?${query}`);
      assert.equal([status, json["code"]], [409, "conflict"], body);
    }
    assert.is((await ask("GET", "/v1/kv/c")).text, body);
  }
});

test("max and min keep the further one, and the row where it stays", async () => {
  const { ask } = client();
  const top = (value: number) => ask("POST", `/v1/kv/t?op=max&value=${value}`);
  assert.equal((await top(-5)).json, { key: "t", value: -5, revision: 1 });
  assert.equal((await top(7)).json, { key: "t", value: 7, revision: 2 });
  assert.equal((await top(6)).json, { key: "t", value: 7, revision: 2 });
  assert.is((await ask("POST", "/v1/kv/t?op=min&value=3")).json["value"], 3);
  assert.is((await ask("POST", "/v1/kv/t?op=min&value=4")).json["value"], 3);
  assert.is((await ask("POST", "/v1/kv/t?op=max")).json["field"], "value");
});

test("append makes the value longer, bytes and type included", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/a", { body: "x", headers: { "content-type": "text/x" } });
  assert.is((await ask("POST", "/v1/kv/a?op=append&value=y%20z")).json["value"], "xy z");
  const binary = await ask("POST", "/v1/kv/a?op=append", { body: new Uint8Array([255]) });
  assert.is(binary.json["valueBase64"], Buffer.from("xy z\xff", "latin1").toString("base64"));
  assert.is((await ask("GET", "/v1/kv/a")).headers.get("content-type"), "text/x");
  assert.is((await ask("POST", "/v1/kv/new?op=append", { body: "n" })).json["value"], "n");
  const both = await ask("POST", "/v1/kv/a?op=append&value=y", { body: "z" });
  assert.equal([both.status, both.json["field"]], [400, "value"]);
});

test("append beyond the longest value is refused and changes nothing", async () => {
  const { ask, store } = client();
  await ask("PUT", "/v1/kv/a", { body: new Uint8Array(valueBytesMax - 1) });
  assert.is((await ask("POST", "/v1/kv/a?op=append&value=x")).status, 200);
  const beyond = await ask("POST", "/v1/kv/a?op=append&value=x");
  assert.equal([beyond.status, beyond.json["code"]], [413, "too_large"]);
  assert.is(beyond.json["field"], "value");
  assert.is(store.rows.get("a")?.value.byteLength, valueBytesMax);
});

test("what cannot be done on what is there names the field that stands in the way", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/n", { body: "9223372036854775807" });
  await ask("PUT", "/v1/kv/text", { body: "no number" });
  for (const [key, query, field] of [
    ["n", "op=incr&by=-9&min=9223372036854775800&max=9223372036854775807", "min"],
    ["n", "op=incr&by=-1&max=5", "max"],
    ["n", "op=incr", "by"],
    ["text", "op=incr&min=0", "key"],
    ["text", "op=max&value=1", "key"],
  ] as const) {
    const { status, json } = await ask("POST", `/v1/kv/${key}?${query}`);
    assert.equal([status, json["field"]], [409, field], query);
  }
});

test("getdel gives the bytes once", async () => {
  const { ask } = client();
  const headers = { "content-type": "text/x" };
  await ask("PUT", "/v1/kv/g", { body: "secret", headers });
  const taken = await ask("POST", "/v1/kv/g?op=getdel");
  assert.equal([taken.status, taken.text], [200, "secret"]);
  assert.is(taken.headers.get("content-type"), "text/x");
  assert.is(taken.headers.get("x-kv-revision"), "2");
  const again = await ask("POST", "/v1/kv/g?op=getdel");
  assert.equal([again.status, again.json["code"]], [404, "not_found"]);
});

test("wrong operations and parameters are refused by name", async () => {
  const { ask, store } = client();
  const wrong: [string, number, string][] = [
    ["op=double", 400, "op"],
    ["op=", 400, "op"],
    ["op=touch", 400, "ttl"],
    ["op=incr&by=1.5", 400, "by"],
    ["op=incr&by=", 400, "by"],
    ["op=incr&value=1", 400, "value"],
    ["op=incr&ttl=-1", 400, "ttl"],
    ["op=getdel&by=1", 400, "by"],
  ];
  for (const [query, status, field] of wrong) {
    const answer = await ask("POST", `/v1/kv/k?${query}`);
    assert.equal([answer.status, answer.json["field"]], [status, field], query);
    assert.is(answer.json["outcome"], "not_applied");
  }
  const full = await ask("POST", "/v1/kv/k?op=incr", { body: "5" });
  assert.equal([full.status, full.json["field"]], [400, "body"]);
  const long = await ask("PUT", `/v1/kv/${"k".repeat(2_049)}`, { body: "v" });
  assert.equal([long.status, long.json["field"]], [414, "key"]);
  const headers = { "if-match": '"1"' };
  assert.is((await ask("POST", "/v1/kv/k?op=incr", { headers })).json["field"], "if-match");
  assert.is(store.writes, 0);
});

test.run();
