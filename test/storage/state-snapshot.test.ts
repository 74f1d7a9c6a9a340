/** The store's state at one instant, read while it changes, and made into another store's state. */

import { existsSync, readdirSync } from "node:fs";
import { dirname } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { must } from "../../server/raft/assert.ts";
import { encodeConfiguration } from "../../server/raft/configuration.ts";
import type { RowBatch, StateRecovery, StateView } from "../../server/state-machine/port.ts";
import { SqliteStateView } from "../../storage/state-view.ts";
import { applyAll } from "./apply-all.ts";
import { driver, members, none, roomy, withScene, type Scene } from "./store-scene.ts";

function rest(view: StateView, bytesMax = 1000): RowBatch[] {
  const batches: RowBatch[] = [];
  for (;;) {
    const batch = view.read(bytesMax);
    if (!batch) return batches;
    batches.push(batch);
  }
}

/** Rows by key: values as text. Fails where one is given twice. */
function contents(batches: readonly RowBatch[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const [key, value] of batches.flatMap(({ rows }) => rows)) {
    assert.not.ok(found.has(key as string), `${String(key)} is given once`);
    found.set(key as string, new TextDecoder().decode(value as Uint8Array));
  }
  return found;
}

const filled = (scene: Scene, count: number): void => {
  scene.store.apply(scene.entry("configuration", encodeConfiguration(members)));
  for (let i = 0; i < count; i++) scene.put(`k${String(i).padStart(4, "0")}`, `old ${i}`);
};

const oldRows = (count: number): Map<string, string> =>
  new Map(
    Array.from(
      { length: count },
      (_, i) => [`k${String(i).padStart(4, "0")}`, `old ${i}`] as const,
    ),
  );

const byKey = (rows: Map<string, string>): [string, string][] =>
  [...rows].sort(([a], [b]) => (a < b ? -1 : 1));

const leftovers = (path: string): string[] =>
  readdirSync(dirname(path)).filter((name) => /-(before|incoming)/.test(name));

test("a view shows every row once", () => {
  withScene((scene) => {
    filled(scene, 500);
    const view = roomy(scene.store.prepareSnapshot());
    const batches = rest(view);
    assert.ok(batches.length > 5);
    assert.equal(byKey(contents(batches)), byKey(oldRows(500)));
    view.close();
  });
});

test("a view of nothing is empty", () => {
  withScene((scene) => {
    const view = roomy(scene.store.prepareSnapshot());
    assert.is(view.read(1000), null);
    view.close();
  });
});

test("what changes while a view is read does not change the view", () => {
  withScene((scene) => {
    filled(scene, 300);
    const digest = scene.store.digest();
    const view = roomy(scene.store.prepareSnapshot());
    const batches: RowBatch[] = [];
    for (let round = 0; ; round++) {
      const batch = view.read(500);
      if (!batch) break;
      batches.push(batch);
      // Behind, at and before the place that was reached; new, replaced, deleted, and made again.
      for (const i of [round, 300 - round, 150, 2 * round, 299]) {
        scene.put(`k${String(i).padStart(4, "0")}`, `new ${round}`);
        scene.put(`k${String(i).padStart(4, "0")}+`, "extra");
        scene.delete(`k${String((i * 7) % 300).padStart(4, "0")}`);
        if (round % 2 === 0) scene.put(`k${String((i * 7) % 300).padStart(4, "0")}`, "again");
      }
      scene.delete("k0299+");
    }
    assert.ok(batches.length > 10);
    assert.equal(byKey(contents(batches)), byKey(oldRows(300)));
    assert.equal(view.digest, digest);
    view.close();
  });
});

test("a transaction that is taken back takes nothing out of the view and puts nothing in", () => {
  withScene((scene) => {
    filled(scene, 50);
    const view = roomy(scene.store.prepareSnapshot());
    scene.put("k0030", "new");
    scene.put("k0040", "new");
    assert.is(scene.store.commitSome(1), "more");
    const first = must(view.read(100), "there are rows");
    assert.is(scene.store.isCommitting, false);
    const [firstKey] = must(first.rows[0], "a piece has rows");
    const again = scene.putEntry(firstKey as string, "new");
    scene.store.apply(again);
    assert.is(scene.store.commitSome(1), "more");
    scene.putEntry("k0031", "skipped");
    const late = scene.putEntry("k0045", "new");
    assert.throws(() => scene.store.apply(late), /without a gap/);
    scene.store.apply(again);
    scene.store.commit();
    assert.equal(byKey(contents([first, ...rest(view, 100)])), byKey(oldRows(50)));
    view.close();
  });
});

