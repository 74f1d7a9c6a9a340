/** Refusals at the HTTP port of a node that cannot keep up. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { systemClock } from "../../cmd/system.ts";
import { Admission, laneOf, type Lane } from "../../server/admission.ts";
import { admissionLimits } from "../../server/admission-limit.ts";
import { listen } from "../../server/listen/http1.ts";
import { MapStore } from "./map-store.ts";
import {
  exchange,
  listenOptions,
  RawConnection,
  requestText,
  statusIn,
  until,
} from "./raw-http.ts";

/** As if a queue had stood for long enough in this lane: it takes no more than the least. */
function overloaded(admission: Admission, lane: Lane): () => void {
  const limit = admission.lanes[lane];
  const beganMs = systemClock.monotonicMs();
  const { admissionInFlightMin, admissionIntervalMs } = admissionLimits;
  for (let i = 0; i < 100; i++) limit.began();
  for (let i = 0; i < 100 - admissionInFlightMin; i++) {
    limit.ended(beganMs + i * admissionIntervalMs, 10_000);
  }
  assert.is(limit.limit, admissionInFlightMin);
  assert.is(limit.inFlight, admissionInFlightMin);
  return () => {
    for (; limit.inFlight > 0;) limit.ended(systemClock.monotonicMs(), null);
  };
}

interface Scene {
  readonly store: MapStore;
  readonly port: number;
  readonly admission: Admission;
  /** The requests before end. */
  readonly relieve: () => void;
}

async function scene(run: (scene: Scene) => Promise<void>, lane: Lane = "write"): Promise<void> {
  const store = new MapStore();
  const admission = new Admission(admissionLimits, systemClock.monotonicMs());
  const listener = await listen(listenOptions(store, { admission }));
  try {
    await run({ store, port: listener.port, admission, relieve: overloaded(admission, lane) });
  } finally {
    await listener.close(0);
  }
}

const put = "PUT /v1/kv/k HTTP/1.1\r\nHost: localhost\r\n";

const statuses = ({ received }: RawConnection): number[] =>
  [...received.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status));

test("a refusal says when to come again and that nothing was done", () =>
  scene(async ({ port, store }) => {
    const answer = await exchange(port, requestText("PUT", "/v1/kv/k", "", "v"));
    assert.is(statusIn(answer), 429);
    assert.match(answer, /\r\nRetry-After: 1\r\n/);
    assert.match(answer, /"code":"overloaded"/);
    assert.match(answer, /"outcome":"not_applied"/);
    assert.is(store.writes, 0);
  }));

test("only requests on data are refused, and only in the lane that is full", () =>
  scene(async ({ port }) => {
    for (const path of ["/v1/kv/k", "/livez", "/readyz", "/metrics", "/v1/status", "/version"]) {
      assert.is.not(statusIn(await exchange(port, requestText("GET", path))), 429, path);
    }
    for (const method of ["PUT", "DELETE", "POST"]) {
      assert.is(statusIn(await exchange(port, requestText(method, "/v1/kv/k?op=incr"))), 429);
    }
    assert.is(statusIn(await exchange(port, requestText("POST", "/v1/txn"))), 429);
  }));

test("a full lane of reads refuses reads", () =>
  scene(async ({ port }) => {
    assert.is(statusIn(await exchange(port, requestText("GET", "/v1/kv/k"))), 429);
    assert.is(statusIn(await exchange(port, requestText("GET", "/v1/kv?prefix=a"))), 429);
    assert.is(statusIn(await exchange(port, requestText("PUT", "/v1/kv/k", "", "v"))), 201);
  }, "read"));

test("whoever waits by his own wish, holds a session or watches is always let in", () => {
  const free = ["/v1/kv/k?wait=30s", "/v1/kv/k?a=b&min_revision=7", "/v1/leases/7/keepalive"];
  for (const target of [...free, "/v1/watch", "/v1/locks/a", "/v1/members", "/v1/backup"]) {
    assert.is(laneOf({ method: "GET", target }), null, target);
  }
  assert.is(laneOf({ method: "HEAD", target: "/v1/kv/k?level=local" }), "read");
  assert.is(laneOf({ method: "POST", target: "/v1/txn" }), "write");
});

const friend = "Origin: https://friend.example\r\n";

test("a page of an allowed origin may read that it was refused, and asks first as ever", () =>
  scene(async ({ port }) => {
    const refused = await exchange(port, requestText("PUT", "/v1/kv/k", friend, "v"));
    assert.is(statusIn(refused), 429);
    assert.match(refused, /\r\nAccess-Control-Allow-Origin: https:\/\/friend\.example\r\n/);
    assert.match(refused, /\r\nAccess-Control-Expose-Headers: [^\r]*Retry-After/);
    assert.match(refused, /\r\nVary: Origin\r\n/);
    const question = `${friend}Access-Control-Request-Method: PUT\r\n`;
    assert.is(statusIn(await exchange(port, requestText("OPTIONS", "/v1/kv/k", question))), 204);
    const stranger = requestText("PUT", "/v1/kv/k", "Origin: https://other.example\r\n", "v");
    assert.not.match(await exchange(port, stranger), /Access-Control/);
    assert.not.match(await exchange(port, requestText("PUT", "/v1/kv/k", "", "v")), /Vary|Access/);
  }));

