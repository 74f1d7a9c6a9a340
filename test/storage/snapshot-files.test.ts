/** Snapshot files: made from one node's state, taken in by another, through crashes and damage. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { must } from "../../server/raft/assert.ts";
import { configuration } from "../../server/raft/configuration.ts";
import { index, nodeId, term } from "../../server/raft/entry.ts";
import type { SnapshotInfo } from "../../server/ports.ts";
import { encodeCommand } from "../../server/state-machine/codec.ts";
import { frameCommand } from "../../server/state-machine/command-header.ts";
import { DiskError } from "../../storage/disk.ts";
import type { RaftLog } from "../../storage/raft-log.ts";
import { SnapshotFiles } from "../../storage/snapshot-files.ts";
import { MemoryMachine } from "../server/memory-machine.ts";
import { applyAll } from "./apply-all.ts";
import { all, append, entries, filled, killAt, opened } from "./log-scene.ts";
import { seeded, type MemoryDisk } from "./memory-disk.ts";

const formed = configuration([
  { id: nodeId(1), role: "voter", raft: "a:1", http: "a:2", incarnation: "0" },
]);

interface Place {
  readonly disk: MemoryDisk;
  readonly machine: MemoryMachine;
  readonly log: RaftLog;
  readonly files: SnapshotFiles;
}

let lastId = 0;

function files(disk: MemoryDisk, machine: MemoryMachine, log: RaftLog): SnapshotFiles {
  const drawId = (): number => (lastId += 1);
  const options = { disk, directory: "group", group: 0, clusterId: "c", drawId };
  return new SnapshotFiles({ ...options, machine, log, formed });
}

/** With a log of `logged` entries, and a state of `applied` puts that is further on than the log. */
function place(logged: number, applied: number): Place {
  const { disk, log } = filled(logged);
  const machine = new MemoryMachine();
  const header = { origin: nodeId(1), session: 2, sequence: 3 };
  for (let at = 1; at <= applied; at++) {
    const value = new Uint8Array((at * 37) % 200).fill(at);
    const command = encodeCommand({ op: "put", key: `k${at % 50}`, value, contentType: null });
    const data = frameCommand(header, command);
    machine.apply({ index: index(at), term: term(4), kind: "command", timeMs: at, data });
  }
  return { disk, machine, log, files: files(disk, machine, log) };
}

function made({ files: from }: Place): SnapshotInfo {
  from.make();
  while (from.work() === "more");
  return must(from.newest, "it was made");
}

/** Carries the snapshot over in pieces; `change` may tamper with the bytes. */
function carry(from: Place, to: SnapshotFiles, change = (bytes: Uint8Array): Uint8Array => bytes) {
  const info = must(from.files.newest, "it was made");
  const bytes = change(from.files.read(0, info.bytes));
  const announced = { ...info, bytes: bytes.byteLength };
  const start = to.accept(announced);
  if (start === "full") return "full";
  for (let at = start; at < bytes.byteLength; at += 1000) {
    to.write(bytes.subarray(at, at + 1000));
  }
  for (;;) {
    const step = to.build();
    if (step !== "more") return step;
  }
}

const names = ({ disk }: Place): string[] => disk.list("group/snapshots");

test("a state arrives on another node as it was, and the log goes on behind it", () => {
  const from = place(0, 120);
  const to = place(30, 20);
  const info = made(from);
  assert.is(info.lastIndex, 120);
  assert.is(info.lastTerm, 4);
  assert.equal(info.configuration, formed);
  assert.is(carry(from, to.files), "built");
  assert.is(to.machine.applied.appliedIndex, 20, "nothing counts before it is installed");
  to.files.install();
  assert.equal(to.machine.digest(), from.machine.digest());
  assert.equal(to.machine.applied, { ...from.machine.applied, configuration: formed });
  assert.is(to.log.firstIndex, 121);
  append(to.log, entries(121, 125, 4));
  assert.equal(all(opened(to.disk, 120)), entries(121, 125, 4));
  assert.equal(names(to), []);
});

