/** The clients of `kv bench` before a server of the test's: what they ask, and what they make of answers. */

import { Buffer } from "node:buffer";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Load, type LoadOptions } from "../../cmd/bench/load.ts";
import { benchReport, renderReport } from "../../cmd/bench/report.ts";
import { systemClock } from "../../cmd/system.ts";
import { sockets } from "../../server/socket/runtime.ts";
import type { SocketAddress, StreamSocket } from "../../server/socket/socket.ts";
import { throughout, until } from "../e2e/wait.ts";
import { Random } from "../raft/random.ts";

const host = "127.0.0.1";
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

interface Request {
  readonly method: string;
  readonly path: string;
  readonly body: string;
}

/** Each in a turn of its own, or the kernel makes one of many. */
async function writePieces(socket: StreamSocket, text: string, pieceBytes: number): Promise<void> {
  for (let start = 0; start < text.length; start += pieceBytes) {
    if (start > 0) await new Promise((resolve) => setImmediate(resolve));
    socket.write(Buffer.from(text.slice(start, start + pieceBytes), "latin1"));
  }
}

/** Answers each whole request with the bytes that `answer` gives, cut into `pieceBytes`. */
async function server(answer: (request: Request) => string, pieceBytes = Number.MAX_SAFE_INTEGER) {
  const requests: Request[] = [];
  const listener = await sockets.listen({ host, port: 0 }, (socket) => {
    let text = "";
    return {
      data(chunk) {
        text += chunk.toString("latin1");
        for (;;) {
          const match = /^(\w+) (\S+) HTTP\/1\.1\r\n([\s\S]*?)\r\n\r\n/.exec(text);
          if (match === null) return;
          const [head, method = "", path = "", fields = ""] = match;
          const length = Number(/content-length: (\d+)/i.exec(fields)?.[1] ?? 0);
          if (text.length < head.length + length) return;
          const request = { method, path, body: text.slice(head.length, head.length + length) };
          text = text.slice(head.length + length);
          requests.push(request);
          const bytes = answer(request);
          void writePieces(socket, bytes, pieceBytes);
          if (bytes === "") socket.destroy();
        }
      },
      drained() {},
      ended: () => socket.destroy(),
      closed() {},
    };
  });
  return { requests, address: { host, port: listener.port }, close: () => listener.close() };
}

function loadOf(endpoints: readonly SocketAddress[], options: Partial<LoadOptions> = {}): Load {
  const random = new Random(7);
  const fraction = (): number => random.float();
  return new Load({
    endpoints,
    clients: 4,
    valueBytes: 10,
    keyCount: 50,
    keyPrefix: "b/",
    readPercent: 0,
    isLocal: false,
    isFill: false,
    perSecond: null,
    clock: systemClock,
    random: { fraction, bytes: (count) => new Uint8Array(count) },
    ...options,
  });
}

/** Runs the load until `isOver`. */
async function run(load: Load, isOver: () => boolean): Promise<void> {
  load.start();
  await until("the load has come so far", 10_000, isOver);
  load.stop();
}

test("clients write values of the size under the keys, all keys in time", async () => {
  const { address, requests, close } = await server(() => ok);
  const load = loadOf([address]);
  const paths = (): Set<string> => new Set(requests.map(({ path }) => path));
  await run(load, () => paths().size === 50);
  close();
  for (const { body, method, path } of requests) {
    assert.is(method, "PUT");
    assert.match(path, /^\/v1\/kv\/b%2F00000000[0-4]\d$/);
    assert.is(body, load.value.toString());
  }
  assert.is(load.value.byteLength, 10);
  assert.is(load.errorCount, 0);
});

test("the mix is what was asked for", async () => {
  const { address, requests, close } = await server(() => ok);
  const load = loadOf([address], { readPercent: 90, isLocal: true });
  await run(load, () => requests.length > 2_000);
  close();
  const reads = requests.filter(({ method }) => method === "GET");
  const share = reads.length / requests.length;
  assert.ok(share > 0.87 && share < 0.93, `${share}`);
  assert.ok(reads.every(({ path, body }) => path.endsWith("?level=local") && body === ""));
});

test("no client asks before it was answered", async () => {
  const { address, requests, close } = await server(() => "HTTP/1.1 200 OK\r\n");
  const load = loadOf([address], { clients: 3 });
  load.start();
  await until("each has asked", 10_000, () => requests.length >= 3);
  await throughout(50, () => assert.is(requests.length, 3));
  load.stop();
  close();
  assert.equal([load.put.latencies.count, load.errorCount], [0, 0]);
});

