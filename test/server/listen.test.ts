/** The listener of this runtime against bytes that no friendly client sends. */

import { request as httpRequest } from "node:http";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { defaultLimits } from "../../server/limits.ts";
import { listen } from "../../server/listen/http1.ts";
import type { Http1Limits } from "../../server/listen/http1-limits.ts";
import { must } from "../../server/raft/assert.ts";
import type { WatchBatches } from "../../server/watch/watch-port.ts";
import {
  exchange,
  listenOptions,
  RawConnection,
  requestText,
  serve,
  statusIn,
  until,
} from "./raw-http.ts";
import { MapStore } from "./map-store.ts";

const head = "PUT /v1/kv/k HTTP/1.1\r\nHost: localhost\r\n";

/** Sends `text` to a new server and gives the status and the keys that are stored afterwards. */
async function outcome(text: string): Promise<{ status: number; keys: string[] }> {
  const { store, port, listener } = await serve();
  const connection = new RawConnection(port).send(text);
  const status = await connection.status();
  connection.close();
  await listener.close(0);
  return { status, keys: [...store.rows.keys()] };
}

test("malformed requests are refused and store nothing", async () => {
  const malformed = [
    "GARBAGE\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "PUT /v1/kv/k HTTP/1.1\r\n\r\n",
    "PUT /v1/kv/k HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nContent-Length: 1\r\n\r\nv",
    `${head}Content-Length: 1\r\nContent-Length: 2\r\n\r\nvv`,
    `${head}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nv\r\n0\r\n\r\n`,
    `${head}Content-Length: -1\r\n\r\nv`,
    `${head}Content-Length: 1e3\r\n\r\nv`,
    `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\nv\r\n0\r\n\r\n`,
    `${head}Content-Length : 1\r\n\r\nv`,
    `${head}X-Text: a\0b\r\nContent-Length: 1\r\n\r\nv`,
    "PUT http://evil/v1/kv/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nv",
    "PUT * HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nv",
    "PUT v1/kv/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nv",
  ];
  for (const text of malformed) {
    const { status, keys } = await outcome(text);
    // Some are answered by closing the connection, which is as good.
    assert.ok(status === 0 || (status >= 400 && status < 500), `${status} for ${text}`);
    assert.equal(keys, [], text);
  }
});

test("headers without end are refused", async () => {
  const { status } = await outcome(`${head}X-Long: ${"x".repeat(1 << 20)}\r\n\r\n`);
  assert.ok(status === 0 || (status >= 400 && status < 500), String(status));
});

test("a declared gigabyte is refused at once, unread", async () => {
  const { status, keys } = await outcome(`${head}Content-Length: 1000000000\r\n\r\nxxxx`);
  assert.equal([status, keys], [413, []]);
});

test("a value of 1,048,576 bytes is stored, one more is not", async () => {
  const put = (bytes: number) => {
    return outcome(`${head}Content-Length: ${bytes}\r\n\r\n${"x".repeat(bytes)}`);
  };
  assert.equal(await put(1_048_576), { status: 201, keys: ["k"] });
  assert.equal(await put(1_048_577), { status: 413, keys: [] });
});

test("a chunked body is stored whole up to the limit", async () => {
  const chunked = (bytes: number) => {
    const chunk = `${bytes.toString(16)}\r\n${"x".repeat(bytes)}\r\n`;
    return outcome(`${head}Transfer-Encoding: chunked\r\n\r\n${chunk}0\r\n\r\n`);
  };
  assert.equal(await chunked(1_048_576), { status: 201, keys: ["k"] });
  assert.equal(await chunked(1_048_577), { status: 413, keys: [] });
});

const { transactionBytesMax } = defaultLimits;
const transactionHead =
  "POST /v1/txn HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

/** A request of `bytes` of JSON with two values of 1 MiB. */
function transactionText(bytes: number): string {
  const value = "x".repeat(1 << 20);
  const then = ["a", "b"].map((key) => ({ op: "put", key, value }));
  const json = JSON.stringify({ then }).padEnd(bytes);
  return `${transactionHead}Content-Length: ${json.length}\r\n\r\n${json}`;
}

test("a transaction may be larger than a value, up to a limit of its own", async () => {
  assert.equal(await outcome(transactionText(0)), { status: 200, keys: ["a", "b"] });
  assert.equal(await outcome(transactionText(transactionBytesMax)), {
    status: 200,
    keys: ["a", "b"],
  });
  const { port, listener } = await serve();
  for (const [text, field] of [
    [`${transactionHead}Content-Length: ${transactionBytesMax + 1}\r\n\r\n{`, "body"],
    [`${transactionHead}Transfer-Encoding: chunked\r\n\r\n800001\r\n{`, "body"],
    [`${head}Content-Length: 1048577\r\n\r\nx`, "value"],
  ] as const) {
    const answer = await exchange(port, text);
    assert.is(statusIn(answer), 413);
    assert.match(answer, `"field":"${field}"`);
  }
  await listener.close(0);
});

