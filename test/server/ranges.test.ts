/** `/v1/kv?…`: rows by the order of their keys, in pages, in lines, in groups, counted and deleted. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { rangeRowsMax } from "../../server/state-machine/transaction.ts";
import { client, type Answered } from "./asker.ts";

type Ask = ReturnType<typeof client>["ask"];

/** In the order of their bytes, which is not that of UTF-16. */
const keys = ["a", "a/1", "a/2/x", "a/2/y", "a/3", "b", "b/1", "c", "\uffff", "\u{1f41f}"];

async function filled() {
  const { ask, store } = client();
  for (const key of keys.toReversed()) {
    await ask("PUT", `/v1/kv/${encodeURIComponent(key)}`, { body: key });
  }
  return { ask, store };
}

async function listed(ask: Ask, query: string): Promise<string[]> {
  const { status, json, text } = await ask("GET", `/v1/kv?${query}`);
  assert.is(status, 200, text);
  return (json["rows"] as { key: string }[]).map(({ key }) => key);
}

test("rows come in the order of their bytes, from `start` on and below `end`", async () => {
  const { ask } = await filled();
  assert.equal(await listed(ask, ""), keys);
  assert.equal(await listed(ask, "start=b"), keys.slice(5));
  assert.equal(await listed(ask, "end=b"), keys.slice(0, 5));
  assert.equal(await listed(ask, "start=a/2&end=b/1"), keys.slice(2, 6));
  assert.equal(await listed(ask, "start=b&end=b"), []);
  assert.equal(await listed(ask, "prefix=a/&start=a/2&end=a/3"), ["a/2/x", "a/2/y"]);
  assert.equal(await listed(ask, "start=%F0%9F%90%9F"), ["\u{1f41f}"]);
});

test("backwards is the same, the other way round", async () => {
  const { ask } = await filled();
  for (const query of ["", "start=b", "end=b", "prefix=a/", "start=a/2&end=b/1"]) {
    const forward = await listed(ask, query);
    assert.equal(await listed(ask, `${query}&reverse`), forward.toReversed());
  }
});

test("pages by the cursor put together are the whole, both ways and in groups", async () => {
  const { ask } = await filled();
  for (const query of ["", "reverse", "prefix=a", "delimiter=/", "delimiter=/&reverse"]) {
    const whole = (await ask("GET", `/v1/kv?${query}`)).json;
    const rows: unknown[] = [];
    const prefixes: unknown[] = [];
    let cursor: string | undefined = "";
    while (cursor !== undefined) {
      const more = cursor === "" ? "" : `&cursor=${cursor}`;
      const { json }: Answered = await ask("GET", `/v1/kv?${query}&limit=1${more}`);
      rows.push(...(json["rows"] as unknown[]));
      prefixes.push(...((json["prefixes"] as unknown[] | undefined) ?? []));
      cursor = json["cursor"] as string | undefined;
    }
    assert.equal(rows, whole["rows"], query);
    assert.equal(prefixes, whole["prefixes"] ?? [], query);
  }
});

test("a delimiter folds what goes on behind it into groups", async () => {
  const { ask } = await filled();
  const { json } = await ask("GET", "/v1/kv?delimiter=/");
  assert.equal(json["prefixes"], ["a/", "b/"]);
  assert.equal(await listed(ask, "delimiter=/"), ["a", "b", "c", "\uffff", "\u{1f41f}"]);
  const inside = await ask("GET", "/v1/kv?prefix=a/&delimiter=/&keys");
  assert.equal(inside.json["prefixes"], ["a/2/"]);
  assert.equal(inside.json["rows"], [
    { key: "a/1", revision: 9 },
    { key: "a/3", revision: 6 },
  ]);
});

test("a count tells how many without telling which", async () => {
  const { ask } = await filled();
  const { json } = await ask("GET", "/v1/kv?count&prefix=a/");
  assert.equal(json, { count: 4, revision: 10 });
  assert.is((await ask("GET", "/v1/kv?count")).json["count"], keys.length);
  assert.is((await ask("GET", "/v1/kv?count&limit=5")).json["field"], "limit");
});