test("rows are read in pieces of the size that was asked for, whatever their own is", () => {
  withScene((scene) => {
    for (let i = 0; i < 20; i++) scene.put(`large${i}`, new Uint8Array(100_000).fill(i));
    for (let i = 0; i < 200; i++) scene.put(`small${i}`, none);
    const view = roomy(scene.store.prepareSnapshot());
    for (const { rows } of rest(view, 250_000)) {
      const bytes = rows.reduce((sum, row) => sum + (row[1] as Uint8Array).byteLength, 0);
      assert.ok(bytes <= 250_000);
    }
    view.close();
    const single = roomy(scene.store.prepareSnapshot());
    assert.is(single.read(1)?.rows.length, 1);
    single.close();
  });
});

test("the write-ahead log is moved into the database while a view is open", () => {
  withScene((scene) => {
    filled(scene, 100);
    const view = roomy(scene.store.prepareSnapshot());
    view.read(100);
    scene.put("k0090", "new");
    assert.is(scene.store.sync(), 102);
    assert.is(scene.store.unsyncedBytes, 0);
    view.close();
  });
});

test("a view of tables with keys of several columns survives whatever changes rows", () => {
  withScene((scene) => {
    const database = driver.open(`${scene.path}-tables`);
    database.exec(
      "CREATE TABLE lease (owner INTEGER, name TEXT, text TEXT, PRIMARY KEY (owner, name)) WITHOUT ROWID",
    );
    database.exec("CREATE TABLE empty (id INTEGER PRIMARY KEY)");
    const insert = database.prepare("INSERT INTO lease VALUES (?, ?, 'old')");
    for (let i = 0; i < 60; i++) insert.run(i % 7, `n${i}`);
    const view = new SqliteStateView({
      database,
      tables: [
        { name: "empty", columns: ["id"], keyCount: 1 },
        { name: "lease", columns: ["owner", "name", "text"], keyCount: 2 },
      ],
      applied: scene.store.applied,
      digest: scene.store.digest(),
      endTransaction: () => {},
      check: () => {},
      onClose: () => {},
    });
    const first = must(view.read(60), "there are rows");
    database.exec("REPLACE INTO lease SELECT owner, name, 'new' FROM lease");
    database.exec("DELETE FROM lease WHERE owner = 5");
    database.exec("INSERT INTO lease VALUES (6, 'more', 'new'), (5, 'more', 'new')");
    database.exec(
      "INSERT INTO lease VALUES (6, 'n6', 'x') ON CONFLICT DO UPDATE SET text = 'newer'",
    );
    database.exec("INSERT INTO empty VALUES (1)");
    const rows = [first, ...rest(view, 60)].flatMap((batch) => batch.rows);
    const names = rows.map(([owner, name]) => `${String(owner)} ${String(name)}`).sort();
    assert.equal(names, Array.from({ length: 60 }, (_, i) => `${i % 7} n${i}`).sort());
    assert.ok(rows.every(([, , text]) => text === "old"));
    view.close();
    database.close();
  });
});

test("a closed view leaves nothing behind and lets the next one come", () => {
  withScene((scene) => {
    filled(scene, 30);
    for (let i = 0; i < 3; i++) {
      const view = roomy(scene.store.prepareSnapshot());
      view.read(100);
      scene.put("k0020", `new ${i}`);
      view.close();
      view.close();
      assert.equal(leftovers(scene.path), []);
      scene.put("k0021", `new ${i}`);
    }
    const view = roomy(scene.store.prepareSnapshot());
    assert.is(contents(rest(view)).get("k0020"), "new 2");
    view.close();
  });
});

test("a damaged row is not put into a snapshot", () => {
  withScene((scene) => {
    filled(scene, 10);
    scene.tampered("UPDATE kv SET value = x'00' WHERE key = 'k0007'");
    const view = roomy(scene.store.prepareSnapshot());
    assert.throws(() => rest(view), /k0007.*checksum/);
  });
});