test("a body larger than a value holds its room until it is answered, though its client has gone", async () => {
  const { store, port, listener } = await serve({ readingBytesMax: 5 << 20 });
  const transact = store.transact.bind(store);
  const held: (() => void)[] = [];
  store.transact = async (...given) => {
    await new Promise<void>((resolve) => held.push(resolve));
    return transact(...given);
  };
  const first = new RawConnection(port).send(transactionText(3 << 20));
  await until("the store has it", () => held.length === 1);
  first.socket.resetAndDestroy();
  const put = `${head}Content-Length: ${1 << 20}\r\n\r\n${"x".repeat(1 << 20)}`;
  assert.is(await new RawConnection(port).send(put).status(), 201, "values find room");
  const second = await exchange(port, transactionText(3 << 20));
  assert.equal([statusIn(second), /"code":"(\w+)"/.exec(second)?.[1]], [429, "overloaded"]);
  held[0]?.();
  const third = new RawConnection(port).send(transactionText(3 << 20));
  await until("there is room again", () => held.length === 2);
  held[1]?.();
  assert.is(await third.status(), 200);
  third.close();
  await listener.close(0);
});

test("who goes away while he waits for a change leaves no watcher behind", async () => {
  const { store, port, listener } = await serve();
  const signals: AbortSignal[] = [];
  store.watched = async ({ signal }) => {
    const given = must(signal, "a watch can be given up");
    signals.push(given);
    const batches = async function* (): WatchBatches {
      yield [];
      await new Promise((resolve) => given.addEventListener("abort", resolve));
    };
    return { ok: true, batches: batches() };
  };
  // From a page it goes the longer way.
  for (const more of ["", "Origin: https://friend.example\r\n"]) {
    const asking = new RawConnection(port);
    asking.send(`GET /v1/kv/k?wait=30s HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`);
    await until("it waits", () => signals.length === 1);
    assert.is(signals[0]?.aborted, false);
    asking.close();
    await until("nobody waits", () => signals[0]?.aborted === true);
    signals.length = 0;
  }
  await listener.close(0);
});

test("two idempotency keys are not taken for one", async () => {
  const { store, port, listener } = await serve();
  const keys = "Idempotency-Key: a\r\nIdempotency-Key: b\r\nContent-Type: application/json\r\n";
  for (const [method, target, body] of [
    ["PUT", "/v1/kv/k", "v"],
    ["POST", "/v1/txn", "{}"],
  ] as const) {
    const answer = await exchange(port, requestText(method, target, keys, body));
    assert.is(statusIn(answer), 400);
    assert.match(answer, '"field":"idempotency-key"');
  }
  assert.is(store.writes, 0);
  const one = "Idempotency-Key: a, b\r\n";
  assert.is(statusIn(await exchange(port, requestText("PUT", "/v1/kv/k", one, "v"))), 201);
  await listener.close(0);
});

test("half a body and then a close changes nothing", async () => {
  const { store, port, listener } = await serve();
  const halves = [
    `${head}Content-Length: 10\r\n\r\nhello`,
    `${head}Content-Length: 200000\r\n\r\n${"x".repeat(100_000)}`,
    `${head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`,
    `${head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n`,
  ];
  for (const half of halves) {
    const ended = new RawConnection(port).send(half);
    ended.socket.end();
    const cut = new RawConnection(port);
    await new Promise((resolve) => cut.socket.write(half, "latin1", resolve));
    cut.close();
    await until("both were closed", () => cut.closed && ended.closed);
  }
  // What the server did with the halves it did before it answers this.
  assert.is(statusIn(await exchange(port, requestText("GET", "/v1/kv/k"))), 404);
  assert.is(store.writes, 0);
  await listener.close(0);
});

test("slow headers and idle connections keep nobody else waiting", async () => {
  const { port, listener } = await serve();
  const slow = Array.from({ length: 200 }, (_, i) => {
    const connection = new RawConnection(port);
    return i % 2 === 0 ? connection : connection.send("GET /v1/kv/k HTTP/1.1\r\nHo");
  });
  const answer = await exchange(port, requestText("PUT", "/v1/kv/k", "", "v"));
  assert.is(statusIn(answer), 201);
  for (const connection of slow) connection.close();
  await listener.close(0);
});

