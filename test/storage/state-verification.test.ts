/** The reading of all rows that goes on beside the writes, and what it must not overlook. */

import { readFileSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { KeyValueStore, StateDamaged } from "../../storage/key-value-store.ts";
import { sharedPlaces } from "../harness/share.ts";
import { Random } from "../raft/random.ts";
import { driver, failing, withScene, type Scene } from "./store-scene.ts";

/** Reads on to the end, whatever a step takes. */
function verifyAll(store: KeyValueStore, bytesMax = 1): void {
  while (!store.verify(bytesMax).isEnd);
}

const isDamage = (error: unknown): boolean => error instanceof StateDamaged;

function fill(scene: Scene, count: number): void {
  for (let i = 0; i < count; i++) scene.put(`key-${String(i).padStart(4, "0")}`, `value ${i}`);
}

/** Rows behind the store's back, and what must come of it. */
function assertNoticed(sql: string): void {
  withScene((scene) => {
    fill(scene, 50);
    verifyAll(scene.store);
    const tampered = scene.tampered(sql);
    assert.ok(tampered.ok);
    assert.throws(() => verifyAll(scene.store), isDamage, sql);
  });
}

test("rows as they were written pass, again and again", () => {
  withScene((scene) => {
    verifyAll(scene.store);
    fill(scene, 200);
    for (let i = 0; i < 3; i++) verifyAll(scene.store, 1 << 20);
  });
});

test("writes before and behind the place that is being read are no damage", () => {
  // In UTF-8, which orders the rows, the second is behind the first; in UTF-16 it is before it.
  const odd = ["\u{fffd}", "\u{1f600}", "é", "z", "A"];
  withScene((scene) => {
    const random = new Random(7);
    for (let i = 0; i < 3_000; i++) {
      const key = `${random.pick(odd)}${random.below(60)}`;
      if (random.below(3) === 0) scene.delete(key);
      else scene.put(key, `value ${i}`);
      if (random.below(40) === 0) scene.store.commit();
      if (random.below(2) === 0) scene.store.verify(1 + random.below(100));
    }
    verifyAll(scene.store);
    verifyAll(scene.store);
  });
});

test("a transaction that found the disk full does not confuse the reading", () => {
  withScene((scene) => {
    fill(scene, 50);
    scene.store.commit();
    scene.put("key-0000", "another value");
    scene.put("before all others", "a value");
    for (let i = 0; i < 3; i++) scene.store.verify(20);
    failing.sql = "INSERT INTO kv";
    scene.put("k", "v");
    assert.is(scene.store.commit(), "full");
    failing.sql = null;
    verifyAll(scene.store);
  });
});

test("a row that is gone is noticed", () => {
  assertNoticed("DELETE FROM kv WHERE key = 'key-0021'");
});

test("a row that is too many is noticed, however right it is by itself", () => {
  assertNoticed(
    "INSERT INTO kv SELECT 'zzz', value, content_type, create_revision, revision, checksum, expires_ms, lease FROM kv LIMIT 1",
  );
});

test("a row with another key is noticed", () => {
  assertNoticed("UPDATE kv SET key = 'key-0021x' WHERE key = 'key-0021'");
});

test("a row that is an older one, whole by itself, is noticed", () => {
  withScene((scene) => {
    fill(scene, 10);
    scene.store.sync();
    scene.put("key-0003", "newer");
    scene.store.sync();
    const newer = scene.store.lookup({ type: "get", key: "key-0003" });
    assert.ok(newer.type === "get" && newer.row?.revision === 11);
    const checksum = 0;
    const tampered = scene.tampered(
      `UPDATE kv SET revision = 4, checksum = ${checksum} WHERE key = 'key-0003'`,
    );
    assert.ok(tampered.ok);
    assert.throws(() => verifyAll(scene.store), isDamage);
  });
});

test("a row with a column of another type is damage, read or written over", () => {
  for (const change of ["value = 'text'", "revision = 'text'", "create_revision = 1.5"]) {
    withScene((scene) => {
      scene.put("k", "v");
      const tampered = scene.tampered(`UPDATE kv SET ${change}`);
      assert.ok(tampered.ok);
      assert.throws(() => scene.get("k"), isDamage, change);
      if (!change.startsWith("value")) assert.throws(() => scene.put("k", "w"), isDamage, change);
    });
  }
});

test("no flipped bit in the file passes the reading and hides or changes a row", () => {
  withScene((scene) => {
    fill(scene, 120);
    scene.store.sync();
    scene.store.close();
    const whole = readFileSync(scene.path);
    const damagedBytes = Buffer.from(whole);
    let passed = 0;
    for (const offset of sharedPlaces(whole.length, 89)) {
      damagedBytes[offset] = (whole[offset] ?? 0) ^ (1 << (offset % 8));
      writeFileSync(scene.path, damagedBytes);
      damagedBytes[offset] = whole[offset] ?? 0;
      if (isUnnoticed(scene.path)) passed++;
    }
    // Free space in the pages.
    assert.ok(passed > 0);
    writeFileSync(scene.path, whole);
    scene.store = mustOpen(scene.path);
  });
});

test("a bit that flipped in the row's own copy of its key is noticed, though rows are found without it", () => {
  withScene((scene) => {
    fill(scene, 50);
    scene.store.sync();
    scene.store.close();
    const bytes = readFileSync(scene.path);
    const at = bytes.indexOf("key-0021value 21");
    assert.ok(at > 0);
    bytes[at + 4] = (bytes[at + 4] ?? 0) ^ 1;
    writeFileSync(scene.path, bytes);
    scene.store = mustOpen(scene.path);
    assert.throws(() => verifyAll(scene.store), isDamage);
  });
});

/** The table as it was made by earlier versions. */
const before = `ALTER TABLE kv RENAME TO newer;
CREATE TABLE kv (
  key TEXT PRIMARY KEY,
  value BLOB NOT NULL,
  content_type TEXT,
  create_revision INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  expires_ms INTEGER,
  lease INTEGER
) WITHOUT ROWID;
INSERT INTO kv SELECT * FROM newer;
DROP TABLE newer;
CREATE INDEX kv_expires ON kv (expires_ms) WHERE expires_ms IS NOT NULL;
CREATE INDEX kv_lease ON kv (lease) WHERE lease IS NOT NULL`;

test("a state that an earlier version has made goes on as it is, and is verified", () => {
  withScene((scene) => {
    fill(scene, 50);
    assert.ok(scene.tampered(before).ok);
    scene.put("key-0007", "another value");
    scene.delete("key-0008");
    scene.store.commit();
    verifyAll(scene.store);
    assert.is(scene.get("key-0007")?.revision, 51);
    assert.ok(scene.tampered("DELETE FROM kv WHERE key = 'key-0021'").ok);
    assert.throws(() => verifyAll(scene.store), isDamage);
  });
});

function mustOpen(path: string): KeyValueStore {
  const result = KeyValueStore.open({ driver, path });
  assert.ok(result.ok);
  return result.store;
}

/** Whether the damage went unnoticed; then every row has to be what it was. */
function isUnnoticed(path: string): boolean {
  const result = KeyValueStore.open({ driver, path });
  if (!result.ok) return false;
  const { store } = result;
  try {
    verifyAll(store, 1 << 20);
    for (let i = 0; i < 120; i++) {
      const key = `key-${String(i).padStart(4, "0")}`;
      const answer = store.lookup({ type: "get", key });
      const value = answer.type === "get" ? answer.row?.value : undefined;
      assert.is(value && Buffer.from(value).toString(), `value ${i}`, key);
    }
    return true;
  } catch (error) {
    if (isDamage(error)) return false;
    throw error;
  } finally {
    store.close();
  }
}

test.run();
