/** The store through another process's port: nothing is lost or invented on the way. */

import { createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Failure } from "../../server/client-port.ts";
import { HttpClient } from "../../server/http-client.ts";
import { serve } from "./raw-http.ts";

function url(port: number): string {
  return `http://127.0.0.1:${port}`;
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** A port on which nobody listens. */
async function deadPort(): Promise<number> {
  const { port, listener } = await serve();
  await listener.close(0);
  return port;
}

/** A server that does `behave` with every connection, and how many there were. */
async function stub(behave: (socket: Socket) => void) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    behave(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port, sockets, close };
}

function failed(answer: { readonly ok: boolean }): Failure {
  assert.is(answer.ok, false);
  return answer as Failure;
}

test("every key and byte makes the round trip", async () => {
  const { port, store, listener } = await serve();
  const client = new HttpClient([url(port)]);
  const value = Uint8Array.from({ length: 256 }, (_, i) => i);
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
  for (const key of [...keys, "k".repeat(2048)]) {
    const put = await client.put(key, value, { contentType: "text/x" });
    assert.ok(put.ok && put.created, key);
    assert.ok(store.rows.has(key), key);
    const got = await client.get(key);
    assert.ok(got.ok);
    assert.equal([...(got.row?.value ?? [])], [...value]);
    assert.equal([got.row?.contentType, got.row?.revision], ["text/x", put.revision]);
    const deleted = await client.delete(key);
    assert.ok(deleted.ok && deleted.deleted === 1);
  }
  client.close();
  await listener.close(0);
});

test("a missing row is null, with the level it was read at", async () => {
  const { port, listener } = await serve();
  const client = new HttpClient([url(port)]);
  assert.equal(await client.get("k"), { ok: true, level: "linearizable", row: null });
  const local = await client.get("k", { level: "local" });
  assert.equal(local, { ok: true, level: "local", ageMs: 12, row: null });
  client.close();
  await listener.close(0);
});

test("conditions, atoms, transactions and ranges come through", async () => {
  const { port, listener } = await serve();
  const client = new HttpClient([url(port)]);
  const created = await client.put("k", bytes("v"), { ifNoneMatch: "*" });
  assert.ok(created.ok && created.created);
  const refused = failed(await client.put("k", bytes("w"), { ifMatch: 99 }));
  assert.equal([refused.code, refused.revision], ["condition_failed", created.revision]);
  assert.is(failed(await client.delete("k", { ifNoneMatch: "*" })).outcome, "not_applied");
  const incr = { op: "incr", key: "c", by: 2n ** 60n, min: 0n, max: null } as const;
  const counted = await client.atomic(incr);
  assert.ok(counted.ok);
  assert.equal(counted.result, { op: "incr", value: 2n ** 60n, revision: counted.revision });
  const appended = await client.atomic({ op: "append", key: "k", value: new Uint8Array([255]) });
  assert.ok(appended.ok && appended.result.op === "append");
  assert.equal([...appended.result.value], [118, 255]);
  const taken = await client.atomic({ op: "getdel", key: "k" });
  assert.ok(taken.ok && taken.result.op === "getdel");
  assert.equal([...(taken.result.row?.value ?? [])], [118, 255]);
  const gone = await client.atomic({ op: "getdel", key: "k" });
  assert.ok(gone.ok && gone.result.op === "getdel" && gone.result.row === null);
  const done = await client.transact({
    op: "transaction",
    conditions: [{ kind: "value", key: "c", not: false, value: bytes(String(2n ** 60n)) }],
    then: [
      { op: "put", key: "p/1", value: new Uint8Array([254]), contentType: "a/b" },
      { op: "get", key: "p/1" },
      { op: "range", range: { start: "p/", end: "p0" }, limit: 5 },
      { op: "max", key: "c", value: 1n },
    ],
    otherwise: [],
  });
  assert.ok(done.ok && done.succeeded);
  const [, got, range, max] = done.results;
  assert.ok(got?.op === "get" && range?.op === "range" && max?.op === "max");
  assert.equal([...(got.row?.value ?? [])], [254]);
  assert.equal([range.rows.length, range.more, max.value], [1, false, 2n ** 60n]);
  const counts = await client.count({ prefix: "p/" });
  assert.is(counts.ok && counts.count, 1);
  const removed = await client.deleteRange({ start: "p", end: "q" }, { limit: 3 });
  assert.is(removed.ok && removed.deleted, 1);
  client.close();
  await listener.close(0);
});

