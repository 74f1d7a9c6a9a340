/**
 * Bytes on a real HTTP port that no client would send. The listener answers, or closes; it never stores
 * half a body, and goes on serving. Several listeners are held against each other.
 */

import { connect } from "node:net";
import * as assert from "uvu/assert";
import type { Listener, ListenOptions } from "../../server/listen/listen.ts";
import { MapStore } from "../server/map-store.ts";
import { listenOptions } from "../server/raw-http.ts";
import { chunksOf, mutate } from "./mutation.ts";
import { Tape } from "./tape.ts";
import type { Target } from "./target.ts";

export interface NamedListen {
  readonly name: string;
  readonly listen: (options: ListenOptions) => Promise<Listener>;
}

/** An answer that has not come, or a connection that is not closed, by then is a hang. */
const deadlineMs = 4_000;
/** Silence after which our side is closed, so that the listener need not wait for more. */
const quietMs = 15;
/** What the process may grow by over all runs: garbage of the runtime included. */
const growthBytesMax = 400 << 20;

interface Serving {
  readonly name: string;
  readonly store: MapStore;
  readonly listener: Listener;
  readonly bugs: unknown[];
}

async function serve({ name, listen }: NamedListen): Promise<Serving> {
  const store = new MapStore();
  const bugs: unknown[] = [];
  const http = { onBug: (error: unknown) => void bugs.push(error) };
  const listener = await listen(listenOptions(store, { http }));
  return { name, store, listener, bugs };
}

/** Fuzzes each of `listens`; where there is more than one, what they store and answer must agree. */
export function rawHttpTarget(listens: readonly NamedListen[]): Target {
  let servings: Serving[] = [];
  let growth = 0;
  return {
    name: "http-raw",
    tapeBytesMax: 512,
    testRuns: 10,
    async open() {
      growth = 0;
      servings = [];
      for (const listen of listens) servings.push(await serve(listen));
    },
    async close() {
      for (const { listener } of servings) await listener.close(0);
      assert.ok(growth < growthBytesMax, `the process grew by ${growth} bytes`);
    },
    async check(input) {
      const before = process.memoryUsage().rss;
      const outcomes: Outcome[] = [];
      for (const serving of servings) outcomes.push(await provoke(serving, new Tape(input)));
      const [first, ...others] = outcomes;
      if (first) for (const other of others) assertAgree(first, other);
      growth += process.memoryUsage().rss - before;
    },
  };
}

// ------------------------------------------------------------------ what is sent

const lines = [
  "PUT /v1/kv/a HTTP/1.1",
  "PUT /v1/kv/b%20c HTTP/1.1",
  "GET /v1/kv/a HTTP/1.1",
  "GET /v1/kv?prefix=a HTTP/1.1",
  "HEAD /v1/kv/a HTTP/1.0",
  "DELETE /v1/kv/a HTTP/1.1",
  "OPTIONS * HTTP/1.1",
  "GET http://localhost/v1/kv/a HTTP/1.1",
  "CONNECT localhost:80 HTTP/1.1",
  "PRI * HTTP/2.0",
  "GET /v1/kv/\u0000 HTTP/1.1",
  "get / http/1.1",
  "PUT /v1/kv/a",
  "",
] as const;

const fields = [
  "Connection: close",
  "Connection: keep-alive, Upgrade",
  "Content-Length: 5",
  "Content-Length: 6",
  "Content-Length: 5, 5",
  "Content-Length: +5",
  "Content-Length: -1",
  "Content-Length: 0x5",
  "Content-Length: 18446744073709551621",
  "Content-Length: 1073741824",
  "Content-Length : 5",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: xchunked",
  "Transfer-Encoding: chunked, identity",
  "Transfer-Encoding:\u000bchunked",
  "transfer-encoding: CHUNKED",
  "Expect: 100-continue",
  "Upgrade: h2c",
  "Host: evil",
  "Host:",
  ": nothing",
  " folded: x",
  "X: \u0000",
  "X: a\rb",
  "Content-Type: text/plain",
  "Trailer: X",
  `X: ${"x".repeat(20_000)}`,
] as const;

const bodies = [
  "hello",
  "5\r\nhello\r\n0\r\n\r\n",
  "5;ext=1\r\nhello\r\n0\r\nX: y\r\n\r\n",
  "5\nhello\n0\n\n",
  "-5\r\nhello\r\n0\r\n\r\n",
  "FFFFFFFFFFFFFFFF\r\nhello",
  "0x5\r\nhello\r\n0\r\n\r\n",
  "5\r\nhello0\r\n\r\n",
  "0\r\n\r\nGET /v1/kv/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "",
] as const;

function drawRequest(tape: Tape): string {
  const parts: string[] = [tape.pick(lines)];
  if (!tape.once(6)) parts.push("Host: localhost");
  for (let count = tape.below(4); count > 0; count--) parts.push(tape.pick(fields));
  const end = tape.once(8) ? "\n" : "\r\n";
  return `${parts.join(end)}${end}${end}${tape.pick(bodies)}`;
}

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "latin1"));

function drawStream(tape: Tape): Uint8Array {
  let text = "";
  for (let count = 1 + tape.below(3); count > 0; count--) text += drawRequest(tape);
  const stream = bytesOf(text);
  if (tape.once(3)) return mutate(stream, tape, bytesOf(tape.pick(bodies)));
  return tape.once(16) ? tape.bytes(tape.below(300)) : stream;
}

