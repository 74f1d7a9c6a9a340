/** What is on the disk when the state's write-ahead log is cut, or goes. */

import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { FileSyncs } from "../../storage/state-sync.ts";
import { Scene } from "./store-scene.ts";

interface Copied {
  readonly scene: Scene;
  /** Syncs that the loop has waited for. */
  readonly waited: number[];
  readonly walBytes: () => number;
}

/** A state whose log was copied into the database, which is not synced yet. */
function copied(run: (copied: Copied) => void, now: FileSyncs["now"] = () => {}): void {
  const directory = mkdtempSync(join(tmpdir(), "kv-state-sync-"));
  const path = join(directory, "state.sqlite");
  // What was asked of the disk and not answered yet, oldest first.
  const begun: ((error: Error | null) => void)[] = [];
  const waited: number[] = [];
  const syncs: FileSyncs = {
    begin: (_file, done) => void begun.push(done),
    now: (file) => {
      waited.push(file);
      now(file);
    },
  };
  const scene = new Scene(path, syncs);
  const { store } = scene;
  const walBytes = (): number => statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
  try {
    scene.put("k", "v");
    store.commit();
    assert.is(store.syncSome(), "more");
    begun.shift()?.(null);
    assert.is(store.syncSome(), "more");
    assert.is(begun.length, 1, "the database is being synced");
    assert.ok(walBytes() > 0);
    run({ scene, waited, walBytes });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("a sync of all cuts the log only behind a sync of the database", () => {
  copied(({ scene, waited, walBytes }) => {
    scene.store.sync();
    assert.is(waited.length, 1);
    assert.is(walBytes(), 0);
    scene.store.close();
  });
});

test("the log goes with the end of the store only behind a sync of the database", () => {
  copied(({ scene, waited, walBytes }) => {
    scene.store.close();
    assert.is(waited.length, 1);
    assert.is(walBytes(), 0);
  });
});

test("what writes go on behind waits for the database, and is refused where its sync fails", () => {
  const fails = (): void => {
    throw new Error("EIO");
  };
  let isFailing = true;
  copied(
    ({ scene, walBytes }) => {
      scene.put("k", "w");
      assert.throws(() => scene.store.commit(), /EIO/);
      assert.ok(walBytes() > 0, "the log stays");
      isFailing = false;
      scene.store.close();
    },
    () => isFailing && fails(),
  );
});

test.run();
