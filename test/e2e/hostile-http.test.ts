/** Requests that nobody well-meaning sends: refused, without a trace in the data, the node alive. */

import { readdirSync } from "node:fs";
import { dirname } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster, keyPath } from "./cluster.ts";
import { ask, RawConnection } from "./http.ts";
import { assertProblem } from "./problem.ts";
import { type Scope, scenario, shared } from "./scope.ts";
import { inTime, until } from "./wait.ts";

const cluster = shared((scope) => Cluster.start(scope));

const keyBytesMax = 2_048;
const valueBytesMax = 1_048_576;

/** Longer than any answer may take. */
const answerMs = 9_000;

/** Sends bytes as they are; resolves with what came back until an answer stood or the end. */
async function sendRaw(scope: Scope, bytes: string | Uint8Array): Promise<string> {
  const connection = await RawConnection.open(scope, cluster().node(1).httpPort);
  connection.write(bytes);
  await until("an answer or the end", answerMs, () => {
    return connection.isClosed || connection.received.includes("\r\n\r\n");
  });
  connection.destroy();
  return connection.received;
}

const host = (): string => `Host: 127.0.0.1:${cluster().node(1).httpPort}\r\n`;

async function assertAbsent(key: string): Promise<void> {
  assert.is((await cluster().node(1).get(key)).status, 404, `${key} was not stored`);
}

/** After each test the cluster is as it was: same leader, same term, everything serving. */
function hostileScenario(name: string, run: (scope: Scope) => Promise<void>): void {
  scenario(name, async (scope) => {
    const before = await cluster().node(1).status();
    await run(scope);
    for (const node of cluster().nodes) {
      assert.ok(node.isRunning, `node ${node.id} lives`);
      const after = await node.status();
      assert.is(after.term, before.term, "the term is as before");
      assert.is(after.leaderId, before.leaderId);
      await node.mustPut("still", name);
    }
  });
}

hostileScenario("malformed requests are refused or dropped", async (scope) => {
  const requests = [
    "\r\n\r\nnonsense\r\n\r\n",
    "GET\r\n\r\n",
    `GET /v1/kv/k HTTP/9.9\r\n${host()}\r\n`,
    `GET /v1/kv/k HTTP/1.1\r\n${host()}Broken header\r\n\r\n`,
    `GET /v1/kv/k HTTP/1.1\r\n${host()}X: ${"y".repeat(1 << 20)}\r\n\r\n`,
    `PUT /v1/kv/malformed HTTP/1.1\r\n${host()}Content-Length: -1\r\n\r\nx`,
    `PUT /v1/kv/malformed HTTP/1.1\r\n${host()}Content-Length: abc\r\n\r\nx`,
    `PUT /v1/kv/malformed HTTP/1.1\r\n${host()}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy`,
    `PUT /v1/kv/malformed HTTP/1.1\r\n${host()}Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n`,
    "GET /v1/kv/k HTTP/1.1\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
  ];
  for (const request of requests) {
    const connection = await RawConnection.open(scope, cluster().node(1).httpPort);
    connection.write(Buffer.from(request, "latin1"));
    await inTime(
      `an answer or the end after ${JSON.stringify(request.slice(0, 60))}`,
      30_000,
      until("it", 30_000, () => connection.isClosed || connection.received.includes("\r\n\r\n")),
    );
    if (connection.received !== "") assert.match(connection.received, /^HTTP\/1\.1 4\d\d /);
    connection.destroy();
  }
  await assertAbsent("malformed");
});

