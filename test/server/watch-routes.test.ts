/** `/v1/watch` and reads that wait: what is asked of the store, and what goes over the wire. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { FailureCode } from "../../server/client-port.ts";
import { index } from "../../server/raft/entry.ts";
import type { Row } from "../../server/state-machine/command.ts";
import { eventOfJson } from "../../server/watch/watch-json.ts";
import type {
  ChangeEvent,
  WatchBatches,
  WatchEvent,
  WatchOptions,
  WatchOver,
} from "../../server/watch/watch-port.ts";
import { client } from "./asker.ts";
import { appOf } from "./raw-http.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function change(revision: number, more: Partial<ChangeEvent> = {}): ChangeEvent {
  const at = index(revision);
  const row = { key: "k", value: bytes("v"), contentType: null, revision: at, createRevision: at };
  const nothing = { before: null, revisionsBefore: null };
  return { type: "put", key: "k", row, revision: at, isLast: true, ...nothing, ...more };
}

const progress = (revision: number): WatchEvent => ({
  type: "progress",
  revision: index(revision),
});
const stopped: WatchOver = {
  type: "over",
  failure: { ok: false, code: "no_leader", detail: "this node is stopping" },
};

async function* batched(...batches: (WatchEvent | WatchOver)[][]): WatchBatches {
  for (const batch of batches) yield batch;
}

function watching(...batches: (WatchEvent | WatchOver)[][]) {
  const asked: WatchOptions[] = [];
  const { ask, store } = client();
  store.watched = async (options) => {
    const { signal: _, ...rest } = options;
    asked.push(rest);
    return { ok: true, batches: batched(...batches, [stopped]) };
  };
  return { ask, store, asked };
}

test("changes are events whose id is the revision", async () => {
  const { ask } = watching([progress(4)], [change(5), change(6, { type: "delete", row: null })]);
  const { status, headers, text } = await ask("GET", "/v1/watch");
  assert.equal([status, headers.get("content-type")], [200, "text/event-stream"]);
  assert.equal(text.split("\n\n"), [
    'retry: 1000\nid: 4\nevent: progress\ndata: {"revision":4}',
    'id: 5\nevent: put\ndata: {"type":"put","key":"k","value":"v","revision":5,"last":true}',
    'id: 6\nevent: delete\ndata: {"type":"delete","key":"k","revision":6,"last":true}',
    "",
  ]);
});

test("only the last change of a revision has an id, so a resume gives it as a whole", async () => {
  const parts = [change(5), change(7, { key: "a", isLast: false }), change(7, { key: "b" })];
  const { ask } = watching(parts);
  const { text } = await ask("GET", "/v1/watch");
  assert.equal(text.match(/^(?:id: .*|event: .*)$/gm), [
    ...["id: 5", "event: put"],
    ...["event: put"],
    ...["id: 7", "event: put"],
  ]);
});

test("one a line they are what they were", async () => {
  const before = change(3).row;
  const raw = change(6, { isLast: false });
  const events: WatchEvent[] = [
    progress(4),
    change(5, { before, revisionsBefore: before && { revision: 3, createRevision: 3 } }),
    { ...raw, row: raw.row && { ...raw.row, value: new Uint8Array([255]), contentType: "x/y" } },
    change(6, { type: "expire", row: null, revisionsBefore: { revision: 2, createRevision: 1 } }),
  ];
  const { ask } = watching(events);
  const headers = { accept: "application/x-ndjson" };
  const answer = await ask("GET", "/v1/watch?prev", { headers });
  assert.is(answer.headers.get("content-type"), "application/x-ndjson");
  const lines = answer.text.trimEnd().split("\n");
  assert.is(lines[0], '{"type":"progress","revision":4}');
  const read = lines.map((line) => eventOfJson(JSON.parse(line)));
  const listed = (row: Row | null) => row && { ...row, value: [...row.value] };
  const plain = (event: WatchEvent | null) =>
    event === null || event.type === "progress"
      ? event
      : { ...event, row: listed(event.row), before: listed(event.before) };
  assert.equal(read.map(plain), events.map(plain));
});

test("what is watched, and from where, is what was asked for; the last id wins", async () => {
  const { ask, asked } = watching();
  const headers = { "last-event-id": "12" };
  await ask("GET", "/v1/watch?key=a%2Fb&since=3");
  await ask("GET", "/v1/watch?prefix=a&since=3&prev", { headers });
  await ask("GET", "/v1/watch?start=a&end=b");
  assert.equal(asked, [
    { key: "a/b", since: 3, before: false },
    { prefix: "a", since: 12, before: true },
    { start: "a", end: "b", before: false },
  ]);
});

test("what cannot be watched is refused by name", async () => {
  const { ask, asked } = watching();
  for (const [query, field] of [
    ["key=a&prefix=b", "prefix"],
    ["key=", "key"],
    ["start=b&end=a", "end"],
    ["since=-1", "since"],
    ["since=now", "since"],
    ["since=99999999999999999", "since"],
    ["prev=1", "prev"],
    ["limit=1", "limit"],
  ]) {
    const { status, json } = await ask("GET", `/v1/watch?${query}`);
    assert.equal([status, json["field"]], [400, field], query);
  }
  const headers = { "last-event-id": "x" };
  assert.is((await ask("GET", "/v1/watch", { headers })).json["field"], "last-event-id");
  assert.is((await ask("POST", "/v1/watch")).status, 405);
  assert.equal(asked, []);
});

test("history that is gone is 410, with the revision that is left", async () => {
  const { ask, store } = client();
  const detail = "gone";
  store.watched = async () => ({ ok: false, code: "compacted", detail, oldestRevision: 7 });
  const { status, json } = await ask("GET", "/v1/watch?since=1");
  assert.equal([status, json["code"], json["oldestRevision"]], [410, "compacted", 7]);
});

test("an EventSource is asked to come back where others are refused for now", async () => {
  const { ask, store } = client();
  const eventSource = { headers: { accept: "text/event-stream" } };
  const refuseWith = (code: FailureCode): void => {
    store.watched = async () => ({ ok: false, code, detail: "why" });
  };
  for (const code of ["no_leader", "stale", "timeout"] as const) {
    refuseWith(code);
    const { status, headers, text } = await ask("GET", "/v1/watch", eventSource);
    assert.equal([status, headers.get("content-type")], [200, "text/event-stream"], code);
    assert.is(text, `retry: 1000\n: ${code}: why\n\n`);
    assert.is((await ask("GET", "/v1/watch")).json["code"], code);
    const lines = { headers: { accept: "application/x-ndjson, text/event-stream;q=0.1" } };
    assert.is((await ask("GET", "/v1/watch", lines)).json["code"], code);
  }
  for (const code of ["compacted", "bad_request", "overloaded"] as const) {
    refuseWith(code);
    assert.is((await ask("GET", "/v1/watch", eventSource)).json["code"], code);
  }
});

test("a stream that was cut off is not whole", async () => {
  const failure = { ok: false, code: "overloaded", detail: "too slow" } as const;
  const { ask } = watching([change(5)], [{ type: "over", failure }]);
  let error: unknown;
  await ask("GET", "/v1/watch").catch((thrown: unknown) => (error = thrown));
  assert.match(String(error), "too slow");
});

test("whoever goes away ends the watch", async () => {
  const { store } = client();
  const given = Promise.withResolvers<void>();
  store.watched = async ({ signal }) => {
    signal?.addEventListener("abort", () => given.resolve());
    return { ok: true, batches: batched([progress(1)]) };
  };
  const response = await appOf(store).request("http://localhost:8001/v1/watch");
  await response.body?.cancel();
  await given.promise;
});

test("a revision of the future is blamed on what named it", async () => {
  const { ask, store } = client();
  const detail = "there is no such revision yet";
  store.watched = async () => ({ ok: false, code: "bad_request", detail, field: "since" });
  const fieldOf = async (headers: Record<string, string>): Promise<unknown> =>
    (await ask("GET", "/v1/watch?since=99", { headers })).json["field"];
  assert.is(await fieldOf({ "last-event-id": "99" }), "last-event-id");
  assert.is(await fieldOf({ "last-event-id": "" }), "since");
  assert.is(await fieldOf({}), "since");
});

test("a read that waits answers with what changed", async () => {
  const { ask, store, asked } = watching([progress(1)], [change(1)]);
  await ask("PUT", "/v1/kv/k", { body: "v" });
  const answer = await ask("GET", "/v1/kv/k?wait=30s");
  assert.equal([answer.status, answer.text], [200, "v"]);
  assert.equal(asked, [{ key: "k", forMs: 30_000 }]);
  store.rows.clear();
  const gone = await ask("GET", "/v1/kv/k?wait=30s&after=1");
  assert.equal([gone.status, gone.headers.get("x-kv-revision")], [404, "1"]);
});

test("a read that waits behind an older revision does not wait", async () => {
  const { ask, store } = watching();
  await ask("PUT", "/v1/kv/k", { body: "1" });
  await ask("PUT", "/v1/kv/k", { body: "2" });
  const answer = await ask("GET", "/v1/kv/k?wait=30s&after=1");
  assert.equal([answer.status, answer.text], [200, "2"]);
  // What became of a row that is not there is not known without its history.
  const { watched } = store;
  store.watched = async (options) =>
    options.since === undefined
      ? watched(options)
      : { ok: false, code: "compacted", detail: "gone", oldestRevision: 9 };
  assert.is((await ask("GET", "/v1/kv/none?wait=30s&after=1")).status, 404);
});

test("a change that comes as the time ends is answered, and not called none", async () => {
  const { ask, store } = client();
  await ask("PUT", "/v1/kv/k", { body: "1" });
  const late = async function* () {
    await ask("PUT", "/v1/kv/k", { body: "2" });
    yield [progress(1)];
  };
  store.watched = async () => ({ ok: true, batches: late() });
  const answer = await ask("GET", "/v1/kv/k?wait=1s&after=1");
  assert.equal([answer.status, answer.text], [200, "2"]);
});

test("a read that waits in vain is 304, and one that cannot is refused", async () => {
  const { ask, store } = client();
  store.watched = async () => ({ ok: true, batches: batched([progress(2)]) });
  await ask("PUT", "/v1/kv/k", { body: "1" });
  assert.is((await ask("GET", "/v1/kv/k?wait=30s&after=1")).status, 304);
  assert.is((await ask("GET", "/v1/kv/k?wait=30s")).status, 304);
  const headersOf = async (key: string): Promise<(string | null)[]> => {
    const { status, headers } = await ask("GET", `/v1/kv/${key}?wait=1s&level=local`);
    assert.is(status, 304);
    return ["etag", "x-kv-revision", "x-kv-level", "x-kv-age"].map((name) => headers.get(name));
  };
  const age = (await ask("GET", "/v1/kv/k?level=local")).headers.get("x-kv-age");
  assert.equal(await headersOf("k"), ['"1"', "1", "local", age]);
  assert.ok(age !== null);
  assert.equal(await headersOf("none"), [null, "1", "local", age]);
  for (const [query, field] of [
    ["wait=0", "wait"],
    ["wait=-1s", "wait"],
    ["wait=1d", "wait"],
    ["wait=1s&after=x", "after"],
    ["after=1", "after"],
    ["min_revision=x", "min_revision"],
    ["max_stale=soon", "max_stale"],
    ["timeout=2m", "timeout"],
  ]) {
    const { status, json } = await ask("GET", `/v1/kv/k?${query}`);
    assert.equal([status, json["field"]], [400, field], query);
  }
  const detail = "in the future";
  store.watched = async () => ({ ok: false, code: "bad_request", detail, field: "since" });
  assert.is((await ask("GET", "/v1/kv/k?wait=1s&after=9")).json["field"], "after");
});

test.run();
