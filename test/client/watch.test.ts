/** A watch neither leaves out nor repeats a change, wherever a connection breaks. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { KvError } from "../../client/client.ts";
import { fakeClient, type Handler, lines, problem } from "./fake-server.ts";

const put = (key: string, revision: number, last = true) => ({
  type: "put",
  key,
  value: `${key}${revision}`,
  revision,
  ...(last ? { last } : {}),
});

async function take(
  handler: Handler,
  count: number,
  selection: { readonly prefix: string; readonly since?: number } = { prefix: "" },
) {
  const { kv, asked } = fakeClient(handler);
  const got: string[] = [];
  for await (const change of kv.watch(selection)) {
    got.push(`${change.type} ${change.key} ${change.revision} ${change.text()}`);
    if (got.length === count) break;
  }
  const since = asked.map(({ path }) => new URLSearchParams(path.split("?")[1]).get("since"));
  return { got, since };
}

test("it goes on behind the last whole revision", async () => {
  const answers = [lines(put("a", 5), put("b", 6)), lines(put("c", 9))];
  const { got, since } = await take((_, turn) => answers[turn - 1] ?? lines(), 3);
  assert.equal(got, ["put a 5 a5", "put b 6 b6", "put c 9 c9"]);
  assert.equal(since, [null, "6"]);
});

test("a revision that broke off comes again, and what was given of it is left out", async () => {
  const answers = [
    lines(put("a", 5), put("b", 7, false), put("c", 7, false)),
    lines(put("b", 7, false)),
    lines(put("b", 7, false), put("c", 7, false), put("d", 7), put("e", 8)),
  ];
  const { got, since } = await take((_, turn) => answers[turn - 1] ?? lines(), 5);
  assert.equal(
    got.map((text) => text.split(" ").slice(1, 3).join("")),
    ["a5", "b7", "c7", "d7", "e8"],
  );
  assert.equal(since, [null, "5", "5"]);
});

test("progress moves the place to go on from", async () => {
  const answers = [lines({ type: "progress", revision: 40 }), lines(put("a", 41))];
  const { since } = await take((_, turn) => answers[turn - 1] ?? lines(), 1);
  assert.equal(since, [null, "40"]);
});

test("a node that lags behind, or is gone, is passed over", async () => {
  const answers = [
    lines(put("a", 5)),
    problem(400, "bad_request", { field: "since" }),
    problem(503, "no_leader"),
    lines(put("b", 6)),
  ];
  const { got } = await take((_, turn) => answers[turn - 1] ?? lines(), 2);
  assert.equal(got, ["put a 5 a5", "put b 6 b6"]);
});

test("history that is gone ends it with the oldest revision", async () => {
  const { kv } = fakeClient(() => problem(410, "compacted", { oldestRevision: 90 }));
  try {
    for await (const change of kv.watch({ prefix: "", since: 3 })) assert.unreachable(change.key);
    assert.unreachable();
  } catch (error) {
    if (!KvError.is(error, "compacted")) throw error;
    assert.is(error.oldestRevision, 90);
  }
});

test("a node that remembers less is passed over for one that remembers more", async () => {
  const { kv, asked } = fakeClient(({ origin }, turn) =>
    turn === 1 || (turn > 2 && origin === asked[0]?.origin)
      ? problem(410, "compacted", { oldestRevision: 90 })
      : lines(put("a", 5)),
  );
  const { value } = await kv.watch({ prefix: "", since: 3 }).next();
  assert.equal([value?.revision, asked.length], [5, 2]);
  assert.is.not(asked[0]?.origin, asked[1]?.origin);
});

test("where none remembers, it is told from where the best of them does", async () => {
  const { kv, asked } = fakeClient((_, turn) =>
    problem(410, "compacted", { oldestRevision: turn === 1 ? 70 : 90 }),
  );
  const error: unknown = await kv
    .watch({ prefix: "", since: 3 })
    .next()
    .catch((reason: unknown) => reason);
  assert.ok(KvError.is(error, "compacted"), String(error));
  assert.equal([error.oldestRevision, asked.length], [70, 2]);
});

test("a signal ends it, and so does close()", async () => {
  for (const way of ["signal", "close"]) {
    const { kv } = fakeClient(() => lines(put("a", 5)));
    const controller = new AbortController();
    const changes = kv.watch({ key: "a" }, { signal: controller.signal });
    await changes.next();
    if (way === "signal") controller.abort();
    else kv.close();
    try {
      await changes.next();
      assert.unreachable(way);
    } catch (error) {
      assert.ok(KvError.is(error, "aborted"), String(error));
    }
  }
});

test("a deleted row has no value", async () => {
  const gone = { type: "delete", key: "a", revision: 5, last: true };
  const { kv } = fakeClient(() => lines(gone));
  const { value } = await kv.watch({ key: "a" }).next();
  assert.ok(value);
  assert.equal([value.type, value.value, value.text()], ["delete", undefined, ""]);
});

test.run();