test("the connection stays open, its body is passed over, and it is served when there is room", () =>
  scene(async ({ port, store, relieve }) => {
    const connection = new RawConnection(port);
    connection.send(`${put}Content-Length: 5\r\n\r\nhello`);
    await until("it was refused", () => statuses(connection).length === 1);
    relieve();
    connection.send(`${put}Content-Length: 5\r\n\r\nworld`);
    await until("it was served", () => statuses(connection).length === 2);
    assert.equal(statuses(connection), [429, 201]);
    assert.is(store.writes, 1);
    connection.close();
  }));

test("a body that comes behind its refused head in pieces is passed over as well", () =>
  scene(async ({ port, store, relieve }) => {
    const connection = new RawConnection(port);
    connection.send(`${put}Content-Length: 20000\r\n\r\n${"x".repeat(10_000)}`);
    await until("it is there", () => connection.socket.bytesWritten > 10_000);
    connection.send("x".repeat(10_000));
    await until("it was refused", () => statuses(connection).length === 1);
    relieve();
    connection.send(`${put}Content-Length: 1\r\n\r\nv`);
    await until("it was served", () => statuses(connection).length === 2);
    assert.equal(statuses(connection), [429, 201]);
    assert.is(store.writes, 1);
    connection.close();
  }));

test("a large body is refused before it comes, and one that waits for a word is not asked for", () =>
  scene(async ({ port }) => {
    const large = await exchange(port, `${put}Content-Length: 1000000\r\n\r\n`);
    assert.is(statusIn(large), 429);
    const waiting = await exchange(port, `${put}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n`);
    assert.is(statusIn(waiting), 429);
    const chunked = await exchange(port, `${put}Transfer-Encoding: chunked\r\n\r\n`);
    assert.is(statusIn(chunked), 429);
  }));

test("those who come again at once are heard one after the other, and all of them", () =>
  scene(async ({ port, admission, relieve }) => {
    const all = Array.from({ length: 50 }, () => new RawConnection(port));
    const began = performance.now();
    for (const connection of all) {
      connection.send(`${put}Content-Length: 1\r\n\r\nv${put}Content-Length: 1\r\n\r\nv`);
    }
    const answers = (): number => all.reduce((sum, each) => sum + statuses(each).length, 0);
    await until("all were refused twice", () => answers() === 100);
    assert.ok(performance.now() - began > 300, "a hundred in a second");
    assert.is(admission.lanes.write.refusedTotal, 100);
    relieve();
    for (const connection of all) connection.send(`${put}Content-Length: 1\r\n\r\nv`);
    await until("all were served", () => answers() === 150);
    assert.ok(all.every((each) => statuses(each).at(-1) !== 429));
    for (const connection of all) connection.close();
  }));

test("when there is room, those who were refused do not wait until they were told to come", () =>
  scene(async ({ port, relieve }) => {
    const all = Array.from({ length: 400 }, () => new RawConnection(port));
    for (const connection of all) connection.send(`${put}Content-Length: 1\r\n\r\nv`);
    const answers = (): number => all.reduce((sum, each) => sum + statuses(each).length, 0);
    await until("all were refused", () => answers() === 400);
    const told = all.map(({ received }) => Number(/Retry-After: (\d+)/.exec(received)?.[1]));
    assert.is(Math.max(...told), 4);
    relieve();
    const began = performance.now();
    for (const connection of all) connection.send(`${put}Content-Length: 1\r\n\r\nv`);
    await until("all were served", () => answers() === 800);
    assert.ok(performance.now() - began < 2_000);
    for (const connection of all) connection.close();
  }));

test("a connection that is cut while it is answered leaves its place", async () => {
  const store = new MapStore();
  const admission = new Admission(admissionLimits, systemClock.monotonicMs());
  const held = Promise.withResolvers<void>();
  const get = store.get.bind(store);
  store.get = (key) => held.promise.then(() => get(key));
  const listener = await listen(listenOptions(store, { admission }));
  const connection = new RawConnection(listener.port).send(requestText("GET", "/v1/kv/k"));
  await until("it is with the store", () => admission.lanes.read.inFlight === 1);
  await listener.close(0);
  assert.is(admission.lanes.read.inFlight, 1);
  held.resolve();
  await until("its place is free", () => admission.lanes.read.inFlight === 0);
  connection.close();
});

test.run();
