/** Applying beside checkpoints, and what they cut off the file. */

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
function endless(syncSome: () => Index | "more", role = { kind: "follower" }) {
  let applied = 0;
  const machine = {
    uncommittedBytes: 0,
    unsyncedBytes: 0,
    isCommitting: false,
    scatteredPages: (_bytes: number): number => 0,
    shrinkSome: (_bytesMax: number): number => 0,
    apply(_entry: Entry) {
      applied++;
      this.uncommittedBytes += 10;
      this.unsyncedBytes += 10;
      return null;
    },
    commitSome() {
      this.uncommittedBytes = 0;
      return "done";
    },
    syncSome,
  };
  const log = { commitIndex: Infinity, stableIndex: Infinity, pendingSnapshot: null };
  const raft = {
    role,
    get log() {
      return { ...log, appliedIndex: applied };
    },
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
  while (applier.run() === "more") assert.ok(++runs < 10_000, "it waits");
  assert.ok(machine.unsyncedBytes >= 8_000 && machine.unsyncedBytes < 8_200);
  applier.tick(25);
  assert.is(applier.run(), "done", "the sync is not over");
  isSynced = true;
  applier.tick(50);
  const before = applied();
  assert.is(applier.run(), "more");
  assert.ok(applied() > before);
});

test("a leader goes on", () => {
  const { applier } = endless(() => "more", { kind: "leader" });
  for (let run = 0; run < 1_000; run++) assert.is(applier.run(), "more");
});

test("rows that are scattered are committed and synced before as much is gathered as may be", () => {
  let syncs = 0;
  const { applier, machine, applied } = endless(() => {
    syncs++;
    return index(applied());
  });
  const committedAt: number[] = [];
  machine.scatteredPages = (bytes) => {
    assert.is(bytes, limits.commitBytes);
    return machine.uncommittedBytes >= 30 ? limits.commitPages : limits.commitPages - 1;
  };
  const commitSome = machine.commitSome.bind(machine);
  machine.commitSome = () => {
    committedAt.push(machine.uncommittedBytes);
    return commitSome();
  };
  while (committedAt.length < 4) applier.run();
  const [first, ...others] = committedAt;
  assert.is(first, 10, "nothing was committed for long");
  assert.equal([...new Set(others)], [30]);
  assert.is(syncs, others.length);
});

test("what is given back of the file is cut off by a checkpoint, on the way and at the end", () => {
  const state = { freeBytes: 2.5 * limits.shrinkBytes };
  let syncs = 0;
  const { applier, machine } = endless(() => {
    syncs++;
    return index(1);
  });
  machine.shrinkSome = (bytesMax) => {
    const bytes = Math.min(state.freeBytes, bytesMax);
    state.freeBytes -= bytes;
    return bytes;
  };
  for (let ms = 25; state.freeBytes > 0; ms += 25) applier.tick(ms);
  assert.is(syncs, 2);
  for (let ms = 1; ms < 5; ms++) applier.tick(ms);
  assert.is(syncs, 3);
});

test.run();