test("lines of JSON are as many as there are rows, page after page", async () => {
  const { ask, store } = await filled();
  store.pageRowsMax = 3;
  const headers = { accept: "application/x-ndjson" };
  const lines = async (query: string): Promise<string[]> => {
    const answer = await ask("GET", `/v1/kv?${query}`, { headers });
    assert.is(answer.headers.get("content-type"), "application/x-ndjson");
    const found = answer.text.split("\n");
    assert.is(found.pop(), "", "the last line ends too");
    return found.map((line) => {
      const { key, prefix } = JSON.parse(line) as { key?: string; prefix?: string };
      return key ?? `${prefix}…`;
    });
  };
  assert.equal(await lines(""), keys);
  assert.equal(await lines("limit=4"), keys.slice(0, 4));
  assert.equal(await lines("reverse"), keys.toReversed());
  assert.equal(await lines("start=a&end=b&delimiter=/"), ["a", "a/…"]);
});

test("lines of rows and groups are in one order, that of their bytes, whatever the pages", async () => {
  const { ask, store } = client();
  const expected: string[] = [];
  for (let at = 0; at < 9; at++) {
    await ask("PUT", `/v1/kv/n/${at}${at % 2 === 0 ? "/x" : ""}`, { body: "v" });
    expected.push(at % 2 === 0 ? `n/${at}/` : `n/${at}`);
  }
  const headers = { accept: "application/x-ndjson" };
  for (const [query, order] of [
    ["", expected],
    ["&reverse", expected.toReversed()],
  ] as const) {
    for (const pageRowsMax of [4, 100]) {
      store.pageRowsMax = pageRowsMax;
      const { text } = await ask("GET", `/v1/kv?prefix=n/&delimiter=/&keys${query}`, { headers });
      const lines = text.trimEnd().split("\n");
      const found = lines.map((line) => JSON.parse(line) as { key?: string; prefix?: string });
      assert.equal(
        found.map(({ key, prefix }) => key ?? prefix),
        order,
      );
    }
  }
});

test("lines whose first page fails are a problem document", async () => {
  const { ask, store } = await filled();
  store.failure = { ok: false, code: "no_leader", detail: "there is none" };
  const answer = await ask("GET", "/v1/kv", { headers: { accept: "application/x-ndjson" } });
  assert.equal([answer.status, answer.json["code"]], [503, "no_leader"]);
});

test("a selection is deleted at once", async () => {
  const { ask } = await filled();
  const some = await ask("DELETE", "/v1/kv?prefix=a/2/");
  assert.equal([some.status, some.json], [200, { deleted: 2, revision: 11 }]);
  assert.is((await ask("DELETE", "/v1/kv?start=a&end=b&limit=2")).json["deleted"], 2);
  assert.equal(await listed(ask, "end=c"), ["a/3", "b", "b/1"]);
  assert.is((await ask("DELETE", "/v1/kv?prefix=none")).json["deleted"], 0);
  assert.is((await ask("DELETE", "/v1/kv?prefix=")).json["deleted"], 6);
});

test("more than is deleted at once is refused without a limit", async () => {
  const { ask, store } = client();
  const revision = 1 as never;
  for (let at = 0; at <= rangeRowsMax; at++) {
    const key = `k${at}`;
    const value = new Uint8Array();
    store.rows.set(key, { key, value, contentType: null, revision, createRevision: revision });
  }
  const { status, json } = await ask("DELETE", "/v1/kv?prefix=k");
  assert.equal([status, json["code"], json["outcome"]], [413, "too_large", "not_applied"]);
  assert.is(json["field"], "limit");
  assert.is(store.rows.size, rangeRowsMax + 1);
  const most = await ask("DELETE", `/v1/kv?prefix=k&limit=${rangeRowsMax}`);
  assert.is(most.json["deleted"], rangeRowsMax);
  assert.is(store.rows.size, 1);
});

test("what is no selection is refused by name, and nothing is deleted", async () => {
  const { ask, store } = await filled();
  const { writes } = store;
  const wrong: [string, string][] = [
    ["", "prefix"],
    ["limit=5", "prefix"],
    ["start=b&end=a", "end"],
    ["prefix=a&limit=0", "limit"],
    ["prefix=a&keys", "keys"],
    [`prefix=${"k".repeat(2049)}`, "prefix"],
  ];
  for (const [query, field] of wrong) {
    const { status, json } = await ask("DELETE", `/v1/kv?${query}`);
    assert.equal([status, json["field"], json["outcome"]], [400, field, "not_applied"], query);
  }
  const headers = { "if-match": '"1"' };
  assert.is((await ask("DELETE", "/v1/kv?prefix=a", { headers })).json["field"], "if-match");
  assert.is((await ask("GET", "/v1/kv?start=b&end=a")).json["field"], "end");
  assert.is(store.writes, writes);
});

test.run();
