/** Transactions made in parts, and checkpoints that nobody waits for, beside writes and reads. */

import { copyFileSync, statSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { count, list } from "../../server/state-machine/listing.ts";
import {
  fingerprintBytes,
  type PlainCommand,
  type Row,
} from "../../server/state-machine/command.ts";
import { execute } from "../../server/state-machine/execute.ts";
import { requestKnownMs } from "../../server/state-machine/once.ts";
import type { KeyValueStore } from "../../storage/key-value-store.ts";
import { index } from "../../server/raft/entry.ts";
import { transactionOf, type Operation } from "../../server/state-machine/transaction.ts";
import { shared } from "../harness/share.ts";
import { Random } from "../raft/random.ts";
import { MapRequests } from "../server/map-requests.ts";
import { MapRows } from "../server/map-rows.ts";
import { failing, opened, withScene, withSceneFor, type Scene, wholeQuery } from "./store-scene.ts";

/** One by one, without ending the transaction. */
function writeSome(scene: Scene, rows: number): void {
  assert.is(scene.store.commitSome(rows), "more");
}

test("what is being written is read, replaced, deleted and listed like the rest", () => {
  withScene((scene) => {
    for (const key of ["a", "b", "c"]) scene.put(key, "1");
    scene.store.commit();
    for (const key of ["a", "b", "d"]) scene.put(key, "2");
    writeSome(scene, 1);
    assert.equal(scene.put("a", "3"), { op: "put", created: false, revision: 7 });
    assert.equal(scene.delete("b"), { op: "delete", deleted: 1, revision: 8 });
    assert.equal(scene.put("e", "3"), { op: "put", created: true, revision: 9 });
    assert.equal(scene.keys(), ["a", "c", "d", "e"]);
    assert.is(scene.get("a")?.revision, 7);
    assert.is(scene.get("b"), null);
    assert.is(scene.get("d")?.revision, 6);
    const { stateHash } = scene;
    assert.is(scene.store.commitSome(9), "done");
    assert.equal([scene.keys(), scene.stateHash], [["a", "c", "d", "e"], stateHash]);
    scene.reopen();
    assert.equal([scene.keys(), scene.stateHash], [["a", "c", "d", "e"], stateHash]);
  });
});

const fingerprint = new Uint8Array(fingerprintBytes);

/** Leases of the run. */
const granted: number[] = [];

function drawnQueueing(
  random: Random,
  { value, number, ttlMs }: { value: Uint8Array; number: number; ttlMs: number },
): Operation {
  const key = "lock/a";
  const lease = granted.length > 0 && random.float() < 0.5 ? random.pick(granted) : null;
  const operations: readonly Operation[] = [
    { op: "join", key, value, lease, ttlMs, waits: random.float() < 0.8 },
    { op: "leave", key, token: number },
    { op: "leaseRenew", lease: lease ?? number },
    { op: "leaseRevoke", lease: lease ?? number },
    { op: "setValue", key, token: number, value },
  ];
  return random.pick(operations);
}

/** Few are too large to be kept in memory by who reads them. */
function drawnValue(random: Random, at: number): Uint8Array {
  const length = random.float() < 0.1 ? 1_020 + random.below(8) : random.below(30);
  return new Uint8Array(length).fill(at);
}

function drawnWrite(random: Random, key: string, value: Uint8Array): PlainCommand {
  const contentType = random.float() < 0.2 ? `text/${random.below(3)}` : null;
  const put = { op: "put", key, value, contentType } as const;
  // Some are due at the next entry, and some much later.
  const ttlMs = 1 + random.below(Math.floor(requestKnownMs / 4));
  const chance = random.float();
  // Of some entry: a lease, or a place in the queue, or nothing at all.
  const number = 1 + random.below(400);
  if (chance < 0.05) return transactionOf([], { op: "leaseGrant", ttlMs });
  if (chance < 0.15)
    return transactionOf([], { ...put, lease: granted.length > 0 ? random.pick(granted) : number });
  if (chance < 0.2) return transactionOf([], drawnQueueing(random, { value, number, ttlMs }));
  if (chance < 0.4) return put;
  if (chance < 0.6) return { ...put, ttlMs };
  if (chance < 0.7) return transactionOf([], { op: "touch", key, ttlMs });
  const range = { start: "k", end: "l" };
  if (chance < 0.75) return transactionOf([], { op: "range", range, limit: 3 });
  return { op: "delete", key };
}

test("any writes between the parts of transactions leave what they leave on rows in a map", () => {
  let reached = 0;
  for (const seed of shared(20, 1)) {
    withScene((scene) => {
      const random = new Random(seed);
      const rows = new Map<string, Row>();
      const model = new MapRows(rows);
      const requests = new MapRequests();
      granted.length = 0;
      for (let at = 1; at <= 400; at++) {
        const key = `k${random.below(12)}`;
        const value = drawnValue(random, at);
        const plain = drawnWrite(random, key, value);
        const requestKey = `r${random.below(8)}`;
        const once = { op: "once", requestKey, fingerprint, command: plain } as const;
        const repeatable = random.float() < 0.5 ? once : plain;
        const command = random.float() < 0.1 ? ({ op: "expire" } as const) : repeatable;
        const timeMs = Math.floor((at * requestKnownMs) / 40);
        const expected = execute(model, requests, { command, entry: { index: index(at), timeMs } });
        assert.equal(scene.do(command, timeMs), expected, `seed ${seed}, ${at}`);
        const [result] = expected.op === "transaction" ? expected.results : [];
        if (result?.op === "leaseGrant") granted.push(result.lease);
        if (result?.op === "join" && result.lease !== null) granted.push(result.lease);
        if (random.float() < 0.5) scene.store.commitSome(1 + random.below(3));
        const failures = ["COMMIT", "DELETE", "INSERT", "UPDATE"];
        failing.sql = random.float() < 0.05 ? random.pick(failures) : null;
        if (random.float() < 0.05) scene.store.commit();
        failing.sql = null;
        if (random.float() < 0.2) scene.store.verify(1 + random.below(100));
        for (let reads = random.below(4); reads > 0; reads--) {
          const some = `k${random.below(12)}`;
          const found = scene.get(some);
          assert.equal(found, model.get(some), `seed ${seed}, ${at}, ${some}`);
          if (found?.lease !== undefined) reached++;
        }
        assert.is(scene.store.nextDeadlineMs, model.deadlines.next?.timeMs ?? null);
        if (random.float() < 0.1) {
          const query = { ...wholeQuery, reverse: random.float() < 0.5 };
          assert.equal(scene.store.lookup(query), list(model, query));
          const counting = { type: "count", range: wholeQuery.range, limit: 5 } as const;
          assert.equal(scene.store.lookup(counting), count(model, counting));
        }
        if (random.float() < 0.02) scene.reopen();
      }
      while (scene.store.commitSome(1) === "more");
      while (!scene.store.verify(1 << 20).isEnd);
      assert.equal(scene.list().rows, list(model, wholeQuery).rows);
    });
  }
  assert.ok(reached > 0, "rows with leases were compared");
});

test("a crash between the parts takes the whole transaction back", () => {
  withScene((scene) => {
    scene.put("a", "1");
    scene.store.commit();
    const before = scene.store.digest();
    for (let at = 0; at < 920; at++) scene.put(`key-${at}`, new Uint8Array(9_000));
    // More than the page cache takes: the write-ahead log holds parts of it already.
    for (let part = 0; part < 29; part++) writeSome(scene, 1_000);
    assert.ok(statSync(`${scene.path}-wal`).size > 500_000);
    const result = scene.crashed();
    assert.ok(result.ok);
    if (!result.ok) return;
    assert.equal(result.store.digest(), before);
    while (!result.store.verify(1 << 20).isEnd);
    result.store.close();
  });
});

test("a commit in parts ends with what there was when it began", () => {
  withScene((scene) => {
    scene.put("a", "1");
    scene.put("b", "1");
    const then = scene.store.digest();
    writeSome(scene, 1);
    scene.put("c", "1");
    assert.is(scene.store.commitSome(2), "done");
    assert.is(scene.store.isCommitting, false);
    assert.ok(scene.store.uncommittedBytes > 0);
    const result = scene.crashed();
    assert.ok(result.ok);
    if (!result.ok) return;
    assert.equal(result.store.digest(), then);
    result.store.close();
  });
});

test("a row that came and went between two transactions is never written", () => {
  withScene((scene) => {
    scene.put("a", "1");
    scene.delete("a");
    failing.sql = "DELETE FROM kv";
    assert.is(scene.store.commit(), "done");
    failing.sql = null;
    assert.equal(scene.keys(), []);
  });
});

test("who writes a key again does not ask the database what was there", () => {
  withScene((scene) => {
    scene.put("a", "1");
    scene.store.commit();
    failing.sql = "SELECT create_revision";
    assert.equal(scene.put("a", "2"), { op: "put", created: false, revision: 2 });
    scene.store.commit();
    assert.equal(scene.delete("a"), { op: "delete", deleted: 1, revision: 3 });
    scene.store.commit();
    assert.equal(scene.put("a", "3"), { op: "put", created: true, revision: 4 });
    assert.throws(() => scene.put("b", "1"), /full/);
  });
});

/** Until all that is committed is durable; returns how often it was not. */
async function syncAll(store: KeyValueStore): Promise<number> {
  for (let calls = 0; ; calls++) {
    assert.ok(calls < 1_000_000, "a sync comes to an end");
    const outcome = store.syncSome();
    if (outcome !== "more") {
      assert.is(outcome, store.applied.appliedIndex);
      return calls;
    }
    await setImmediate();
  }
}

test("a checkpoint that nobody waits for leaves everything in the database file alone", async () => {
  await withSceneFor(async (scene) => {
    for (let at = 0; at < 300; at++) scene.put(`key-${at}`, new Uint8Array(1_000));
    scene.store.commit();
    assert.ok((await syncAll(scene.store)) >= 2);
    assert.is(scene.store.unsyncedBytes, 0);
    const path = `${scene.path}-alone`;
    copyFileSync(scene.path, path);
    const alone = opened(path);
    assert.equal(alone.digest(), scene.store.digest());
    alone.close();
    assert.is(await syncAll(scene.store), 0);
  });
});

const logBytes = (scene: Scene): number => statSync(`${scene.path}-wal`).size;

/** A checkpoint of 300 rows, while one more waits for the next transaction. */
async function checkpointUnderLoad(scene: Scene, hasRoom: boolean): Promise<void> {
  for (let at = 0; at < 300; at++) scene.put(`key-${at}`, new Uint8Array(1_000));
  scene.store.commit();
  scene.put("next", "1");
  while (scene.store.syncSome(hasRoom) === "more") await setImmediate();
}

test("where more is to come, a checkpoint leaves the log to be written over, and no crash finds its rests", async () => {
  await withSceneFor(async (scene) => {
    await checkpointUnderLoad(scene, true);
    const before = logBytes(scene);
    assert.ok(before > 300_000, "its room is kept");
    scene.store.commit();
    assert.ok(logBytes(scene) < before / 10, "it tells what it holds");
    const path = `${scene.path}-alone`;
    copyFileSync(scene.path, path);
    const alone = opened(path);
    assert.is(alone.applied.appliedIndex, 300, "all before stands in the database");
    alone.close();
    const result = scene.crashed();
    assert.ok(result.ok);
    if (!result.ok) return;
    assert.equal(result.store.digest(), scene.store.digest());
    result.store.close();
  });
});

test("where room is short, a checkpoint gives the log's back though more is to come", async () => {
  await withSceneFor(async (scene) => {
    await checkpointUnderLoad(scene, false);
    assert.is(logBytes(scene), 0);
  });
});

/** One row is committed, and its checkpoint has been asked for so many steps. */
async function inTheMidstOfACheckpoint(scene: Scene, steps: number): Promise<void> {
  scene.put("a", "1");
  scene.store.commit();
  for (let step = 0; step < steps; step++) {
    scene.store.syncSome();
    await setImmediate();
  }
}

test("a transaction in the midst of a checkpoint waits for it, and loses nothing", async () => {
  for (let steps = 1; steps <= 6; steps++) {
    await withSceneFor(async (scene) => {
      await inTheMidstOfACheckpoint(scene, steps);
      scene.put("b", "1");
      assert.is(scene.store.commit(), "done");
      const result = scene.crashed();
      assert.ok(result.ok);
      if (result.ok) {
        assert.equal(result.store.digest(), scene.store.digest());
        result.store.close();
      }
      await syncAll(scene.store);
      assert.is(scene.store.unsyncedBytes, 0);
      scene.reopen();
      assert.equal(scene.keys(), ["a", "b"]);
    });
  }
});

test("a store that is closed in the midst of a checkpoint has everything when it is opened", async () => {
  for (let steps = 1; steps <= 6; steps++) {
    await withSceneFor(async (scene) => {
      await inTheMidstOfACheckpoint(scene, steps);
      scene.reopen();
      assert.equal(scene.keys(), ["a"]);
    });
  }
});

test("a checkpoint that the disk has no room for keeps the log, and is made another time", async () => {
  await withSceneFor(async (scene) => {
    scene.put("a", "1");
    scene.store.commit();
    failing.sql = "PRAGMA main.wal_checkpoint(PASSIVE)";
    let outcome = scene.store.syncSome();
    for (; outcome === "more"; outcome = scene.store.syncSome()) await setImmediate();
    assert.is(outcome, "full");
    failing.sql = null;
    const result = scene.crashed();
    assert.ok(result.ok && result.store.applied.appliedIndex === 1);
    if (result.ok) result.store.close();
    assert.ok((await syncAll(scene.store)) >= 2);
  });
});

test.run();
