/** A state file that gets smaller when what was in it is deleted. */

import { statSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { must } from "../../server/raft/assert.ts";
import { encodeConfiguration } from "../../server/raft/configuration.ts";
import { failing, members, roomy, withScene, type Scene } from "./store-scene.ts";

const stepBytes = 256 << 10;

function fill(scene: Scene, count: number): void {
  scene.store.apply(scene.entry("configuration", encodeConfiguration(members)));
  for (let i = 0; i < count; i++) scene.put(`k${i}`, new Uint8Array(100_000).fill(i));
  scene.store.sync();
}

function empty(scene: Scene, from: number, to: number): void {
  for (let i = from; i < to; i++) scene.delete(`k${i}`);
  scene.store.sync();
}

/** Returns in how many steps, and how much was given back. */
function shrink(scene: Scene): { steps: number; bytes: number } {
  let [steps, bytes] = [0, 0];
  for (;;) {
    const given = scene.store.shrinkSome(stepBytes);
    if (given === 0) break;
    assert.ok(given <= stepBytes, "a step is small");
    steps++;
    bytes += given;
  }
  scene.store.sync();
  return { steps, bytes };
}

const size = ({ path }: Scene): number => statSync(path).size;

test("a file gets smaller when most of what was in it is deleted, in small steps, and says the same", () => {
  withScene((scene) => {
    fill(scene, 100);
    const before = size(scene);
    empty(scene, 0, 90);
    assert.is(size(scene), before);
    const { stateHash } = scene;
    const { steps, bytes } = shrink(scene);
    assert.ok(steps > 10, `${steps} steps`);
    assert.ok(size(scene) <= before - bytes, "it is the file that gets smaller");
    assert.ok(size(scene) < 6 << 20, `${size(scene)} bytes`);
    assert.is(scene.stateHash, stateHash);
    assert.is(scene.keys().length, 10);
    scene.reopen();
    assert.is(scene.get("k95")?.value[5], 95);
    for (;;) if (scene.store.verify(1 << 20).isEnd) break;
  });
});

test("what is only a part of it stays for what is written next", () => {
  withScene((scene) => {
    fill(scene, 400);
    empty(scene, 0, 80);
    assert.is(shrink(scene).bytes, 0);
    empty(scene, 80, 140);
    const { bytes } = shrink(scene);
    assert.ok(bytes > 0);
    const free = scene.store.reusableBytes;
    assert.ok(free > size(scene) / 10 && free < size(scene) / 6, `${free} of ${size(scene)}`);
  });
});

test("a file made of a snapshot can get smaller as well, beside a view of it", () => {
  withScene((scene, other) => {
    fill(scene, 60);
    const view = roomy(scene.store.prepareSnapshot());
    const recovery = other.store.beginRecovery(view.applied, view.digest);
    for (let batch = view.read(1 << 20); batch; batch = view.read(1 << 20)) {
      assert.is(recovery.add(batch), null);
    }
    view.close();
    assert.is(recovery.finish(), null);
    recovery.install();
    other.goOnAt(must(view.applied.appliedIndex, "it has one"));
    const before = size(other);
    const late = roomy(other.store.prepareSnapshot());
    empty(other, 0, 60);
    assert.ok(shrink(other).bytes > 1 << 20);
    assert.ok(size(other) < before);
    let rows = 0;
    for (let batch = late.read(1 << 20); batch; batch = late.read(1 << 20)) {
      rows += batch.rows.length;
    }
    late.close();
    assert.is(rows, 60, "the view shows what was there");
  });
});

test("it waits for the end of a transaction, and for room", () => {
  withScene((scene) => {
    fill(scene, 60);
    for (let i = 0; i < 60; i++) scene.delete(`k${i}`);
    assert.is(scene.store.commitSome(10), "more");
    assert.is(scene.store.shrinkSome(stepBytes), 0);
    scene.store.sync();
    failing.sql = "PRAGMA main.incremental_vacuum";
    assert.is(scene.store.shrinkSome(stepBytes), 0);
    failing.sql = null;
    assert.is(scene.store.shrinkSome(stepBytes), stepBytes);
  });
});

test("a file of an older version keeps its size", () => {
  withScene((scene) => {
    fill(scene, 60);
    // Only made anew can it be another way.
    scene.tampered("PRAGMA auto_vacuum = NONE; VACUUM");
    empty(scene, 0, 60);
    assert.ok(scene.store.reusableBytes > 5 << 20);
    assert.is(shrink(scene).bytes, 0);
  });
});

test.run();
