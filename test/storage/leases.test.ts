/** Leases in the file: what goes with what is known again after a start, a snapshot and a backup. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { encodeConfiguration } from "../../server/raft/configuration.ts";
import { prefixRange } from "../../server/state-machine/key-range.ts";
import { transactionOf, type Operation } from "../../server/state-machine/transaction.ts";
import { members, none, roomy, withScene, type Scene } from "./store-scene.ts";

const run = (scene: Scene, operation: Operation, timeMs = 0) =>
  scene.do(transactionOf([], operation), timeMs);

/** Two keys of a lease of a second, one of another's, one of nobody's, and two in a queue. */
function filled(scene: Scene): void {
  scene.store.apply(scene.entry("configuration", encodeConfiguration(members)));
  run(scene, { op: "leaseGrant", ttlMs: 1_000 });
  run(scene, { op: "leaseGrant", ttlMs: 9_000 });
  const put = { op: "put", value: none, contentType: null } as const;
  run(scene, { ...put, key: "a", lease: 2 });
  run(scene, { ...put, key: "b", lease: 2 });
  run(scene, { ...put, key: "c", lease: 3 });
  run(scene, { ...put, key: "d" });
  for (const lease of [2, 3]) {
    const join = { key: "lock/l", value: none, lease, ttlMs: 1, waits: true };
    run(scene, { op: "join", ...join });
  }
}

function assertItGoes(scene: Scene): void {
  const expired = scene.do({ op: "expire" }, 1_001);
  const place = "\0queue/lock/l\x0000000000000008";
  assert.equal(expired, { op: "expired", keys: [place, "a", "b", "\0lease/2"] });
  assert.equal(scene.list({ range: prefixRange("") }).rows.length, 4);
  const first = scene.do(
    transactionOf([{ kind: "holder", key: "lock/l", not: false, token: 9 }], {
      op: "leaseRevoke",
      lease: 3,
    }),
    1_000,
  );
  assert.ok(first.op === "transaction" && first.succeeded, "the next in the queue holds it");
  assert.equal(scene.keys(), ["d"]);
}

test("leases go on where they were after a start, whatever was written of them", () => {
  for (const prepare of [
    (scene: Scene) => scene.reopen(),
    (scene: Scene) => void scene.store.commit(),
    (scene: Scene) => void scene.store.commitSome(2),
    () => {},
  ]) {
    withScene((scene) => {
      filled(scene);
      prepare(scene);
      assertItGoes(scene);
      scene.reopen();
      assert.equal(scene.keys(), ["d"]);
      while (!scene.store.verify(1 << 20).isEnd);
    });
  }
});

test("leases come with a snapshot", () => {
  withScene((scene, other) => {
    filled(scene);
    const view = roomy(scene.store.prepareSnapshot());
    const recovery = other.store.beginRecovery(view.applied, view.digest);
    for (let batch = view.read(100); batch; batch = view.read(100)) {
      assert.is(recovery.add(batch), null);
    }
    assert.is(recovery.finish(), null);
    view.close();
    recovery.install();
    assert.equal(other.store.digest(), scene.store.digest());
    other.goOnAt(other.store.applied.appliedIndex);
    assertItGoes(other);
  });
});

test("a row that is attached to another lease than it was is noticed", () => {
  for (const change of ["lease = 3 WHERE key = 'a'", "lease = NULL WHERE key = 'a'"]) {
    withScene((scene) => {
      filled(scene);
      assert.ok(scene.tampered(`UPDATE kv SET ${change}`).ok);
      assert.throws(() => scene.get("a"), /contradicts its checksum/);
    });
  }
});

test.run();
