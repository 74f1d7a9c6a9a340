/** A damaged database makes room for a new one, and nothing of the old one gets into it. */

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { KeyValueStore } from "../../storage/key-value-store.ts";
import { loadSqlite } from "../../storage/sqlite/open.ts";
import { setStateAside } from "../../storage/state-aside.ts";

const driver = await loadSqlite();

function inDirectory(run: (directory: string, path: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), "kv-aside-"));
  try {
    run(directory, join(directory, "state.sqlite"));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("the database goes with its companions, and an older one that is there stays", () => {
  inDirectory((directory, path) => {
    const aside = join(directory, "damaged");
    mkdirSync(aside);
    for (const content of ["first", "second"]) {
      writeFileSync(path, content);
      writeFileSync(`${path}-wal`, content);
      setStateAside(path, aside);
      assert.equal(readdirSync(directory), ["damaged"]);
    }
    assert.equal(readdirSync(aside), ["state.sqlite", "state.sqlite-wal"]);
    assert.is(readFileSync(join(aside, "state.sqlite"), "utf8"), "first");
  });
});

test("a write-ahead log without its database is not taken into a new one", () => {
  inDirectory((_, path) => {
    // A crash between the two moves leaves this.
    const first = KeyValueStore.open({ driver, path });
    assert.ok(first.ok && first.isNew);
    const wal = `${path}-wal`;
    writeFileSync(`${path}.kept`, readFileSync(wal));
    first.store.close();
    rmSync(path);
    writeFileSync(wal, readFileSync(`${path}.kept`));
    const second = KeyValueStore.open({ driver, path });
    assert.ok(second.ok && second.isNew);
    assert.is(second.store.applied.appliedIndex, 0);
    second.store.close();
    assert.ok(existsSync(path));
    const third = KeyValueStore.open({ driver, path });
    assert.ok(third.ok && !third.isNew);
    third.store.close();
  });
});

test.run();
