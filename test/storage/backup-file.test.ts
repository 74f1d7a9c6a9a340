/** Backups: of one instant, readable by anyone, and never taken for whole when they are not. */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { encodeConfiguration } from "../../server/raft/configuration.ts";
import { BackupReader, BackupWriter } from "../../storage/backup-file.ts";
import { BackupFiles } from "../../storage/backup-files.ts";
import { NodeDisk } from "../../storage/node-disk.ts";
import { SqliteError } from "../../storage/sqlite/port.ts";
import { StateDamaged } from "../../storage/state-schema.ts";
import { sharedPlaces } from "../harness/share.ts";
import { driver, failing, members, roomy, withScene, type Scene } from "./store-scene.ts";

function filled(scene: Scene, count: number): void {
  scene.store.apply(scene.entry("configuration", encodeConfiguration(members)));
  for (let i = 0; i < count; i++) scene.put(`k${i}`, `value ${i}`.repeat(i % 40), "text/plain");
}

const pathOf = (scene: Scene): string => `${scene.path}-backup`;

function writer(scene: Scene): BackupWriter {
  const view = roomy(scene.store.prepareSnapshot());
  const head = { clusterId: "c1", applied: view.applied, digest: view.digest };
  return new BackupWriter({ driver, path: pathOf(scene), view, head });
}

function written(scene: Scene): string {
  const backup = writer(scene);
  while (backup.step(1_000) === "more");
  return pathOf(scene);
}

/** What a reader that trusts nothing finds: the rows, or null where it refuses. */
function read(path: string): string | null {
  let reader: BackupReader | null = null;
  try {
    reader = BackupReader.open(driver, path);
    reader.verify();
    return JSON.stringify([reader.head, ...reader.batches()]);
  } catch (error) {
    assert.ok(error instanceof StateDamaged || error instanceof SqliteError, String(error));
    return null;
  } finally {
    reader?.close();
  }
}

test("a backup holds the rows of one instant, whatever is written meanwhile", () => {
  withScene((scene) => {
    filled(scene, 300);
    const keys = scene.keys();
    const digest = scene.store.digest();
    const backup = writer(scene);
    let steps = 1;
    for (; backup.step(1_000) === "more"; steps++) {
      scene.put(`k${steps}`, "newer");
      scene.delete(`k${300 - steps}`);
      scene.put(`new${steps}`, "x");
    }
    assert.ok(steps > 20, `${steps} steps`);
    const reader = BackupReader.open(driver, pathOf(scene));
    assert.is(reader.verify(), 300);
    assert.equal(reader.head.digest, digest);
    assert.is(reader.head.clusterId, "c1");
    assert.equal(reader.head.applied.configuration?.members, members.members);
    const found = [...reader.batches()].flatMap(({ rows }) => rows.map(([key]) => String(key)));
    assert.equal(found.sort(), keys.sort());
    reader.close();
    assert.not.ok(scene.keys().includes("k299"));
  });
});

test("any SQLite reads it, with names that say what is what", () => {
  withScene((scene) => {
    filled(scene, 5);
    const database = driver.open(written(scene));
    const rows = database
      .prepare("SELECT key, CAST(value AS TEXT) AS v FROM kv ORDER BY key")
      .all();
    assert.equal(rows[2], { key: "k2", v: "value 2value 2" });
    const index = database.prepare("SELECT value FROM backup WHERE name = 'index'").get();
    assert.equal(index, { value: "6" });
    assert.equal(database.prepare("PRAGMA journal_mode").get(), { journal_mode: "delete" });
    database.close();
  });
});

test("a bit flipped anywhere is noticed, or changes nothing of what is read", () => {
  withScene((scene) => {
    filled(scene, 240);
    const path = written(scene);
    const whole = readFileSync(path);
    const rows = read(path);
    assert.ok(rows !== null);
    let refused = 0;
    let tried = 0;
    for (const at of sharedPlaces(whole.byteLength, 193)) {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
      writeFileSync(path, bytes);
      const found = read(path);
      tried++;
      if (found === null) refused++;
      else assert.is(found, rows, `byte ${at}`);
    }
    assert.ok(refused > tried / 2, `${refused} of ${tried} refused`);
  });
});

test("a backup that was cut short is refused", () => {
  withScene((scene) => {
    filled(scene, 120);
    const path = written(scene);
    const whole = readFileSync(path);
    for (const length of [0, 1, 99, 100, 4_096, whole.byteLength - 4_096, whole.byteLength - 1]) {
      writeFileSync(path, whole.subarray(0, length));
      assert.is(read(path), null, `${length} bytes`);
    }
  });
});

test("a node's own state, and any other database, is no backup", () => {
  withScene((scene) => {
    filled(scene, 3);
    scene.store.sync();
    scene.store.close();
    assert.throws(() => BackupReader.open(driver, scene.path), /not a backup/);
    scene.reopen();
  });
});

test("a disk without room for it leaves nothing, and the next one is made", () => {
  withScene((scene) => {
    filled(scene, 50);
    const backup = writer(scene);
    failing.sql = "INSERT INTO kv VALUES";
    assert.is(backup.step(1_000), "full");
    failing.sql = null;
    assert.not.ok(existsSync(pathOf(scene)));
    assert.ok(read(written(scene)) !== null);
  });
});

test("a state that is replaced under it ends it", () => {
  withScene((scene) => {
    filled(scene, 50);
    const backup = writer(scene);
    assert.is(backup.step(100), "more");
    const recovery = scene.store.beginRecovery(
      { ...scene.store.applied, configuration: members },
      { ...scene.store.digest(), stateHash: "0".repeat(16) },
    );
    assert.is(recovery.finish(), null);
    recovery.install();
    assert.is(backup.step(100), "lost");
    assert.not.ok(existsSync(pathOf(scene)));
  });
});

test("one at a time is made; its file has no name while it is sent, and nothing is left of it", () => {
  withScene((scene) => {
    filled(scene, 200);
    const directory = dirname(scene.path);
    const files = new BackupFiles({
      disk: new NodeDisk(),
      driver,
      directory,
      clusterId: "c1",
      machine: scene.store,
      formed: members,
    });
    const making = roomy(files.begin());
    assert.is(files.begin(), "busy");
    while (making.work(10_000) === "more");
    assert.is(files.begin(), "busy", "it is still being sent");
    assert.not.ok(existsSync(`${directory}/backup.sqlite`));
    const copy = `${scene.path}-copy`;
    const bytes = Buffer.alloc(making.bytes);
    for (let at = 0; at < bytes.byteLength; at += 5_000) bytes.set(making.read(at, 5_000), at);
    assert.is(making.read(bytes.byteLength, 10).byteLength, 0);
    making.close();
    writeFileSync(copy, bytes);
    assert.ok(read(copy) !== null);
    const given = roomy(files.begin());
    given.work(100);
    given.close();
    assert.not.ok(existsSync(`${directory}/backup.sqlite`));
    assert.is(scene.store.prepareSnapshot() === "busy", false);
  });
});

test.run();