/** Makes a state in `other`, which has a row of its own, from what `scene` holds. */
function recovered(
  scene: Scene,
  other: Scene,
  tamper: (batch: RowBatch) => RowBatch = (batch) => batch,
): { recovery: StateRecovery; wrong: string | null } {
  const view = roomy(scene.store.prepareSnapshot());
  const recovery = other.store.beginRecovery(view.applied, view.digest);
  let wrong: string | null = null;
  for (const batch of rest(view)) wrong ??= recovery.add(tamper(batch));
  wrong ??= recovery.finish();
  view.close();
  return { recovery, wrong };
}

test("a state made from a view is equal, goes on, and is there after opening again", () => {
  withScene((scene, other) => {
    filled(scene, 300);
    other.put("own", "row");
    const { recovery, wrong } = recovered(scene, other);
    assert.is(wrong, null);
    assert.is(other.store.applied.appliedIndex, 1, "nothing counts before it is installed");
    recovery.install();
    assert.equal(other.store.applied, scene.store.applied);
    assert.equal(other.store.digest(), scene.store.digest());
    assert.is(other.get("own"), null);
    assert.equal(leftovers(other.path), []);
    const next = scene.putEntry("k0001", "after");
    assert.equal(other.store.apply(next), scene.store.apply(next));
    assert.equal(other.store.digest(), scene.store.digest());
    other.reopen();
    assert.equal(other.store.digest(), scene.store.digest());
    assert.equal(other.store.applied, scene.store.applied);
  });
});

test("rows that are not those of the view are refused, and the old state stays", () => {
  withScene((scene, other) => {
    filled(scene, 20);
    other.put("own", "row");
    const tampers: [RegExp, (batch: RowBatch) => RowBatch][] = [
      [/not those/, ({ table, rows }) => ({ table, rows: rows.slice(1) })],
      [/does not know/, ({ rows }) => ({ table: "other", rows })],
      [/columns/, ({ table, rows }) => ({ table, rows: rows.map((row) => row.slice(1)) })],
      [/does not fit/, ({ table, rows }) => ({ table, rows: rows.concat(rows) })],
      [/checksum/, ({ table, rows }) => ({ table, rows: rows.map(([, ...row]) => ["x", ...row]) })],
    ];
    for (const [expected, tamper] of tampers) {
      const { recovery, wrong } = recovered(scene, other, tamper);
      assert.match(wrong ?? "", expected);
      recovery.abandon();
      assert.equal(leftovers(other.path), []);
      assert.is(other.store.applied.appliedIndex, 1);
    }
  });
});

test("a crash before the switch leaves the old state, and nothing of the new one", () => {
  withScene((scene, other) => {
    filled(scene, 40);
    other.put("own", "row");
    other.store.commit();
    recovered(scene, other);
    const crashed = other.crashed();
    assert.ok(crashed.ok);
    if (!crashed.ok) return;
    assert.is(crashed.store.applied.appliedIndex, 1);
    assert.is(crashed.store.digest().stateHash, other.stateHash);
    crashed.store.close();
    assert.not.ok(existsSync(`${other.path}-crashed-incoming`));
  });
});

test("a crash while a view is open leaves the state and no view", () => {
  withScene((scene) => {
    filled(scene, 40);
    const view = roomy(scene.store.prepareSnapshot());
    view.read(100);
    scene.put("k0030", "new");
    scene.store.commit();
    const crashed = scene.crashed();
    assert.ok(crashed.ok);
    if (!crashed.ok) return;
    assert.equal(crashed.store.digest(), scene.store.digest());
    assert.not.ok(existsSync(`${scene.path}-crashed-before`));
    const again = roomy(crashed.store.prepareSnapshot());
    assert.is(contents(rest(again)).get("k0030"), "new");
    crashed.store.close();
    view.close();
  });
});

test("the log time of the newest entry is kept, and goes along", () => {
  withScene((scene, other) => {
    applyAll(scene.store, [
      { ...scene.entry("configuration", encodeConfiguration(members)), timeMs: 41 },
      { ...scene.putEntry("k", "v"), timeMs: 42 },
    ]);
    scene.reopen();
    assert.is(scene.store.applied.appliedTimeMs, 42);
    recovered(scene, other).recovery.install();
    other.reopen();
    assert.is(other.store.applied.appliedTimeMs, 42);
  });
});

test.run();
