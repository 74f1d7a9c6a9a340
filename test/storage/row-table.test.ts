/** A table that is not what was written to it is found out by who writes it. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { index } from "../../server/raft/entry.ts";
import { RowTable } from "../../storage/row-table.ts";
import type { SqliteDatabase } from "../../storage/sqlite/port.ts";
import { StateHash } from "../../storage/state-hash.ts";
import { openSchema, StateDamaged } from "../../storage/state-schema.ts";
import { prepareStatements } from "../../storage/state-statements.ts";
import { driver, utf8 } from "./store-scene.ts";

class Scene {
  readonly database: SqliteDatabase;
  readonly table: RowTable;
  #revision = 0;

  constructor(database: SqliteDatabase) {
    openSchema(database);
    this.database = database;
    this.table = new RowTable(database, prepareStatements(database), new StateHash(0, 0));
  }

  put(key: string, value = "v"): void {
    this.#revision++;
    this.table.put({ key, value: utf8(value), contentType: null }, index(this.#revision));
  }

  write(): void {
    this.table.freeze();
    assert.is(this.table.writeSome(Infinity, Infinity), "done");
    this.table.written();
  }

  get rowids(): Record<string, unknown> {
    const rows = this.database.prepare("SELECT key, rowid FROM kv").all();
    return Object.fromEntries(rows.map((row) => [String(row["key"]), row["rowid"]]));
  }
}

function withTable(run: (scene: Scene) => void): void {
  const directory = mkdtempSync(join(tmpdir(), "kv-table-"));
  const database = driver.open(join(directory, "state.sqlite"));
  try {
    run(new Scene(database));
  } finally {
    database.close();
    rmSync(directory, { recursive: true });
  }
}

const isDamage = (words: RegExp) => (error: unknown) =>
  error instanceof StateDamaged && words.test(error.detail);

for (const [name, sql] of [
  ["has gone", "DELETE FROM kv WHERE key = 'a'"],
  ["stands elsewhere", "UPDATE kv SET rowid = 99 WHERE key = 'a'"],
  ["has made room for another", "UPDATE kv SET key = 'c' WHERE key = 'a'"],
] as const) {
  test(`a row that ${name} is not written over`, () => {
    withTable((scene) => {
      for (const key of ["a", "b"]) scene.put(key);
      scene.write();
      scene.database.exec(sql);
      scene.put("b", "w");
      scene.write();
      scene.put("a", "w");
      assert.throws(() => scene.write(), isDamage(/"a" is not where it was/));
    });
  });
}

test("a row that is there though it was not found is not written over", () => {
  withTable((scene) => {
    scene.put("a");
    scene.write();
    scene.put("b");
    scene.database.exec("UPDATE kv SET key = 'b'");
    assert.throws(() => scene.write(), isDamage(/"b" is there, and was not found/));
  });
});

test("a row that goes and comes again stands elsewhere, and is found there", () => {
  withTable((scene) => {
    for (const key of ["a", "b"]) scene.put(key);
    scene.write();
    scene.table.remove("a");
    scene.write();
    assert.is(scene.table.get("a"), null);
    scene.put("a", "2");
    scene.write();
    assert.equal(scene.rowids, { a: 3, b: 2 });
    assert.equal(scene.table.get("a")?.value, utf8("2"));
    // While it is being written again, and once more after that.
    scene.put("a", "3");
    scene.table.freeze();
    scene.put("a", "4");
    scene.table.writeSome(Infinity, Infinity);
    scene.table.written();
    scene.write();
    assert.equal(scene.table.get("a")?.value, utf8("4"));
    assert.equal(scene.rowids, { a: 3, b: 2 });
  });
});

test("rows with rowids such as we do not use are written over like the others", () => {
  withTable((scene) => {
    for (const key of ["a", "b", "c", "d"]) scene.put(key);
    scene.write();
    scene.database.exec(
      "UPDATE kv SET rowid = -7 WHERE key = 'a'; UPDATE kv SET rowid = 1 << 52 WHERE key = 'b'",
    );
    const other = new Scene(scene.database);
    for (const key of ["a", "b", "c", "d"]) other.put(key, `new ${key}`);
    other.write();
    for (const key of ["a", "b", "c", "d"]) {
      assert.equal(other.table.get(key)?.value, utf8(`new ${key}`));
    }
  });
});

test.run();
