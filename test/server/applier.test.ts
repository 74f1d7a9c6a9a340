/** Applying beside a checkpoint that takes its time. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Applier } from "../../server/applier.ts";
import type { DiskWatch } from "../../server/disk-watch.ts";
import { defaultLimits } from "../../server/limits.ts";
import { index, type Entry, type Index } from "../../server/raft/entry.ts";
import type { Raft } from "../../server/raft/raft.ts";
import type { StateMachine } from "../../server/state-machine/port.ts";

const limits = { ...defaultLimits, commitBytes: 100, checkpointBytes: 1_000 };

/** Entries of ten bytes, one at a time and without end; a transaction is as large as what is in it. */
function endless(syncSome: () => Index | "more") {
  let applied = 0;
  const machine = {
    uncommittedBytes: 0,
    unsyncedBytes: 0,
    isCommitting: false,
    apply(entries: readonly Entry[]) {
      applied += entries.length;
      this.uncommittedBytes += 10;
      this.unsyncedBytes += 10;
      return entries.map(() => null);
    },
    commitSome() {
      this.uncommittedBytes = 0;
      return "done";
    },
    syncSome,
  };
  const log = { appliedIndex: 0, commitIndex: Infinity, stableIndex: Infinity };
  const raft = {
    log,
    toApply: () => [{ index: index(applied + 1) }],
    applied: () => {},
  };
  const applier = new Applier({
    machine: machine as unknown as StateMachine,
    raft: raft as unknown as Raft,
    disk: { own: "ok", foundRoom: () => {} } as unknown as DiskWatch,
    limits,
    answer: () => {},
    synced: () => {
      machine.unsyncedBytes = machine.uncommittedBytes;
    },
  });
  return { applier, machine, applied: () => applied };
}

test("whoever applies faster than the disk syncs waits for it, and goes on then", () => {
  let isSynced = false;
  const { applier, machine, applied } = endless(() => (isSynced ? index(1) : "more"));
  let runs = 0;
  while (applier.run() === "more") assert.ok(++runs < 1_000, "it waits");
  assert.ok(machine.unsyncedBytes >= 4_000 && machine.unsyncedBytes < 4_100);
  applier.tick(25);
  assert.is(applier.run(), "done", "the sync is not over");
  isSynced = true;
  applier.tick(50);
  const before = applied();
  assert.is(applier.run(), "more");
  assert.ok(applied() > before);
});

test.run();
