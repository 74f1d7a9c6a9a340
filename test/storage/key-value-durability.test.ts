/** The key-value state machine across starts and crashes, and what it refuses to serve. */

import { copyFileSync, statSync, truncateSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { encodeConfiguration } from "../../server/raft/configuration.ts";
import { KeyValueStore, StateDamaged } from "../../storage/key-value-store.ts";
import { applyAll } from "./apply-all.ts";
import { assertDamaged, driver, flip, members, opened, withScene } from "./store-scene.ts";

// ------------------------------------------------------------------ across starts

test("everything is there after closing and opening", () => {
  withScene((scene) => {
    applyAll(scene.store, [
      scene.entry("configuration", encodeConfiguration(members)),
      scene.putEntry("k", "v", "text/plain"),
    ]);
    const { applied } = scene.store;
    const digest = scene.store.digest();
    const row = scene.get("k");
    scene.reopen();
    assert.equal(scene.store.applied, applied);
    assert.equal(scene.store.digest(), digest);
    assert.equal(scene.get("k"), row);
    assert.equal(scene.put("k", "w"), { op: "put", created: false, revision: 3 });
  });
});

test("a crash before the commit takes the transaction back, and with it the applied index", () => {
  withScene((scene) => {
    scene.put("a", "1");
    scene.store.commit();
    const before = scene.store.digest();
    scene.put("b", "2");
    const result = scene.crashed();
    assert.ok(result.ok);
    if (!result.ok) return;
    assert.equal(result.store.digest(), before);
    assert.is(result.store.applied.appliedIndex, 1);
    result.store.close();
  });
});

test("everything committed survives a crash without sync or close", () => {
  withScene((scene) => {
    scene.put("a", "1");
    scene.store.sync();
    scene.put("b", "2");
    scene.store.commit();
    const result = scene.crashed();
    assert.ok(result.ok);
    if (!result.ok) return;
    assert.equal(result.store.applied, scene.store.applied);
    assert.equal(result.store.digest(), scene.store.digest());
    assert.ok(result.store.unsyncedBytes > 0);
    result.store.close();
  });
});

test("after a sync the database file alone holds everything", () => {
  withScene((scene) => {
    scene.put("a", "1");
    assert.ok(scene.store.unsyncedBytes > 0);
    assert.is(scene.store.sync(), 1);
    assert.is(scene.store.unsyncedBytes, 0);
    scene.put("a", "2");
    assert.ok(scene.store.unsyncedBytes > 0);
    assert.is(scene.store.sync(), 2);
    const path = `${scene.path}-alone`;
    copyFileSync(scene.path, path);
    const alone = opened(path);
    assert.equal(alone.digest(), scene.store.digest());
    alone.close();
  });
});

test("a sync with nothing to do changes nothing", () => {
  withScene((scene) => {
    scene.put("a", "1");
    scene.store.sync();
    const { mtimeMs } = statSync(scene.path);
    assert.is(scene.store.sync(), 1);
    assert.is(statSync(scene.path).mtimeMs, mtimeMs);
  });
});

test("reading leaves nothing open that would hold up a sync", () => {
  withScene((scene) => {
    applyAll(
      scene.store,
      ["a", "b", "c"].map((key) => scene.putEntry(key, "v")),
    );
    scene.get("a");
    scene.list({ limit: 1 });
    assert.is(scene.store.sync(), 3);
  });
});

test("a lost write-ahead log takes the state back to the last sync, and it goes on from there", () => {
  withScene((scene) => {
    scene.put("a", "1");
    scene.store.sync();
    const { stateHash } = scene;
    scene.put("b", "2");
    const path = `${scene.path}-lost`;
    copyFileSync(scene.path, path);
    const lost = opened(path);
    assert.is(lost.applied.appliedIndex, 1);
    assert.is(lost.digest().stateHash, stateHash);
    lost.close();
  });
});

test("the users' table holds the users' rows alone", () => {
  withScene((scene) => {
    applyAll(scene.store, [
      scene.entry("configuration", encodeConfiguration(members)),
      scene.putEntry("k", "v"),
    ]);
    scene.store.close();
    const database = driver.open(scene.path);
    const rows = database.prepare("SELECT key FROM kv").all();
    database.close();
    scene.store = opened(scene.path);
    assert.equal(rows, [{ key: "k" }]);
  });
});

// ------------------------------------------------------------------ damage

test("bookkeeping that was changed is noticed", () => {
  const changes = [
    "applied_index = applied_index + 1",
    "applied_term = 0",
    "history = history + 1",
    "hash_high = hash_high + 1",
    "hash_low = hash_low + 1",
    "configuration = NULL",
    "configuration = x'5b5d'",
    "checksum = 0",
    "format = 0",
    "applied_index = 9007199254740993",
  ];
  for (const change of changes) {
    withScene((scene) => {
      applyAll(scene.store, [
        scene.entry("configuration", encodeConfiguration(members)),
        scene.putEntry("k", "v"),
      ]);
      const result = scene.tampered(`UPDATE meta SET ${change}`);
      assertDamaged(result, scene.path, /bookkeeping|safe integer/);
    });
  }
});

test("bookkeeping that is missing is noticed", () => {
  withScene((scene) => {
    assertDamaged(scene.tampered("DELETE FROM meta"), scene.path, /bookkeeping/);
  });
});

test("a newer format is named as such", () => {
  withScene((scene) => {
    assertDamaged(scene.tampered("UPDATE meta SET format = 99"), scene.path, /newer version/);
  });
});

test("an older format is named as such, and is not thrown away", () => {
  withScene((scene) => {
    const result = scene.tampered("UPDATE meta SET format = 2; DROP TABLE request");
    assertDamaged(result, scene.path, /older version/);
    assert.is(!result.ok && result.damage.isMendable, false);
  });
});

test("tables that are not ours are noticed", () => {
  for (const sql of ["DROP TABLE kv", "CREATE TABLE t (v)", "PRAGMA application_id = 1"]) {
    withScene((scene) => {
      assertDamaged(scene.tampered(sql), scene.path, /tables/);
    });
  }
});

test("a changed row is never served", () => {
  const changes = [
    "value = CAST('valuf' AS BLOB)",
    "value = x''",
    "content_type = NULL",
    "content_type = 'text/plaim'",
    "revision = revision + 1",
    "create_revision = 9",
    "checksum = checksum + 1",
    "key = 'kez'",
  ];
  for (const change of changes) {
    withScene((scene) => {
      scene.put("key", "value", "text/plain");
      assert.ok(scene.tampered(`UPDATE kv SET ${change}`).ok);
      const key = change.startsWith("key") ? "kez" : "key";
      const damaged = (error: unknown): boolean =>
        error instanceof StateDamaged && error.message.includes(scene.path);
      assert.throws(() => scene.get(key), damaged, change);
      assert.throws(() => scene.list(), damaged, change);
    });
  }
});

test("a bit that flipped in a value on the disk is noticed when it is read", () => {
  withScene((scene) => {
    scene.put("k", "0123456789abcdefghijklmnopqrstuvwxyz");
    flip(scene, "abcdefgh");
    assert.throws(
      () => scene.get("k"),
      (error: unknown) => error instanceof StateDamaged && error.path === scene.path,
    );
  });
});

test("a header that was overwritten is noticed", () => {
  withScene((scene) => {
    flip(scene, "SQLite format 3", false);
    assertDamaged(KeyValueStore.open({ driver, path: scene.path }), scene.path, /not a database/);
  });
});

test("a file that lost its end is noticed", () => {
  withScene((scene) => {
    scene.put("k", new Uint8Array(100_000));
    scene.store.close();
    truncateSync(scene.path, statSync(scene.path).size - 4096);
    assertDamaged(KeyValueStore.open({ driver, path: scene.path }), scene.path, /end is missing/);
  });
});

test("an empty file is a new state", () => {
  withScene((scene) => {
    scene.store.close();
    truncateSync(scene.path, 0);
    scene.store = opened(scene.path);
    assert.is(scene.store.applied.appliedIndex, 0);
    assert.equal(scene.put("k", "v"), { op: "put", created: true, revision: 1 });
  });
});

test.run();