hostileScenario("a request with both kinds of length smuggles nothing in", async (scope) => {
  const smuggled = `PUT /v1/kv/smuggled HTTP/1.1\r\n${host()}Content-Length: 1\r\n\r\nx`;
  const answers = await sendRaw(
    scope,
    `PUT /v1/kv/both HTTP/1.1\r\n${host()}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
  );
  if (answers !== "") assert.match(answers, /^HTTP\/1\.1 4\d\d /);
  await assertAbsent("both");
  await assertAbsent("smuggled");
});

hostileScenario("a declared gigabyte is refused without being read", async (scope) => {
  const request = `PUT /v1/kv/huge HTTP/1.1\r\n${host()}Content-Length: 1000000000\r\n\r\n`;
  const answer = await sendRaw(scope, `${request}some`);
  assert.match(answer, /^HTTP\/1\.1 413 /);
  assert.match(answer, /application\/problem\+json/);
  await assertAbsent("huge");
});

hostileScenario("an undeclared body is refused where it grows too large", async (scope) => {
  const connection = await RawConnection.open(scope, cluster().node(1).httpPort);
  connection.write(`PUT /v1/kv/endless HTTP/1.1\r\n${host()}Transfer-Encoding: chunked\r\n\r\n`);
  const chunk = `10000\r\n${"x".repeat(0x10000)}\r\n`;
  for (let count = 0; count < 64 && !connection.isClosed; count++) connection.write(chunk);
  await until("an answer or the end", answerMs, () => {
    return connection.isClosed || connection.received.includes("\r\n\r\n");
  });
  if (connection.received !== "") assert.match(connection.received, /^HTTP\/1\.1 413 /);
  connection.destroy();
  await assertAbsent("endless");
});

hostileScenario("half a body and then the end changes nothing", async (scope) => {
  for (const framing of [
    "Content-Length: 10\r\n\r\nhalf",
    "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
  ]) {
    const connection = await RawConnection.open(scope, cluster().node(1).httpPort);
    connection.write(`PUT /v1/kv/half HTTP/1.1\r\n${host()}${framing}`);
    // The node has the half when it answers a later request on another connection.
    await cluster().node(1).get("k");
    connection.destroy();
    await connection.closed;
  }
  await assertAbsent("half");
});

hostileScenario("escapes that are none, and bytes that are no text", async () => {
  const node = cluster().node(2);
  for (const path of [
    "a%zz",
    "a%",
    "a%4",
    "a%00b",
    "%00",
    "a%ff",
    "a%C3",
    "a%ed%a0%80",
    "a%c0%af",
  ]) {
    const put = await node.ask("PUT", `/v1/kv/${path}`, { body: "x" });
    assertProblem(put, { status: 400, code: "bad_request", outcome: "not_applied" });
    assertProblem(await node.ask("GET", `/v1/kv/${path}`), { status: 400, code: "bad_request" });
  }
});

hostileScenario("keys of every length up to the limit, and not a byte more", async () => {
  const node = cluster().node(3);
  const fitting = [
    "k",
    "k".repeat(keyBytesMax),
    "é".repeat(keyBytesMax / 2),
    "/".repeat(keyBytesMax),
  ];
  for (const key of fitting) {
    const answer = await node.put(key, "x");
    assert.ok(answer.status === 201, `${key.length}: ${answer.status} ${answer.text}`);
    assert.is((await cluster().node(1).get(key)).text, "x");
  }
  const tooLong = [
    "k".repeat(keyBytesMax + 1),
    `${"é".repeat(keyBytesMax / 2)}x`,
    "k".repeat(6_000),
    "k".repeat(20_000),
  ];
  for (const key of tooLong) {
    const answer = await node.put(key, "x");
    assertProblem(answer, { status: 414, code: "key_too_long", outcome: "not_applied" });
    assertProblem(await node.get(key), { status: 414, code: "key_too_long" });
  }
  const empty = await node.ask("PUT", "/v1/kv/", { body: "x" });
  assertProblem(empty, { status: 400, code: "bad_request", outcome: "not_applied" });
});

hostileScenario("a value of the limit is stored, one byte more is refused", async () => {
  for (const node of cluster().nodes) {
    const value = Buffer.alloc(valueBytesMax, node.id);
    const stored = await node.put("big", value);
    assert.ok([200, 201].includes(stored.status), stored.text);
    const refused = await node.put("big", Buffer.alloc(valueBytesMax + 1, 0x78));
    assertProblem(refused, { status: 413, code: "too_large", outcome: "not_applied" });
    for (const reader of cluster().nodes) {
      assert.ok(value.equals((await reader.get("big")).body), `node ${reader.id} has the value`);
    }
  }
});

hostileScenario("another Host is refused", async () => {
  const { httpPort } = cluster().node(1);
  for (const name of ["evil.example", `evil.example:${httpPort}`, "127.0.0.1.evil.example"]) {
    const headers = { Host: name };
    const put = await ask(httpPort, "PUT", "/v1/kv/rebound", { headers, body: "x" });
    assertProblem(put, { status: 421, code: "wrong_host", outcome: "not_applied" });
    const get = await ask(httpPort, "GET", "/v1/status", { headers });
    assert.is(get.status, 421);
  }
  for (const name of [`localhost:${httpPort}`, `127.0.0.1:${httpPort}`, "localhost"]) {
    const get = await ask(httpPort, "GET", "/v1/status", { headers: { Host: name } });
    assert.is(get.status, 200, name);
  }
  await assertAbsent("rebound");
});

hostileScenario("a page of another Origin is refused", async () => {
  const node = cluster().node(1);
  for (const Origin of ["http://evil.example", "null", `https://evil.example:${node.httpPort}`]) {
    const put = await node.put("page", "x", { headers: { Origin } });
    assertProblem(put, { status: 403, code: "forbidden", outcome: "not_applied" });
    const get = await node.ask("GET", "/v1/kv/still", { headers: { Origin } });
    assertProblem(get, { status: 403, code: "forbidden" });
    const form = await node.ask("POST", "/v1/kv/page", {
      body: "a=b",
      headers: { Origin, "Content-Type": "application/x-www-form-urlencoded" },
    });
    assert.is(form.status, 403);
    const preflight = await node.ask("OPTIONS", "/v1/kv/page", {
      headers: { Origin, "Access-Control-Request-Method": "PUT" },
    });
    assert.is(preflight.headers["access-control-allow-origin"], undefined);
  }
  const own = { Origin: `http://127.0.0.1:${node.httpPort}` };
  assert.is((await node.put("own-page", "x", { headers: own })).status, 201);
  await assertAbsent("page");
});