test("listings and status come through", async () => {
  const { port, listener } = await serve();
  const client = new HttpClient([url(port)]);
  for (const key of ["p/1", "p/ä", "q"]) await client.put(key, new Uint8Array([255]));
  const first = await client.list({ prefix: "p/", limit: 1 });
  assert.ok(first.ok && first.more);
  const rest = await client.list({ prefix: "p/", after: "p/1" });
  assert.ok(rest.ok && !rest.more);
  assert.is(rest.rows[0]?.key, "p/ä");
  assert.equal([...(rest.rows[0]?.value ?? [])], [255]);
  const status = await client.status();
  assert.ok(status.ok && status.status.role === "leader");
  client.close();
  await listener.close(0);
});

test("what is no key is refused without asking", async () => {
  const client = new HttpClient([url(await deadPort())]);
  for (const key of ["", "a\0b", "k".repeat(2049), "\ud800"]) {
    const failure = failed(await client.put(key, new Uint8Array(0)));
    assert.equal([failure.code, failure.outcome], ["bad_request", "not_applied"]);
  }
});

test("a refused connection is not_applied, and the next endpoint is tried", async () => {
  const dead = url(await deadPort());
  const failure = failed(await new HttpClient([dead]).put("k", bytes("v")));
  assert.equal([failure.code, failure.outcome], ["unreachable", "not_applied"]);
  const { port, store, listener } = await serve();
  const client = new HttpClient([dead, url(port)]);
  assert.ok((await client.put("k", bytes("v"))).ok);
  assert.is(store.writes, 1);
  client.close();
  await listener.close(0);
});

test("a write without an answer is unknown and is not sent again", async () => {
  const { port, store, listener } = await serve();
  const mute = await stub((socket) => socket.once("data", () => socket.destroy()));
  const client = new HttpClient([url(mute.port), url(port)]);
  for (const answer of [await client.put("k", bytes("v")), await client.delete("k")]) {
    const failure = failed(answer);
    assert.equal([failure.code, failure.outcome], ["timeout", "unknown"]);
  }
  assert.is(store.writes, 0);
  client.close();
  mute.close();
  await listener.close(0);
});

test("a read without an answer is asked elsewhere", async () => {
  const { port, listener } = await serve();
  const mute = await stub((socket) => socket.once("data", () => socket.destroy()));
  const client = new HttpClient([url(mute.port), url(port)]);
  assert.ok((await client.get("k")).ok);
  assert.ok((await client.get("k")).ok);
  assert.is(mute.sockets.length, 1, "the endpoint that answered is asked first");
  client.close();
  mute.close();
  await listener.close(0);
});

test("a server that does not answer is given up in time", async () => {
  const silent = await stub(() => {});
  const client = new HttpClient([url(silent.port)], { timeoutMs: 50 });
  const write = failed(await client.put("k", bytes("v")));
  assert.equal([write.code, write.outcome], ["timeout", "unknown"]);
  const read = failed(await client.get("k"));
  assert.equal([read.code, read.outcome], ["timeout", undefined]);
  client.close();
  silent.close();
});

test("an endpoint that hangs takes its share of the time, and the next is read from", async () => {
  const silent = await stub(() => {});
  const { port, listener } = await serve();
  const third = url(await deadPort());
  const client = new HttpClient([url(silent.port), url(port), third], { timeoutMs: 2_000 });
  assert.ok((await client.get("k")).ok);
  client.close();
  silent.close();
  await listener.close(0);
});

test("a write to an endpoint that hangs is unknown and goes nowhere else", async () => {
  const silent = await stub(() => {});
  const { port, store, listener } = await serve();
  const client = new HttpClient([url(silent.port), url(port)], { timeoutMs: 200 });
  const failure = failed(await client.put("k", bytes("v")));
  assert.equal([failure.code, failure.outcome], ["timeout", "unknown"]);
  assert.is(store.writes, 0);
  client.close();
  silent.close();
  await listener.close(0);
});