// ------------------------------------------------------------------ what comes of it

interface Outcome {
  readonly name: string;
  readonly statuses: readonly number[];
  readonly rows: ReadonlyMap<string, string>;
}

async function provoke(serving: Serving, tape: Tape): Promise<Outcome> {
  const { name, store, listener, bugs } = serving;
  store.rows.clear();
  const stream = drawStream(tape);
  const received = await exchange(listener.port, chunksOf(stream, tape).slice(0, 50), stream);
  if (bugs.length > 0) throw new Error("the application threw", { cause: bugs[0] });
  const statuses = statusesIn(received);
  for (const status of statuses) assert.ok(status >= 100 && status !== 500, `${name}: ${status}`);
  // An answer may be lost with its connection, but no other may stand in its place.
  const isDone = statuses.some((status) => status === 200 || status === 201);
  const isUnanswered = statuses.every((status) => status < 200);
  assert.ok(
    store.rows.size === 0 || isDone || isUnanswered,
    `${name}: stored, and ${statuses.join()}`,
  );
  const rows = new Map<string, string>();
  for (const { key, value } of store.rows.values()) {
    const text = Buffer.from(value).toString("latin1");
    assertSent(text, Buffer.from(stream).toString("latin1"));
    rows.set(key, text);
  }
  const after = await exchange(listener.port, [bytesOf(plainRequest)], bytesOf(plainRequest));
  assert.equal(statusesIn(after), [200], `${name}: a plain request afterwards`);
  return { name, statuses, rows };
}

const plainRequest = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/** What was stored had come whole, as it stands or in chunks. */
function assertSent(value: string, stream: string): void {
  if (/chunked/i.test(stream)) return;
  assert.ok(stream.includes(value), "no other bytes are stored than came");
  const declared = [...stream.matchAll(/content-length:[ \t]*(\d+)/gi)].map((match) =>
    Number(match[1]),
  );
  assert.ok(value === "" || declared.includes(value.length), "and as many as were announced");
}

/** Statuses of the answers, in order. Bodies are skipped by their lengths, which must be right. */
function statusesIn(received: string): number[] {
  const statuses: number[] = [];
  let at = 0;
  while (at < received.length) {
    const head = /^HTTP\/1\.[01] (\d{3})[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n/.exec(
      received.slice(at),
    );
    assert.ok(
      head !== null,
      `an answer begins with ${JSON.stringify(received.slice(at, at + 60))}`,
    );
    if (head === null) break;
    const status = Number(head[1]);
    statuses.push(status);
    at += head[0].length;
    if (/^transfer-encoding: *chunked\r$/im.test(head[2] ?? "")) {
      at = endOfChunks(received, at);
      continue;
    }
    const length = Number(/^content-length: *(\d+)\r$/im.exec(head[2] ?? "")?.[1] ?? 0);
    const isAnswerAt = (place: number): boolean =>
      place === received.length || received.startsWith("HTTP/1.", place);
    // To a HEAD, or with a 304, only the length comes; the last body may be cut short.
    const isCut = at + length > received.length && !isAnswerAt(at);
    if (isCut) break;
    if (isAnswerAt(at + length)) at += length;
    else assert.ok(isAnswerAt(at), `a ${status} has its length: ${received.slice(at)}`);
  }
  return statuses;
}

/** Behind a body in chunks; at the end where it is cut short, and at once to a HEAD. */
function endOfChunks(received: string, from: number): number {
  let at = from;
  for (;;) {
    const size = /^([0-9a-f]+)\r\n/i.exec(received.slice(at, at + 20));
    if (size === null) return at;
    at += size[0].length + Number.parseInt(size[1] ?? "0", 16) + 2;
    if (size[1] === "0") return at;
  }
}

function assertAgree(one: Outcome, other: Outcome): void {
  const who = `${one.name} and ${other.name}`;
  assert.equal(other.rows, one.rows, `${who} store the same`);
  const kind = (statuses: readonly number[]): number => Math.floor((statuses[0] ?? 400) / 100);
  assert.is(kind(other.statuses), kind(one.statuses), `${who} answer alike`);
}

/** Sends `chunks`, closes our side once nothing more comes, and gives all that came back. */
function exchange(port: number, chunks: readonly Uint8Array[], whole: Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    let received = "";
    const deadline = setTimeout(() => {
      socket.destroy();
      const sent = JSON.stringify(Buffer.from(whole).toString("latin1").slice(0, 300));
      reject(new Error(`still open after ${deadlineMs} ms: ${sent}`));
    }, deadlineMs);
    let quiet = setTimeout(() => socket.end(), quietMs);
    socket.setEncoding("latin1");
    socket.on("data", (chunk) => {
      received += chunk.toString();
      clearTimeout(quiet);
      quiet = setTimeout(() => socket.end(), quietMs);
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(deadline);
      clearTimeout(quiet);
      resolve(received);
    });
    let sent = 0;
    for (const chunk of chunks) {
      socket.write(chunk);
      sent += chunk.byteLength;
    }
    if (sent < whole.byteLength) socket.write(whole.subarray(sent));
  });
}
