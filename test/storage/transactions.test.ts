/** Transactions and ranges on SQLite: the same as on rows in a map, whatever waits to be written. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { index } from "../../server/raft/entry.ts";
import { fingerprintBytes, type Command, type Row } from "../../server/state-machine/command.ts";
import { execute } from "../../server/state-machine/execute.ts";
import { afterKey, prefixRange } from "../../server/state-machine/key-range.ts";
import { count, list } from "../../server/state-machine/listing.ts";
import {
  resultBytesMax,
  transactionOf,
  type Condition,
  type Operation,
  type Transaction,
} from "../../server/state-machine/transaction.ts";
import { requestKeptMs } from "../../server/state-machine/once.ts";
import { Random } from "../raft/random.ts";
import { shared } from "../harness/share.ts";
import { MapRequests } from "../server/map-requests.ts";
import { MapRows } from "../server/map-rows.ts";
import { applyAll } from "./apply-all.ts";
import { withScene, utf8, type Scene, wholeQuery } from "./store-scene.ts";

const names = ["a", "a/1", "a/2", "b", "b/\u{ffff}", "b/\u{1f41f}", "c"];

/** `Random.pick` takes null for nothing at all. */
const drawn = <T>(random: Random, from: readonly T[]): T => from[random.below(from.length)] as T;

function drawOperation(random: Random): Operation {
  const key = drawn(random, names);
  const prefix = prefixRange(drawn(random, ["", "a", "a/", "b/", "c"]));
  const limit = drawn(random, [1, 2, 100]);
  const number = BigInt(random.below(9) - 4);
  return drawn<Operation>(random, [
    { op: "put", key, value: utf8(String(number)), contentType: drawn(random, [null, "a/b"]) },
    { op: "put", key, value: utf8("text"), contentType: null },
    { op: "delete", key },
    { op: "get", key },
    { op: "getdel", key },
    { op: "revision", key },
    { op: "deleteRange", range: prefix, limit: drawn(random, [null, 1, 2]) },
    { op: "range", range: prefix, limit },
    { op: "incr", key, by: number, min: drawn(random, [null, 0n]), max: drawn(random, [null, 5n]) },
    { op: "max", key, value: number },
    { op: "min", key, value: number },
    { op: "append", key, value: utf8(String(random.below(10))) },
  ]);
}

function drawCondition(random: Random): Condition {
  const key = drawn(random, names);
  const not = random.float() < 0.5;
  const revision = random.below(60);
  return drawn<Condition>(random, [
    { kind: "exists", key, not },
    { kind: "revision", key, not, revision },
    { kind: "createRevision", key, not, revision },
    { kind: "value", key, not, value: utf8(String(random.below(5))) },
  ]);
}

const several = <T>(random: Random, most: number, draw: (random: Random) => T): T[] =>
  Array.from({ length: random.below(most + 1) }, () => draw(random));

function drawnOnce(random: Random, command: Transaction): Command {
  const fingerprint = new Uint8Array(fingerprintBytes).fill(random.below(2));
  return { op: "once", requestKey: drawn(random, ["r1", "r2", "r3", "r4"]), fingerprint, command };
}

function assertEqualStates(scene: Scene, rows: Map<string, Row>, random: Random): void {
  const reader = new MapRows(rows);
  const reverse = random.float() < 0.5;
  const groups = drawn(random, [null, { prefix: "", delimiter: "/" }]);
  const limit = drawn(random, [1, 3, 1000]);
  const after = drawn(random, [null, "a", "b/", "b/\u{ffff}"]);
  const query = { reverse, groups, limit, after, keysOnly: random.float() < 0.5 };
  const range = prefixRange(drawn(random, ["", "a", "b/"]));
  const bytesMax = drawn(random, [1, 1 << 20]);
  const expected = list(reader, { type: "list", range, bytesMax, ...query });
  assert.equal(scene.list({ range, bytesMax, ...query }), expected);
  const counting = { type: "count", range, limit: 2 } as const;
  assert.equal(scene.store.lookup(counting), count(reader, counting));
}