test("where all connections are taken, one that is idle makes room", async () => {
  const { port, listener } = await serve({ connectionsMax: 2 });
  const idle = [new RawConnection(port), new RawConnection(port)];
  for (const connection of idle) {
    connection.send("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await connection.status();
  }
  assert.is(statusIn(await exchange(port, requestText("PUT", "/v1/kv/k", "", "v"))), 201);
  await until("one was closed", () => idle.some((connection) => connection.closed));
  assert.is(idle.filter((connection) => connection.closed).length, 1);
  for (const connection of idle) connection.close();
  await listener.close(0);
});

test("a target over its limit is 414, headers over theirs are 431", async () => {
  const { port, listener } = await serve();
  const long = "k".repeat(20_000);
  const statusOf = async (target: string, more = ""): Promise<[number, string]> => {
    const answer = await exchange(port, requestText("GET", target, more));
    return [statusIn(answer), /"code":"([a-z_]+)"/.exec(answer)?.[1] ?? ""];
  };
  assert.equal(await statusOf(`/v1/kv/${long}`), [414, "key_too_long"]);
  assert.equal(await statusOf(`/v1/kv?prefix=${long}`), [414, "bad_request"]);
  assert.equal(await statusOf("/v1/kv/k", `X-Long: ${long}\r\n`), [431, "bad_request"]);
  await listener.close(0);
});

test("pipelined requests are answered in order", async () => {
  const { port, listener } = await serve();
  const put = (key: string) =>
    `PUT /v1/kv/${key} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nv`;
  const text = put("a") + put("b") + requestText("GET", "/v1/kv/b");
  const received = await exchange(port, text);
  const order = ['"key":"a","revision":1', '"key":"b","revision":2', "X-KV-Revision: 2\r\n"];
  const places = order.map((part) => received.toLowerCase().lastIndexOf(part.toLowerCase()));
  assert.ok(!places.includes(-1), received);
  assert.equal(
    [...places].sort((a, b) => a - b),
    places,
  );
  await listener.close(0);
});

/** The statuses that come for `text`, until the listener closes or `count` have come. */
async function statusesOf(
  text: string,
  count: number,
): Promise<{ statuses: number[]; keys: string[]; received: string }> {
  const { port, store, listener } = await serve();
  const connection = new RawConnection(port).send(text);
  const statuses = () => [...connection.received.matchAll(/HTTP\/1\.1 (\d+)/g)].map((m) => m[1]);
  await until("all were answered", () => statuses().length >= count || connection.closed);
  connection.close();
  await listener.close(0);
  const { received } = connection;
  return { statuses: statuses().map(Number), keys: [...store.rows.keys()], received };
}

test("bytes that are no request are refused behind the answers of those before them", async () => {
  const put = "PUT /v1/kv/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n";
  const { statuses, keys, received } = await statusesOf(`${put}he\x01 / \r\n\r\n`, 2);
  assert.equal(statuses, [201, 400]);
  assert.equal(keys, ["a"]);
  assert.match(received, /application\/problem\+json[^]*"code":"bad_request"[^]*"not_applied"/);
});

test("what follows a request that says close is not executed", async () => {
  const last = "PUT /v1/kv/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
  const text = `${last}Content-Length: 1\r\n\r\nv${last.replace("/a ", "/b ")}\r\n`;
  assert.equal((await statusesOf(text, 2)).keys, ["a"]);
});

test("a body that breaks off its form is refused at once, also of the last request", async () => {
  for (const wish of ["close", "keep-alive"]) {
    const wished = `${head}Connection: ${wish}\r\n`;
    const text = `${wished}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n`;
    const { statuses, keys } = await statusesOf(text, 1);
    assert.ok(statuses.length === 0 || statuses[0] === 400, statuses.join());
    assert.equal(keys, []);
  }
});

test("requests without end on one connection are answered or refused, each in its turn", async () => {
  const { port, store, listener } = await serve();
  const count = 2_000;
  const put = "PUT /v1/kv/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nv";
  const connection = new RawConnection(port).send(put.repeat(count));
  const statuses = () => [...connection.received.matchAll(/HTTP\/1\.1 (\d+)/g)].map((m) => m[1]);
  await until("all were answered", () => statuses().length === count);
  const done = statuses().filter((status) => status === "200" || status === "201").length;
  assert.is(statuses().filter((status) => status === "429").length, count - done);
  assert.is(store.writes, done);
  connection.close();
  await listener.close(0);
});

test("a foreign host and a foreign origin are refused on the wire", async () => {
  const evil = "PUT /v1/kv/k HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1\r\n\r\nv";
  assert.equal(await outcome(evil), { status: 421, keys: [] });
  const page = requestText("PUT", "/v1/kv/k", "Origin: http://evil.example\r\n", "v");
  assert.equal(await outcome(page), { status: 403, keys: [] });
  const form = "Content-Type: application/x-www-form-urlencoded\r\nOrigin: http://evil.example\r\n";
  assert.equal(await outcome(requestText("POST", "/v1/kv/k", form, "a=b")), {
    status: 403,
    keys: [],
  });
});

test("head has the length and no body", async () => {
  const { port, listener } = await serve();
  await exchange(port, requestText("PUT", "/v1/kv/k", "", "hello"));
  const answer = await exchange(port, requestText("HEAD", "/v1/kv/k"));
  assert.is(statusIn(answer), 200);
  assert.match(answer, /content-length: 5\r\n/i);
  assert.ok(answer.endsWith("\r\n\r\n"));
  await listener.close(0);
});

test("all 256 byte values go through and come back", async () => {
  const { port, listener } = await serve();
  const bytes = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));
  const form = "Content-Type: application/x-www-form-urlencoded\r\n";
  await exchange(port, requestText("PUT", "/v1/kv/k", form, bytes));
  const answer = await exchange(port, requestText("GET", "/v1/kv/k"));
  assert.ok(answer.endsWith(`\r\n\r\n${bytes}`));
  assert.match(answer, /content-type: application\/x-www-form-urlencoded\r\n/i);
  await listener.close(0);
});

