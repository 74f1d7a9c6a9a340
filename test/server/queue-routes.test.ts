/** Locks and elections over HTTP: who is served when, what passes a waiter over, and what fences. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { answerQueue } from "../../server/queue-routes.ts";
import type { QueueKind } from "../../server/session-port.ts";
import type { Answer } from "../../server/answer.ts";
import { asJson, client } from "./asker.ts";
import { MapStore } from "./map-store.ts";
import { VirtualTime } from "./simulated-nodes.ts";

interface Asked {
  answer: { readonly status: number; readonly json: Record<string, unknown> } | null;
  readonly close: () => void;
}

/** A store whose time goes on only when the test says so. */
class Scene {
  readonly store = new MapStore();
  readonly time = new VirtualTime();

  constructor() {
    this.store.beginWatches(this.time.clock());
  }

  enter(name: string, body: object, kind: QueueKind = "lock", key?: string): Asked {
    const given = new AbortController();
    const headers = new Headers({ "content-type": "application/json" });
    if (key !== undefined) headers.set("idempotency-key", key);
    const head = { method: "POST", headers };
    const path = kind === "lock" ? "locks" : "elections";
    const bytes = new TextEncoder().encode(JSON.stringify(body));
    const call = { head, target: `/v1/${path}/${name}`, body: bytes, gone: given.signal };
    const asked: Asked = { answer: null, close: () => given.abort() };
    const enter = async (): Promise<void> => {
      const { status, body: text } = (await answerQueue(call, kind, this.store)) as Answer;
      asked.answer = { status, json: JSON.parse(String(text)) as Record<string, unknown> };
    };
    void enter();
    return asked;
  }

  /** Promises and time go on together; what is due expires. */
  async run(ms: number): Promise<void> {
    for (let passed = 0; passed <= ms; passed += 50) {
      for (let turns = 0; turns < 100; turns++) {
        this.time.run(0);
        await Promise.resolve();
      }
      if (passed === ms) return;
      this.time.run(50);
      this.store.timeMs += 50;
      this.store.expire();
    }
  }

  async ask(method: string, path: string, body?: object) {
    const head = { method, headers: new Headers({ "content-type": "application/json" }) };
    const bytes = body ? new TextEncoder().encode(JSON.stringify(body)) : new Uint8Array();
    const kind = path.startsWith("/v1/locks/") ? "lock" : "election";
    const call = { head, target: path, body: bytes, gone: new AbortController().signal };
    const answer = (await answerQueue(call, kind, this.store)) as Answer;
    return { status: answer.status, json: JSON.parse(String(answer.body)) as object };
  }
}

const tokenOf = ({ answer }: Asked): number => Number(answer?.json["token"]);
const ttl = "2s";

test("who holds and who leads is read as everything is", async () => {
  const { ask } = client();
  for (const path of ["/v1/locks/a", "/v1/elections/a"]) {
    const { headers } = await ask("GET", path);
    assert.equal([headers.get("x-kv-level"), headers.get("x-kv-revision")], ["linearizable", "0"]);
  }
});

test("a lock is free, or held, or given back, and says so", async () => {
  const { ask } = client();
  assert.equal((await ask("GET", "/v1/locks/a%2Fb")).json, {
    name: "a/b",
    holder: null,
    waiting: 0,
  });
  const got = await ask("POST", "/v1/locks/a/b", asJson({ ttl }));
  assert.equal([got.status, got.json], [200, { name: "a/b", token: 1, lease: 1 }]);
  const { json } = await ask("GET", "/v1/locks/a/b");
  assert.equal(json, { name: "a/b", holder: { token: 1, lease: 1 }, waiting: 0 });
  const held = await ask("POST", "/v1/locks/a/b", asJson({ ttl }));
  assert.equal([held.status, held.json["code"]], [409, "conflict"]);
  assert.is((await ask("DELETE", "/v1/locks/a/b?token=2")).status, 409);
  const released = await ask("DELETE", "/v1/locks/a/b?token=1");
  assert.equal([released.status, released.json["released"]], [200, true]);
  assert.is((await ask("DELETE", "/v1/locks/a/b?token=1")).status, 409);
  assert.is((await ask("GET", "/v1/leases/1")).status, 404);
  const again = await ask("POST", "/v1/locks/a/b", asJson({ ttl }));
  assert.ok(Number(again.json["token"]) > 1);
});

test("a lock that was given back is not taken again under the same idempotency key", async () => {
  const scene = new Scene();
  const first = scene.enter("a", { ttl: "9s" }, "lock", "mine");
  await scene.run(50);
  const again = scene.enter("a", { ttl: "9s" }, "lock", "mine");
  await scene.run(50);
  assert.equal(again.answer, first.answer, "while it is held");
  const token = first.answer?.json["token"];
  assert.is((await scene.ask("DELETE", `/v1/locks/a?token=${String(token)}`)).status, 200);
  const late = scene.enter("a", { ttl: "9s" }, "lock", "mine");
  await scene.run(50);
  assert.is(late.answer?.status, 409);
  assert.match(String(late.answer?.json["detail"]), "under a new idempotency key");
});