test("any transactions, done once or as often as they come, do on SQLite what they do on rows in a map", () => {
  for (const seed of shared(60, 1)) {
    withScene((scene) => {
      const random = new Random(seed);
      const rows = new Map<string, Row>();
      const model = new MapRows(rows);
      const requests = new MapRequests();
      for (let at = 1; at <= 60; at++) {
        const transaction: Transaction = {
          op: "transaction",
          conditions: several(random, 2, drawCondition),
          then: several(random, 4, drawOperation),
          otherwise: several(random, 2, drawOperation),
        };
        const command = random.float() < 0.5 ? transaction : drawnOnce(random, transaction);
        const timeMs = Math.floor((at * requestKeptMs) / 8);
        const expected = execute(model, requests, { command, entry: { index: index(at), timeMs } });
        assert.equal(scene.do(command, timeMs), expected, `seed ${seed}, ${at}`);
        if (random.float() < 0.3) scene.store.commit();
        if (random.float() < 0.2) assertEqualStates(scene, rows, random);
        if (random.float() < 0.03) scene.reopen();
      }
      scene.store.commit();
      assert.equal(scene.list().rows, list(model, wholeQuery).rows);
      while (!scene.store.verify(1 << 20).isEnd);
    });
  }
});

test("two stores have equal hashes after equal transactions, committed at different times", () => {
  const hashes = [0.1, 0.9].map((chance) => {
    let hash = "";
    withScene((scene) => {
      const random = new Random(5);
      const whims = new Random(6);
      for (let at = 0; at < 200; at++) {
        scene.do(transactionOf([drawCondition(random)], drawOperation(random)));
        if (whims.float() < chance) scene.store.commit();
      }
      hash = scene.stateHash;
    });
    return hash;
  });
  assert.is(hashes[0], hashes[1]);
});

test("a scan lays what waits in memory over what is in the table", () => {
  withScene((scene) => {
    for (const key of ["a", "c", "e"]) scene.put(key, "old");
    scene.store.commit();
    scene.put("b", "new");
    scene.put("c", "new");
    scene.delete("e");
    const range = { op: "range", range: prefixRange(""), limit: 10 } as const;
    const result = scene.do(transactionOf([], range));
    assert.is(result.op, "transaction");
    const [found] = result.op === "transaction" ? result.results : [];
    const rows = found?.op === "range" ? found.rows : [];
    assert.equal(
      rows.map(({ key, value }) => `${key} ${new TextDecoder().decode(value)}`),
      ["a old", "b new", "c new"],
    );
  });
});

test("a transaction whose results are too large does nothing", () => {
  withScene((scene) => {
    const value = new Uint8Array(1 << 20);
    scene.put("long", value);
    const get: Operation = { op: "get", key: "long" };
    const gets = Array.from({ length: resultBytesMax / value.byteLength }, () => get);
    const put: Operation = { op: "put", key: "k", value, contentType: null };
    const done = (then: Operation[]) =>
      scene.do({ op: "transaction", conditions: [], then, otherwise: [] });
    assert.is(done(gets).op, "transaction");
    const failed = done([put, ...gets, get]);
    assert.equal([failed.op, scene.get("k")], ["failed", null]);
  });
});

test("short appends to long values do not pile up in memory", () => {
  withScene((scene) => {
    const value = new Uint8Array(1 << 19);
    for (let at = 0; at < 48; at++) scene.put(`long-${at}`, value);
    scene.store.commit();
    const appends = Array.from({ length: 48 }, (_, at) =>
      scene.commandEntry(transactionOf([], { op: "append", key: `long-${at}`, value: utf8("x") })),
    );
    applyAll(scene.store, appends);
    // Some of it was committed on the way.
    assert.ok(scene.store.uncommittedBytes < 20 << 20);
    assert.is(scene.get("long-47")?.value.byteLength, (1 << 19) + 1);
  });
});

test("a range ends behind the key it ends with, and not before", () => {
  withScene((scene) => {
    for (const key of ["k", "k\u0001", "k0", "l"]) scene.put(key, "v");
    const range = { start: "k", end: afterKey("k") };
    scene.do(transactionOf([], { op: "deleteRange", range, limit: null }));
    assert.equal(scene.keys(), ["k\u0001", "k0", "l"]);
  });
});

test.run();