test("keys with spaces, other scripts and names of properties are stored as such", async () => {
  const { store, port, listener } = await serve();
  const paths = [
    "a%20b",
    "%C3%A4%E2%82%AC%F0%9F%90%9F",
    "__proto__",
    "..%2F..%2Fetc%2Fpasswd",
    "a+b",
  ];
  for (const path of paths) {
    const answer = await exchange(port, requestText("PUT", `/v1/kv/${path}`, "", "v"));
    assert.is(statusIn(answer), 201, path);
  }
  const expected = ["a b", "ä€🐟", "__proto__", "../../etc/passwd", "a+b"];
  assert.equal([...store.rows.keys()], expected);
  await listener.close(0);
});

test("a taken port is an error with the code EADDRINUSE", async () => {
  const { port, listener } = await serve();
  let code = "";
  try {
    await (await listen(listenOptions(new MapStore(), { port }))).close(0);
  } catch (error) {
    code = (error as { code: string }).code;
  }
  assert.is(code, "EADDRINUSE");
  await listener.close(0);
});

/** A server whose next get is answered only when the returned function is called. */
async function serveHeld(limits: Partial<Http1Limits> = {}) {
  const store = new MapStore();
  let release = () => {};
  let asked = false;
  store.get = (): ReturnType<MapStore["get"]> => {
    asked = true;
    return new Promise((resolve) => {
      release = () => resolve({ ok: true, level: "linearizable", row: null });
    });
  };
  const listener = await listen(listenOptions(store, { limits }));
  const connection = new RawConnection(listener.port);
  connection.send("GET /v1/kv/k HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await until("the store was asked", () => asked);
  return { listener, connection, release: () => release() };
}

test("closing lets a request in flight finish, and takes no more", async () => {
  const { listener, connection, release } = await serveHeld();
  const closing = listener.close(10_000);
  release();
  assert.is(await connection.status(), 404);
  await closing;
  const late = new RawConnection(listener.port).send(requestText("GET", "/livez"));
  await until("the late one was refused", () => late.closed);
  assert.is(late.received, "");
});

test("closing cuts what does not finish in time", async () => {
  const { listener, connection } = await serveHeld();
  await listener.close(50);
  await until("the connection was cut", () => connection.closed);
  assert.is(connection.received, "");
});

test("where all connections are in use, one more is told so and closed", async () => {
  const { listener, connection: busy } = await serveHeld({ connectionsMax: 1 });
  // Nothing is sent: what is closed with bytes unread may lose its answer.
  const more = new RawConnection(listener.port);
  await until("it was closed", () => more.closed);
  assert.match(more.received, /^HTTP\/1\.1 503 [\s\S]*Retry-After[\s\S]*too many connections/);
  assert.not(busy.closed);
  await listener.close(0);
});

test("closing does not wait for idle connections", async () => {
  const { port, listener } = await serve();
  const idle = new RawConnection(port).send("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await idle.status();
  await listener.close(60_000);
  await until("the idle connection was closed", () => idle.closed);
});

test("an ordinary client that waits for 100-continue is served", async () => {
  const { port, listener } = await serve();
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const headers = { Expect: "100-continue", "Content-Length": 5, Host: "localhost" };
    const put = httpRequest({ port, host: "127.0.0.1", method: "PUT", path: "/v1/kv/k", headers });
    put.on("continue", () => put.end("hello"));
    put.on("response", (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    put.on("error", reject);
    put.flushHeaders();
  });
  assert.is(status, 201);
  await listener.close(0);
});

test.run();