test("waiters are served in the order in which they came, with tokens that grow", async () => {
  const scene = new Scene();
  const asked = [scene.enter("a", { ttl })];
  await scene.run(50);
  for (let at = 0; at < 3; at++) {
    asked.push(scene.enter("a", { ttl, wait: "60s" }));
    await scene.run(50);
  }
  const { json } = await scene.ask("GET", "/v1/locks/a");
  assert.equal(json, { name: "a", holder: { token: 1, lease: 1 }, waiting: 3 });
  for (let turn = 0; turn < 4; turn++) {
    const answered = asked.map(({ answer }) => answer?.status ?? 0);
    const expected = asked.map((_, at) => (at <= turn ? 200 : 0));
    assert.equal(answered, expected, `turn ${turn}`);
    await scene.ask("DELETE", `/v1/locks/a?token=${tokenOf(asked[turn] as Asked)}`);
    await scene.run(100);
  }
  const tokens = asked.map(tokenOf);
  assert.equal(
    tokens,
    tokens.toSorted((a, b) => a - b),
  );
  assert.is(scene.store.rows.size, 0);
});

test("a lock whose holder is silent is free within its time, and a waiter's lease is kept", async () => {
  const scene = new Scene();
  const holder = scene.enter("a", { ttl: "10s" });
  await scene.run(50);
  const waiter = scene.enter("a", { ttl: "1s", wait: "60s" });
  await scene.run(9_800);
  assert.equal([holder.answer?.status, waiter.answer], [200, null]);
  await scene.run(300);
  assert.is(waiter.answer?.status, 200);
  const lease = await scene.store.get(`\0lease/${Number(waiter.answer?.json["lease"])}`);
  assert.ok(lease.ok && (lease.row?.ttlMs ?? 0) > 700, "it begins with all of its time");
});

test("a waiter whose time is over leaves, and so does one whose connection closes", async () => {
  const scene = new Scene();
  const holder = scene.enter("a", { ttl: "60s" });
  await scene.run(50);
  const hasty = scene.enter("a", { ttl, wait: "1s" });
  const gone = scene.enter("a", { ttl, wait: "60s" });
  const last = scene.enter("a", { ttl, wait: "60s" });
  await scene.run(1_200);
  assert.is(hasty.answer?.status, 409);
  gone.close();
  await scene.run(100);
  const { json } = await scene.ask("GET", "/v1/locks/a");
  assert.equal(json, { name: "a", holder: { token: 1, lease: 1 }, waiting: 1 });
  await scene.ask("DELETE", `/v1/locks/a?token=${tokenOf(holder)}`);
  await scene.run(100);
  assert.is(last.answer?.status, 200);
});

test("who asks again under his idempotency key, or with his lease, has the place that he had", async () => {
  const scene = new Scene();
  const holder = scene.enter("a", { ttl: "60s" });
  await scene.run(50);
  scene.enter("a", { ttl: "9s", wait: "60s" }, "lock", "mine");
  await scene.run(50);
  const other = scene.enter("a", { ttl: "9s", wait: "60s" });
  const again = scene.enter("a", { ttl: "9s", wait: "60s" }, "lock", "mine");
  await scene.run(50);
  await scene.ask("DELETE", `/v1/locks/a?token=${tokenOf(holder)}`);
  await scene.run(100);
  assert.equal([again.answer?.status, other.answer], [200, null]);
  assert.ok(tokenOf(again) > tokenOf(holder));
});

test("a waiter whose lease ends hears of it", async () => {
  const scene = new Scene();
  scene.enter("a", { ttl: "60s" });
  await scene.store.transact({
    ...{ op: "transaction", conditions: [], otherwise: [] },
    then: [{ op: "leaseGrant", ttlMs: 1_000 }],
  });
  await scene.run(50);
  const lease = [...scene.store.rows.keys()]
    .filter((key) => key.startsWith("\0lease/"))
    .map((key) => Number(key.slice(7)))
    .sort((a, b) => b - a)[0];
  const waiter = scene.enter("a", { lease, wait: "60s" });
  await scene.run(800);
  assert.is(waiter.answer, null);
  await scene.run(400);
  assert.equal([waiter.answer?.status, waiter.answer?.json["code"]], [409, "conflict"]);
});

test("a write under the token of a lock is done only while the lock is held by it", async () => {
  const { ask } = client();
  const { json } = await ask("POST", "/v1/locks/a", asJson({ ttl }));
  const token = Number(json["token"]);
  const fenced = () =>
    ask(
      "POST",
      "/v1/txn",
      asJson({ if: [{ lock: "a", token }], then: [{ op: "put", key: "k", value: "v" }] }),
    );
  assert.is((await fenced()).json["succeeded"], true);
  await ask("DELETE", `/v1/locks/a?token=${token}`);
  assert.is((await fenced()).json["succeeded"], false);
  await ask("POST", "/v1/locks/a", asJson({ ttl }));
  assert.is((await fenced()).json["succeeded"], false);
});

