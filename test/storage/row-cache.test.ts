/** Rows that are kept for those who read them again are what they were, or not there. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { must } from "../../server/raft/assert.ts";
import { index } from "../../server/raft/entry.ts";
import type { Row } from "../../server/state-machine/command.ts";
import { rowOf } from "../../server/state-machine/rows.ts";
import { cachedValueBytesMax, RowCache } from "../../storage/row-cache.ts";
import { Random } from "../raft/random.ts";
import { failing, withScene } from "./store-scene.ts";

const sized = (key: string, length: number): Row => ({
  key,
  value: new Uint8Array(length).fill(length),
  contentType: null,
  revision: index(7),
  createRevision: index(3),
});

const time = Number.MAX_SAFE_INTEGER;

test("a row comes back with all that it has, to whoever reads it with a value of his own", () => {
  const cache = new RowCache();
  const plain = { ...sized("k", 21), revision: index(time), createRevision: index(time - 1) };
  const rows: Row[] = [
    plain,
    { ...plain, key: "\u{1f511}", contentType: "text/plain" },
    { ...plain, key: "expires", expiresMs: time - 2 },
    { ...plain, key: "leased", lease: time - 3 },
    { ...sized("of nothing", 0), contentType: "" },
  ];
  for (const row of rows) cache.add(row);
  for (let i = 0; i < 2; i++) {
    for (const row of rows) {
      const found = must(cache.get(row.key), "it is kept");
      assert.equal(found, row);
      found.value.fill(0);
    }
  }
  assert.is(cache.get("l"), null);
});

test("what is written takes the row's place whether longer, shorter or with an end; what is gone is gone", () => {
  const cache = new RowCache();
  cache.written("k", sized("k", 8));
  assert.is(cache.get("k"), null);
  cache.add(sized("k", 8));
  const expiring = { ...sized("k", 8), expiresMs: 5 };
  const typed = { ...sized("k", 3), contentType: "text/plain" };
  for (const row of [sized("k", 9), sized("k", 8), expiring, sized("k", 900), typed]) {
    cache.written("k", row);
    assert.equal(cache.get("k"), row);
  }
  cache.written("k", null);
  assert.is(cache.get("k"), null);
});

test("large rows are not kept, nor one that has become large", () => {
  const cache = new RowCache();
  cache.add(sized("at most", cachedValueBytesMax));
  cache.add(sized("more", cachedValueBytesMax + 1));
  assert.is(cache.get("at most")?.value.byteLength, cachedValueBytesMax);
  assert.is(cache.get("more"), null);
  cache.written("at most", sized("at most", cachedValueBytesMax + 100));
  assert.is(cache.get("at most"), null);
});

test("with more content types than have a number, no row has another's", () => {
  const cache = new RowCache();
  const rows = Array.from({ length: 1_000 }, (_, i) => ({
    ...sized(`k${i}`, 5),
    contentType: `text/${i % 300}`,
  }));
  let known = 0;
  for (const row of rows) {
    cache.add(row);
    assert.equal(cache.get(row.key), row);
  }
  for (const row of rows) {
    const found = cache.get(row.key);
    if (found === null) continue;
    known++;
    assert.equal(found, row);
  }
  assert.ok(known > 0 && known < 1_000, `${known}`);
});

test("any reads and writes find what is in a map, or nothing", () => {
  const random = new Random(3);
  const cache = new RowCache();
  const map = new Map<string, Row>();
  let known = 0;
  const drawn = (key: string, at: number): Row => {
    const length = random.below(10) === 0 ? random.below(2_000) : random.below(40);
    const row = { ...sized(key, length), contentType: random.below(2) === 0 ? null : "text/plain" };
    const place = { revision: index(at + 1), createRevision: index(1 + random.below(at + 1)) };
    const end = random.pick([{}, {}, { expiresMs: at }, { lease: at }]);
    return rowOf({ ...row, ...end }, place);
  };
  for (let at = 0; at < 100_000; at++) {
    const number = random.below(5_000);
    const key = `${number}`.padEnd(number % 100, number % 3 === 0 ? "\u4e00" : "k");
    if (random.below(4) === 0) {
      const row = random.below(4) === 0 ? null : drawn(key, at);
      if (row === null) map.delete(key);
      else map.set(key, row);
      cache.written(key, row);
      continue;
    }
    const found = cache.get(key);
    const expected = map.get(key);
    if (found !== null) {
      known++;
      assert.equal(found, expected);
    } else if (expected !== undefined) cache.add(expected);
  }
  assert.ok(known > 10_000, `${known}`);
});

test("who reads a row again does not ask the database, written or not in between", () => {
  withScene((scene) => {
    scene.put("a", "1");
    scene.store.commit();
    assert.is(scene.get("a")?.revision, 1);
    failing.sql = "SELECT key, value";
    assert.is(scene.get("a")?.revision, 1);
    scene.put("a", "2");
    scene.store.commit();
    assert.is(scene.get("a")?.revision, 2);
    assert.throws(() => scene.get("b"), /full/);
  });
});

test("what was written in a transaction that was taken back is neither read nor written over", () => {
  withScene((scene) => {
    scene.put("a", "1");
    scene.store.commit();
    assert.is(scene.get("a")?.revision, 1);
    scene.put("a", "2");
    scene.put("c", "2");
    failing.sql = "COMMIT";
    assert.is(scene.store.commit(), "full");
    // Whatever fails for good takes back what is not committed.
    failing.sql = "SELECT create_revision";
    assert.throws(() => scene.put("b", "1"), /full/);
    failing.sql = null;
    assert.is(scene.get("a")?.revision, 1);
    scene.goOnAt(1);
    scene.put("a", "3");
    assert.equal(scene.put("c", "3"), { op: "put", created: true, revision: 3 });
    scene.store.commit();
    while (!scene.store.verify(1 << 20).isEnd);
  });
});

test.run();
