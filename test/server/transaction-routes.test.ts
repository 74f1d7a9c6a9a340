/** `/v1/txn`: conditions decide which side runs, and a side runs whole or not at all. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { conditionsMax, operationsMax } from "../../server/state-machine/transaction.ts";
import { asJson, client } from "./asker.ts";

test("every operation has its result, in order", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/old", { body: "x" });
  const { status, json, headers } = await ask(
    "POST",
    "/v1/txn",
    asJson({
      then: [
        { op: "put", key: "a/1", value: "one", contentType: "text/plain" },
        { op: "put", key: "a/2", valueBase64: "/w==" },
        { op: "get", key: "a/1" },
        { op: "get", key: "none" },
        { op: "range", prefix: "a/", limit: 1 },
        { op: "incr", key: "n", by: "9007199254740993" },
        { op: "max", key: "n", value: 1 },
        { op: "min", key: "n", value: 2 },
        { op: "append", key: "a/1", value: "!" },
        { op: "delete", key: "old" },
        { op: "delete", key: "none" },
        { op: "deleteRange", start: "a/", end: "a/2" },
      ],
    }),
  );
  assert.is(status, 200);
  assert.is(headers.get("x-kv-revision"), "2");
  const at = { revision: 2, createRevision: 2 };
  const one = { key: "a/1", value: "one", contentType: "text/plain", ...at };
  assert.equal(json, {
    succeeded: true,
    results: [
      { revision: 2 },
      { revision: 2 },
      one,
      null,
      { rows: [one], more: true },
      { value: "9007199254740993" },
      { value: "9007199254740993" },
      { value: 2 },
      { value: "one!" },
      { deleted: 1 },
      { deleted: 0 },
      { deleted: 1 },
    ],
    revision: 2,
  });
  const left = (await ask("GET", "/v1/kv")).json["rows"] as { key: string }[];
  assert.equal(
    left.map(({ key }) => key),
    ["a/2", "n"],
  );
});

test("conditions decide which side runs", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/k", { body: "v" });
  const holds = async (condition: object): Promise<boolean> => {
    const body = { if: [condition], then: [], else: [] };
    return (await ask("POST", "/v1/txn", asJson(body))).json["succeeded"] as boolean;
  };
  const cases: [object, boolean][] = [
    [{ key: "k", revision: 1 }, true],
    [{ key: "k", revision: 2 }, false],
    [{ key: "none", revision: 0 }, true],
    [{ key: "k", createRevision: 1 }, true],
    [{ key: "k", createRevision: 0 }, false],
    [{ key: "k", exists: true }, true],
    [{ key: "none", exists: true }, false],
    [{ key: "none", exists: false }, true],
    [{ key: "k", exists: false }, false],
    [{ key: "k", value: "v" }, true],
    [{ key: "k", valueBase64: "dg==" }, true],
    [{ key: "k", value: "w" }, false],
    [{ key: "none", value: "" }, false],
  ];
  for (const [condition, expected] of cases) {
    const text = JSON.stringify(condition);
    assert.is(await holds(condition), expected, text);
    assert.is(await holds({ ...condition, not: true }), !expected, `not ${text}`);
  }
});

test("without conditions the first side runs, and otherwise `else` does", async () => {
  const { ask } = client();
  const sides = {
    then: [{ op: "put", key: "k", value: "then" }],
    else: [{ op: "put", key: "k", value: "else" }],
  };
  await ask("POST", "/v1/txn", asJson(sides));
  assert.is((await ask("GET", "/v1/kv/k")).text, "then");
  const both = {
    if: [
      { key: "k", exists: true },
      { key: "x", exists: true },
    ],
    ...sides,
  };
  assert.is((await ask("POST", "/v1/txn", asJson(both))).json["succeeded"], false);
  assert.is((await ask("GET", "/v1/kv/k")).text, "else");
});

test("where one operation cannot be done, none is", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/text", { body: "no number" });
  const then = [
    { op: "put", key: "a", value: "1" },
    { op: "delete", key: "text" },
    { op: "put", key: "text", value: "still none" },
    { op: "incr", key: "text" },
  ];
  const { status, json } = await ask("POST", "/v1/txn", asJson({ then }));
  assert.equal([status, json["code"], json["outcome"]], [409, "conflict", "not_applied"]);
  assert.match(String(json["detail"]), /^operation 4: /);
  assert.is((await ask("GET", "/v1/kv/a")).status, 404);
  assert.is((await ask("GET", "/v1/kv/text")).text, "no number");
});

test("a row that goes and comes again in a transaction is created anew", async () => {
  const { ask, store } = client();
  await ask("PUT", "/v1/kv/k", { body: "v" });
  const again = [
    { op: "delete", key: "k" },
    { op: "put", key: "k", value: "w" },
  ];
  await ask("POST", "/v1/txn", asJson({ then: again }));
  assert.is(store.rows.get("k")?.createRevision, 2);
  await ask("POST", "/v1/txn", asJson({ then: [{ op: "put", key: "k", value: "x" }] }));
  assert.is(store.rows.get("k")?.createRevision, 2);
});

test("mistakes are told with the path to them, and nothing is done", async () => {
  const { ask, store } = client();
  const put = { op: "put", key: "k", value: "v" };
  const wrong: [unknown, string, number?][] = [
    [{ colour: "red" }, "colour"],
    [{ then: "all" }, "then"],
    [{ then: [{ ...put, colour: 1 }] }, "then[0].colour"],
    [{ then: [put, { op: "swim", key: "k" }] }, "then[1].op"],
    [{ then: [{ op: "get" }] }, "then[0].key"],
    [{ then: [{ op: "get", key: "" }] }, "then[0].key"],
    [{ then: [{ op: "get", key: "a\0" }] }, "then[0].key"],
    [{ then: [{ op: "get", key: "\ud800" }] }, "then[0].key"],
    [{ then: [{ op: "get", keyBase64: "/w==" }] }, "then[0].key"],
    [{ then: [{ op: "get", key: "k".repeat(2049) }] }, "then[0].key", 414],
    [{ then: [{ op: "put", key: "k" }] }, "then[0].value"],
    [{ then: [{ op: "put", key: "k", value: 5 }] }, "then[0].value"],
    [{ then: [{ ...put, valueBase64: "dg==" }] }, "then[0].valueBase64"],
    [{ then: [{ op: "put", key: "k", valueBase64: "dg" }] }, "then[0].valueBase64"],
    [{ then: [{ ...put, contentType: "a\nb" }] }, "then[0].contentType"],
    [{ then: [{ ...put, ttl: "-5s" }] }, "then[0].ttl", 400],
    [{ then: [{ op: "incr", key: "k", by: 1.5 }] }, "then[0].by"],
    [{ then: [{ op: "incr", key: "k", by: 2 ** 53 }] }, "then[0].by"],
    [{ then: [{ op: "incr", key: "k", by: "9223372036854775808" }] }, "then[0].by"],
    [{ then: [{ op: "max", key: "k" }] }, "then[0].value"],
    [{ then: [{ op: "deleteRange" }] }, "then[0].prefix"],
    [{ then: [{ op: "range", start: "b", end: "a" }] }, "then[0].end"],
    [{ then: [{ op: "range", prefix: "a", limit: 0 }] }, "then[0].limit"],
    [{ else: [null] }, "else[0]"],
    [{ if: [{ key: "k" }] }, "if[0]"],
    [{ if: [{ key: "k", exists: true, revision: 1 }] }, "if[0]"],
    [{ if: [{ key: "k", revision: -1 }] }, "if[0].revision"],
    [{ if: [{ key: "k", exists: 1 }] }, "if[0].exists"],
    [{ if: [{ key: "k", exists: true, not: "no" }] }, "if[0].not"],
    [{ if: [{ key: "k", exists: true, colour: 1 }] }, "if[0].colour"],
    [{ then: Array.from({ length: operationsMax + 1 }, () => put) }, "then", 413],
    [{ then: Array.from({ length: 10_000 }, () => put) }, "then", 413],
    [{ if: Array.from({ length: conditionsMax + 1 }, () => ({})) }, "if", 413],
  ];
  for (const [body, field, status = 400] of wrong) {
    const answer = await ask("POST", "/v1/txn", asJson(body));
    const text = JSON.stringify(body).slice(0, 80);
    assert.equal([answer.status, answer.json["field"]], [status, field], text);
    assert.is(answer.json["outcome"], "not_applied");
  }
  for (const body of ["", "{", "[]", "null", '"text"', "{}{}"]) {
    const headers = { "content-type": "application/json" };
    const answer = await ask("POST", "/v1/txn", { body, headers });
    assert.equal([answer.status, answer.json["field"]], [400, "body"], body);
  }
  assert.is(store.writes, 0);
});

test("an operation that cannot be done is named with its side, where that is known", async () => {
  const { ask } = client();
  await ask("PUT", "/v1/kv/text", { body: "no number" });
  const get = { op: "get", key: "text" };
  const low = { op: "incr", key: "n", by: -1, min: 0 };
  const wrong = { op: "incr", key: "text" };
  const isText = [{ key: "text", value: "no number" }];
  const isNone = [{ key: "text", exists: false }];
  for (const [body, field] of [
    [{ then: [get, low] }, "then[1].min"],
    [{ then: [wrong], else: [get] }, "then[0].key"],
    [{ if: isText, then: [get, low], else: [get] }, "then[1].min"],
    [{ if: isNone, then: [get], else: [get, wrong] }, "else[1].key"],
    [{ if: isNone, then: [wrong], else: [wrong] }, "key"],
  ] as const) {
    const { status, json } = await ask("POST", "/v1/txn", asJson(body));
    assert.equal([status, json["field"]], [409, field], JSON.stringify(body));
  }
});

test("as many operations as are allowed are done", async () => {
  const { ask, store } = client();
  const then = Array.from({ length: operationsMax }, (_, at) => ({
    op: "put",
    key: `k${at}`,
    value: "v",
  }));
  assert.is((await ask("POST", "/v1/txn", asJson({ then }))).status, 200);
  assert.is(store.rows.size, operationsMax);
});

test("the body is JSON by its type, and the method is POST", async () => {
  const { ask } = client();
  assert.is((await ask("POST", "/v1/txn", { body: "{}" })).status, 415);
  const got = await ask("GET", "/v1/txn");
  assert.equal([got.status, got.headers.get("allow")], [405, "POST"]);
  assert.is((await ask("POST", "/v1/txn?dry=1", asJson({}))).json["field"], "dry");
});

test.run();