test("an election has a leader with a value, which it changes, and gives up", async () => {
  const scene = new Scene();
  assert.equal((await scene.ask("GET", "/v1/elections/e")).json, { leader: null });
  const first = scene.enter("e", { ttl: "60s", value: "one" }, "election");
  await scene.run(50);
  const token = tokenOf(first);
  const path = `/v1/elections/e?token=${token}`;
  assert.equal((await scene.ask("GET", "/v1/elections/e")).json, {
    leader: { value: "one", token },
  });
  assert.is((await scene.ask("PUT", path, { value: "changed" })).status, 200);
  const second = scene.enter("e", { ttl: "60s", wait: "60s", value: "two" }, "election");
  await scene.run(50);
  assert.equal((await scene.ask("GET", "/v1/elections/e")).json, {
    leader: { value: "changed", token },
  });
  assert.is((await scene.ask("PUT", `/v1/elections/e?token=9999`, { value: "x" })).status, 409);
  assert.is((await scene.ask("DELETE", path)).status, 200);
  await scene.run(50);
  assert.is(second.answer?.status, 200);
  assert.is((await scene.ask("PUT", path, { value: "late" })).status, 409);
  assert.equal((await scene.ask("GET", "/v1/elections/e")).json, {
    leader: { value: "two", token: tokenOf(second) },
  });
});

test("whoever comes to lead is told to those who watch the election", async () => {
  const { ask, store } = client();
  const time = new VirtualTime();
  store.beginWatches(time.clock());
  const candidate = async (value: string, wait?: string) =>
    Number(
      (await ask("POST", "/v1/elections/e", asJson({ ttl: "60s", value, wait }))).json["token"],
    );
  const one = await candidate("one");
  const given = new AbortController();
  const watch = await store.watch({ prefix: "\0queue/election/e\0", signal: given.signal });
  assert.ok(watch.ok);
  store.watched = async () => watch;
  const reading = ask("GET", "/v1/elections/e?watch", {
    headers: { accept: "application/x-ndjson" },
  });
  const turn = async (): Promise<void> => {
    for (let turns = 0; turns < 50; turns++) {
      time.run(0);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await turn();
  await ask("PUT", `/v1/elections/e?token=${one}`, asJson({ value: "uno" }));
  await turn();
  await ask("DELETE", `/v1/elections/e?token=${one}`);
  await turn();
  const two = await candidate("two");
  await turn();
  given.abort();
  await turn();
  const lines = (await reading).text.split("\n").filter((text) => text !== "");
  const told = lines.map((text) => (JSON.parse(text) as { leader?: object }).leader);
  assert.equal(told, [
    { value: "one", token: one },
    { value: "uno", token: one },
    null,
    { value: "two", token: two },
  ]);
});

test("what is odd about a lock or an election is refused, and names its field", async () => {
  const { ask, store } = client();
  const odd = [
    ["POST", "/v1/locks/a", asJson({}), 400, "ttl"],
    ["POST", "/v1/locks/a", asJson({ ttl: "0s" }), 400, "ttl"],
    ["POST", "/v1/locks/a", asJson({ ttl, wait: "-1s" }), 400, "wait"],
    ["POST", "/v1/locks/a", asJson({ ttl, wait: "11m" }), 400, "wait"],
    ["POST", "/v1/locks/a", asJson({ ttl, lease: "x" }), 400, "lease"],
    ["POST", "/v1/locks/a", asJson({ ttl, value: "v" }), 400, "value"],
    ["POST", "/v1/locks/", asJson({ ttl }), 400, "name"],
    ["POST", "/v1/locks/%00", asJson({ ttl }), 400, "name"],
    ["POST", `/v1/locks/${"x".repeat(1_025)}`, asJson({ ttl }), 400, "name"],
    ["POST", "/v1/elections/a", asJson({ ttl }), 400, "value"],
    ["DELETE", "/v1/locks/a", {}, 400, "token"],
    ["DELETE", "/v1/locks/a?token=x", {}, 400, "token"],
    ["PUT", "/v1/locks/a?token=1", asJson({ value: "v" }), 405, undefined],
    ["POST", "/v1/txn", asJson({ if: [{ lock: "" }] }), 400, "if[0].lock"],
    ["POST", "/v1/txn", asJson({ if: [{ lock: "a" }] }), 400, "if[0].token"],
    ["POST", "/v1/txn", asJson({ if: [{ lock: "a", token: 1, key: "k" }] }), 400, "if[0].key"],
  ] as const;
  for (const [method, path, more, status, field] of odd) {
    const { json, ...answer } = await ask(method, path, more);
    assert.equal([answer.status, json["field"]], [status, field], `${method} ${path.slice(0, 40)}`);
  }
  assert.is(store.writes, 0);
});

test.run();