hostileScenario("names that mean something elsewhere are plain keys here", async () => {
  const keys = [
    "__proto__",
    "constructor",
    "toString",
    "../x",
    "../../../../etc/x",
    "..\\x",
    "a;b'c\"",
    "%s%n",
    "key,with,commas",
    "NaN",
  ];
  const [writer, reader] = cluster().nodes;
  for (const key of keys) {
    const put = await writer?.put(key, `value of ${key}`);
    assert.is(put?.status, 201, key);
    assert.is(put?.json()["key"], key);
    const get = await reader?.ask("GET", keyPath(key));
    assert.is(get?.text, `value of ${key}`);
  }
  const { dataDirectory } = cluster();
  assert.equal(readdirSync(dirname(dataDirectory)), ["data"]);
  assert.equal(readdirSync(dataDirectory).sort(), ["node-1", "node-2", "node-3"]);
});

hostileScenario("connections that never finish a request do not keep others out", async (scope) => {
  for (let count = 0; count < 200; count++) {
    const connection = await RawConnection.open(scope, cluster().node(1).httpPort);
    connection.write(count % 2 === 0 ? "GET /v1/kv/k HTTP/1.1\r\nHos" : "");
  }
  const began = performance.now();
  await cluster().node(1).mustPut("crowded", "x");
  assert.ok(performance.now() - began < 2_000, "a put is as fast as ever");
});

scenario("idle connections beyond the descriptors of a process keep nobody out", async (scope) => {
  const few = await Cluster.prepare(scope, { size: 1 });
  const node = few.node(1);
  node.wrapper = ["bash", "-c", 'ulimit -n 256; exec "$@"', "-"];
  node.start();
  await few.whole();
  for (let count = 0; count < 400; count++) await RawConnection.open(scope, node.httpPort);
  await node.mustPut("crowded", "x", 5_000);
  const { limits } = (await node.status()) as unknown as { limits: Record<string, number> };
  assert.is(limits["httpConnectionsMax"], 128);
  assert.ok(node.isRunning);
});

test.run();