test("a write may take longer than its endpoint's share, once it is sent", async () => {
  const slow = await stub((socket) =>
    socket.once("data", () => {
      const answer = "HTTP/1.1 201 Created\r\nX-KV-Revision: 7\r\nContent-Length: 0\r\n\r\n";
      AbortSignal.timeout(400).addEventListener("abort", () => socket.end(answer));
    }),
  );
  const other = url(await deadPort());
  const client = new HttpClient([url(slow.port), other, other, other], { timeoutMs: 1_200 });
  const answer = await client.put("k", bytes("v"));
  assert.ok(answer.ok && answer.revision === 7);
  client.close();
  slow.close();
});

test("where no endpoint can be reached, all are named", async () => {
  const ports = [await deadPort(), await deadPort()];
  const failure = failed(await new HttpClient(ports.map(url)).get("k"));
  assert.is(failure.code, "unreachable");
  const hosts = ports.map((port) => `127.0.0.1:${port}`).join(", ");
  const expected = `${hosts}: it cannot be reached (ECONNREFUSED); see that the nodes run there`;
  assert.is(failure.detail, expected);
});

test("what an endpoint answers says more than what others do not", async () => {
  const { port, store, listener } = await serve();
  store.failure = { ok: false, code: "no_leader", detail: "no leader", outcome: "not_applied" };
  const client = new HttpClient([url(port), url(await deadPort())]);
  assert.is(failed(await client.put("k", bytes("v"))).detail, "no leader");
  client.close();
  await listener.close(0);
});

test("an answer that breaks off is no answer", async () => {
  const broken = await stub((socket) =>
    socket.once("data", () => {
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX-KV-Revision: 1\r\n\r\nhalf");
    }),
  );
  const client = new HttpClient([url(broken.port)]);
  assert.is(failed(await client.get("k")).code, "unreachable");
  assert.is(failed(await client.put("k", bytes("v"))).outcome, "unknown");
  client.close();
  broken.close();
});

test("only a refusal that surely did nothing sends a write elsewhere", async () => {
  const first = await serve();
  const second = await serve();
  const client = new HttpClient([url(first.port), url(second.port)]);
  first.store.failure = { ok: false, code: "timeout", detail: "late", outcome: "unknown" };
  assert.is(failed(await client.put("k", bytes("v"))).outcome, "unknown");
  assert.is(second.store.writes, 0);
  first.store.failure = { ok: false, code: "no_leader", detail: "none", outcome: "not_applied" };
  assert.ok((await client.put("k", bytes("v"))).ok);
  assert.is(second.store.writes, 1);
  client.close();
  await first.listener.close(0);
  await second.listener.close(0);
});

test("a problem keeps its code, detail, outcome, field and delay", async () => {
  const { port, store, listener } = await serve();
  const client = new HttpClient([url(port)]);
  const failure: Failure = {
    ok: false,
    code: "no_space",
    detail: "the disk is full",
    outcome: "not_applied",
    field: "value",
  };
  store.failure = failure;
  assert.equal(await client.put("k", bytes("v")), failure);
  store.failure = { ok: false, code: "stale", detail: "behind", retryAfterSeconds: 3 };
  assert.equal(await client.get("k"), store.failure);
  client.close();
  await listener.close(0);
});

test("an answer that is not ours is a failure and no exception", async () => {
  const page = "<html>";
  const proxy = await stub((socket) =>
    socket.on("data", () => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${page.length}\r\n\r\n${page}`);
    }),
  );
  const client = new HttpClient([url(proxy.port)]);
  assert.is(failed(await client.list({ prefix: "" })).code, "internal");
  assert.is(failed(await client.status()).code, "internal");
  assert.is(failed(await client.delete("k")).outcome, "unknown");
  assert.is(failed(await client.put("k", bytes("v"))).outcome, "unknown");
  assert.is(failed(await client.get("k")).code, "internal");
  client.close();
  proxy.close();
});

test.run();