test("it is of the moment at which it was begun", () => {
  const from = place(0, 120);
  const before = from.machine.digest();
  from.files.make();
  assert.is(from.files.makingIndex, 120);
  from.files.work();
  applyAll(from.machine, [
    { index: index(121), term: term(4), kind: "noop", timeMs: 0, data: new Uint8Array(0) },
  ]);
  from.machine.rows.clear();
  while (from.files.work() === "more");
  const to = place(0, 0);
  assert.is(carry(from, to.files), "built");
  to.files.install();
  assert.equal(to.machine.digest(), before);
});

test("a snapshot cut off at any byte is not taken in", () => {
  const from = place(0, 20);
  const { bytes } = made(from);
  const to = place(10, 5);
  for (let cut = 0; cut < bytes; cut += 7) {
    const result = carry(from, to.files, (whole) => whole.subarray(0, cut));
    assert.ok(typeof result === "object", `cut at ${cut}`);
    assert.equal(names(to), []);
  }
  assert.is(to.machine.applied.appliedIndex, 5);
  assert.is(carry(from, to.files), "built");
});

test("a snapshot with any bit flipped, or with more at its end, is not taken in", () => {
  const from = place(0, 20);
  const { bytes } = made(from);
  const to = place(10, 5);
  for (let at = 0; at < bytes; at++) {
    const flipped = (whole: Uint8Array): Uint8Array => {
      whole[at] = (whole[at] ?? 0) ^ (1 << (at % 8));
      return whole;
    };
    const result = carry(from, to.files, flipped);
    assert.ok(typeof result === "object", `byte ${at}`);
  }
  const longer = carry(from, to.files, (whole) => Buffer.concat([whole, whole.subarray(0, 40)]));
  assert.ok(typeof longer === "object");
  assert.equal(names(to), []);
});

test("a snapshot of another cluster, or another one than was announced, is refused", () => {
  const from = place(0, 20);
  const info = made(from);
  const to = place(10, 5);
  const bytes = from.files.read(0, info.bytes);
  const refused = (target: SnapshotFiles, announced: SnapshotInfo): string => {
    target.accept(announced);
    target.write(bytes);
    const step = target.build();
    return typeof step === "object" ? step.damage : step;
  };
  assert.match(refused(to.files, { ...info, lastIndex: index(19) }), /another one/);
  const options = { disk: to.disk, directory: "other", group: 0, drawId: () => 1 };
  const { machine, log } = to;
  const stranger = new SnapshotFiles({ ...options, clusterId: "d", machine, log, formed });
  assert.match(refused(stranger, info), /cluster c/);
});

test("what has arrived of a snapshot stays when it is announced again, and goes for another one", () => {
  const from = place(0, 60);
  const info = made(from);
  const to = place(10, 5);
  assert.is(to.files.accept(info), 0);
  to.files.write(from.files.read(0, 500));
  assert.is(to.files.accept(info), 500);
  assert.is(to.files.accept({ ...info, id: info.id + 1 }), 0);
  assert.is(to.files.accept(info), 0);
  assert.is(carry(from, to.files), "built");
});

test("a newer snapshot takes the place of the one before, and a start keeps none", () => {
  const from = place(0, 60);
  const first = made(from);
  const second = made(from);
  assert.not.equal(first.id, second.id);
  assert.equal(names(from), ["outgoing"]);
  from.files.make();
  from.files.work();
  const again = files(from.disk, from.machine, from.log);
  assert.equal(names(from), []);
  assert.is(again.newest, null);
});

test("a disk without room for it gives a snapshot up, and later there may be room", () => {
  for (let room = 0; room < 6000; room += 500) {
    const from = place(0, 60);
    from.disk.capacityBytes = from.disk.capacityBytes === Infinity ? usedBytes(from) + room : 0;
    from.files.make();
    let step = from.files.work();
    while (step === "more") step = from.files.work();
    if (step === "full") assert.equal(names(from), []);
    from.disk.capacityBytes = Infinity;
    made(from);
    const to = place(10, 5);
    to.disk.capacityBytes = usedBytes(to) + room;
    const result = carry(from, to.files);
    assert.ok(result === "full" || result === "built", `room for ${room}`);
    to.disk.capacityBytes = Infinity;
    assert.is(carry(from, to.files), "built");
  }
});