for (const pieceBytes of [1, 7, 1_000_000]) {
  test(`answers are understood that come in pieces of ${pieceBytes} bytes`, async () => {
    const body = `HTTP/1.1 200 OK\r\n\r\n${"x".repeat(300)}`;
    const sized = `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let count = 0;
    const answers = [sized, chunked, "HTTP/1.1 204 No Content\r\n\r\n", ok];
    const { address, requests, close } = await server(
      () => answers[count++ % answers.length] ?? "",
      pieceBytes,
    );
    const load = loadOf([address], { clients: 1, readPercent: 100 });
    await run(load, () => load.get.latencies.count >= 40);
    close();
    assert.equal([load.errorCount, load.notFound], [0, 0]);
    assert.ok(requests.length - load.get.latencies.count <= 1, "one answer for one request");
  });
}

test("refusals are counted by their code, and a missing key is no error", async () => {
  const problem = '{"code":"no_leader","detail":"wait"}';
  const refused = `HTTP/1.1 503 Service Unavailable\r\nContent-Length: ${problem.length}\r\n\r\n${problem}`;
  const strange = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops";
  const missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
  let count = 0;
  const { address, close } = await server(({ method }) =>
    method === "GET" ? missing : count++ % 3 === 0 ? strange : refused,
  );
  const load = loadOf([address], { readPercent: 50, clients: 1 });
  await run(load, () => count > 30 && load.notFound > 30);
  close();
  const report = benchReport(load);
  const { no_leader: refusals = 0, http_502: others = 0 } = report.put.errors;
  assert.equal(Object.keys(report.put.errors).sort(), ["http_502", "no_leader"]);
  assert.ok(refusals >= 2 * others - 2 && refusals <= 2 * others, `${refusals}, ${others}`);
  assert.equal([report.put.count, report.errorCount], [0, refusals + others]);
  assert.equal([report.get.count, report.get.errors], [report.notFound, {}]);
  assert.match(renderReport(report), new RegExp(`no_leader ${refusals}\\n|no_leader ${refusals}$`));
});

test("a client whose endpoint is gone goes on to the next, and says so", async () => {
  const gone = await server(() => ok);
  gone.close();
  const { address, close } = await server(() => ok);
  const load = loadOf([gone.address, address], { clients: 1 });
  await run(load, () => load.put.latencies.count > 20 && load.errorCount > 0);
  close();
  assert.equal([...load.put.errors], [["unreachable", 1]]);
});

test("a connection that breaks under a request is an error of its own", async () => {
  let count = 0;
  const { address, close } = await server(() => (count++ === 5 ? "" : ok));
  const load = loadOf([address], { clients: 1 });
  await run(load, () => load.put.latencies.count > 10);
  close();
  assert.equal([...load.put.errors], [["connection_broken", 1]]);
});

test("a fill writes every key once, those that were refused again", async () => {
  let count = 0;
  const refused = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n";
  const written: string[] = [];
  const { address, close } = await server(({ path }) => {
    if (count++ % 5 === 0) return refused;
    written.push(path);
    return ok;
  });
  const load = loadOf([address], { isFill: true, readPercent: 90 });
  load.start();
  await load.filled;
  load.stop();
  close();
  assert.is(written.length, 50);
  assert.is(new Set(written).size, 50);
  assert.is(load.put.errors.get("http_429"), load.errorCount);
  assert.ok(load.errorCount > 0);
});

test("requests come at the rate that was asked for, and those that find nobody free are counted", async () => {
  const { address, requests, close } = await server(() => ok);
  const load = loadOf([address], { perSecond: 400, clients: 100 });
  await run(load, () => load.elapsedMs > 500);
  close();
  const due = (400 * load.elapsedMs) / 1_000;
  assert.ok(requests.length + load.missed <= due, `${requests.length} + ${load.missed} of ${due}`);
  assert.ok(
    requests.length + load.missed > due / 2,
    `${requests.length} + ${load.missed} of ${due}`,
  );
  assert.ok(requests.length > load.missed, `${requests.length}, ${load.missed} missed`);

  const silent = await server(() => "HTTP/1.1 200 OK\r\n");
  const held = loadOf([silent.address], { perSecond: 400, clients: 3 });
  await run(held, () => silent.requests.length >= 3 && held.missed > 20);
  silent.close();
  assert.is(silent.requests.length, 3);
});

test("a client that is refused for now comes again when it was told to", async () => {
  const refused = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
  const { address, requests, close } = await server(() => (requests.length === 1 ? refused : ok));
  const load = loadOf([address], { clients: 1 });
  await run(load, () => load.put.latencies.count > 0);
  close();
  assert.ok(load.elapsedMs >= 990, `${load.elapsedMs} ms`);
  assert.equal([load.put.refusals.count, load.errorCount], [1, 1]);
  assert.match(renderReport(benchReport(load)), /puts refused for now 1, in p50/);
});

test("what was counted before a recount is forgotten", async () => {
  const { address, requests, close } = await server(() => ok);
  const load = loadOf([address], { perSecond: 500, clients: 50 });
  load.start();
  await until("some were answered", 10_000, () => load.put.latencies.count > 100);
  const [elapsedMs, before] = [load.elapsedMs, requests.length];
  load.recount();
  assert.equal([load.put.latencies.count, load.missed, load.errorCount], [0, 0, 0]);
  assert.ok(load.elapsedMs < elapsedMs);
  await until("more were answered", 10_000, () => load.put.latencies.count > 20);
  load.stop();
  close();
  const sent = requests.length - before;
  assert.ok(sent < 200, `${sent} came, not those of the time before again`);
});

test("a stopped load counts nothing more", async () => {
  const { address, close } = await server(() => ok);
  const load = loadOf([address]);
  await run(load, () => load.put.latencies.count > 10);
  const { count, elapsedMs } = { count: load.put.latencies.count, elapsedMs: load.elapsedMs };
  await new Promise((resolve) => systemClock.soon(() => resolve(null)));
  close();
  assert.equal([load.put.latencies.count, load.elapsedMs], [count, elapsedMs]);
});

test.run();