const usedBytes = ({ disk }: Place): number => {
  const before = disk.capacityBytes;
  disk.capacityBytes = 1 << 30;
  const used = disk.capacityBytes - disk.space().freeBytes;
  disk.capacityBytes = before;
  return used;
};

test("a disk without room for one more file takes in no snapshot, and makes none", () => {
  const refuse = (operation: string, path: string): void => {
    if (operation === "create") throw new DiskError(path, "open", "ENOSPC", "the disk is full");
  };
  const from = place(0, 60);
  from.disk.beforeOperation = refuse;
  from.files.make();
  assert.is(from.files.makingIndex, null);
  from.disk.beforeOperation = () => {};
  made(from);
  const to = place(10, 5);
  to.disk.beforeOperation = refuse;
  assert.is(carry(from, to.files), "full");
  to.disk.beforeOperation = () => {};
  assert.is(carry(from, to.files), "built");
});

test("what has found room is installed, though not a byte is free any more", () => {
  const from = place(0, 60);
  made(from);
  const to = place(10, 5);
  assert.is(carry(from, to.files), "built");
  to.disk.capacityBytes = usedBytes(to);
  to.files.install();
  assert.is(to.machine.applied.appliedIndex, 60);
  assert.is(to.log.firstIndex, 61);
});

test("a failed write of a snapshot is a failed disk", () => {
  const from = place(0, 20);
  from.files.make();
  from.disk.beforeOperation = (operation, path) => {
    if (operation === "write") throw new DiskError(path, operation, "EIO", "injected");
  };
  assert.throws(() => {
    while (from.files.work() === "more");
  }, /injected/);
});

test("a disk that does not give back what it was given is a failed disk", () => {
  const from = place(0, 20);
  from.files.make();
  for (let step = 0; step < 5; step++) from.files.work();
  from.disk.edit("group/snapshots/new", (bytes) => {
    bytes[400] = (bytes[400] ?? 0) ^ 1;
  });
  assert.throws(() => {
    while (from.files.work() === "more");
  }, /it was written, and now/);
});

test("power loss at every operation of making one costs nothing but the snapshot", () => {
  let points = 0;
  for (let count = 1; ; count++) {
    const from = place(20, 20);
    const isKilled = killAt(from.disk, count, () => {
      made(from);
      from.files.discard();
    });
    from.disk.crash(seeded(count));
    const log = opened(from.disk, 20);
    assert.is(log.lastIndex, 20);
    const again = files(from.disk, from.machine, log);
    assert.equal(names(from), []);
    assert.is(again.newest, null);
    if (!isKilled) break;
    points++;
  }
  assert.ok(points > 5);
});

test("power loss at every operation of taking one in leaves the old state and log, or the new", () => {
  const from = place(0, 120);
  made(from);
  let points = 0;
  const seen = new Set<number>();
  for (let count = 1; ; count++) {
    let isKilled = false;
    for (let seed = 0; seed < 8; seed++) {
      const to = place(90, 70);
      isKilled = killAt(to.disk, count, () => {
        assert.is(carry(from, to.files), "built");
        to.files.install();
        append(to.log, entries(121, 121, 4));
      });
      to.disk.crash(seeded(count * 100 + seed));
      const { appliedIndex } = to.machine.applied;
      seen.add(appliedIndex);
      const log = opened(to.disk, appliedIndex);
      const where = `operation ${count}, seed ${seed}`;
      if (appliedIndex === 70) assert.equal(all(log), entries(1, 90), where);
      else assert.ok(log.firstIndex === 121 && log.lastIndex <= 121, where);
      const again = files(to.disk, to.machine, log);
      assert.equal(names(to), []);
      if (appliedIndex === 120) continue;
      assert.is(carry(from, again), "built", where);
      again.install();
      assert.equal(to.machine.digest(), from.machine.digest(), where);
      assert.is(opened(to.disk, 120).firstIndex, 121, where);
    }
    if (!isKilled) break;
    points++;
  }
  assert.ok(points > 10);
  assert.equal(
    [...seen].sort((a, b) => a - b),
    [70, 120],
  );
});

test.run();
