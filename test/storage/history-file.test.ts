/** The file of the changes that are remembered: what was saved of this very state, or nothing. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { index } from "../../server/raft/entry.ts";
import type { SnapshotValue } from "../../server/state-machine/port.ts";
import { DiskError } from "../../storage/disk.ts";
import { HistoryFile } from "../../storage/history-file.ts";
import { MemoryDisk, seeded } from "./memory-disk.ts";

const directory = "g";
const path = "g/watch-history";
const digest = {
  appliedIndex: index(9),
  stateHash: "00000000000000aa",
  historyHash: "000000bb",
  bookHash: "00000000000000cc",
};

const rowsOf = (count: number, valueBytes: number): SnapshotValue[][] =>
  Array.from({ length: count }, (_, at) => ["put", `k${at}`, at, null, new Uint8Array(valueBytes)]);

const saved = (rows = rowsOf(3, 5)) => ({ appliedIndex: index(9), floor: index(4), rows });

function scene(clusterId = "c", disk = new MemoryDisk()) {
  disk.makeDirectory(directory);
  return { disk, file: new HistoryFile({ disk, directory, clusterId }) };
}

function savedScene(rows?: SnapshotValue[][]) {
  const made = scene();
  assert.is(made.file.save(digest, saved(rows)), null);
  return made;
}

test("what was saved is taken once", () => {
  for (const rows of [[], rowsOf(3, 5), rowsOf(40, 10_000), rowsOf(2, 1 << 20)]) {
    const { file, disk } = savedScene(rows);
    assert.equal(file.take(digest), saved(rows));
    assert.equal(disk.list(directory), []);
    disk.crash(() => 0);
    assert.is(file.take(digest), null);
  }
});

test("of another state, cluster or place in the log it is ignored, and gone", () => {
  const others = [
    { ...digest, appliedIndex: index(8) },
    { ...digest, appliedIndex: index(10) },
    { ...digest, stateHash: "00000000000000ab" },
    { ...digest, historyHash: "000000bc" },
    { ...digest, bookHash: "00000000000000cd" },
  ];
  for (const other of others) {
    const { file, disk } = savedScene();
    assert.is(file.take(other), null);
    assert.equal(disk.list(directory), []);
  }
  const { disk } = savedScene();
  assert.is(scene("d", disk).file.take(digest), null);
});

test("nothing is saved of a state that is not the one it led to", () => {
  const { file, disk } = scene();
  assert.is(file.save({ ...digest, appliedIndex: index(10) }, saved()), null);
  assert.equal(disk.list(directory), []);
});

test("cut at any byte, with any byte changed, or with one behind it, nothing of it is believed", () => {
  const whole = savedScene().disk.bytes(path);
  for (let at = 0; at <= whole.byteLength; at++) {
    const flipped = (bytes: Uint8Array): void => void (bytes[at] = (bytes[at] ?? 0) ^ 1);
    const changes = [(bytes: Uint8Array) => bytes.slice(0, at), flipped];
    for (const change of at < whole.byteLength ? changes : [() => Buffer.concat([whole, whole])]) {
      const { file, disk } = savedScene();
      disk.edit(path, change);
      assert.is(file.take(digest), null, `at byte ${at}`);
    }
  }
});

test("a power loss at any operation leaves all of it or nothing", () => {
  const outcomes = new Set<boolean>();
  for (let seed = 1; seed <= 200; seed++) {
    const { disk, file } = scene();
    // One of before, which nobody has taken.
    if (seed % 2 === 0)
      file.save({ ...digest, appliedIndex: index(8) }, { ...saved(), appliedIndex: index(8) });
    const random = seeded(seed);
    const last = disk.operations + Math.floor(random() * 8);
    disk.beforeOperation = (_operation, at) => {
      if (disk.operations > last) throw new DiskError(at, "write", "EIO", "the power is gone");
    };
    file.save(digest, saved(rowsOf(3, 600)));
    disk.crash(random);
    const taken = file.take(digest);
    if (taken !== null) assert.equal(taken, saved(rowsOf(3, 600)), `seed ${seed}`);
    outcomes.add(taken !== null);
    assert.is(file.take(digest), null);
  }
  assert.is(outcomes.size, 2, "it was there, and it was not");
});

test("on a full disk nothing is saved, and that is said", () => {
  const { disk, file } = scene();
  disk.capacityBytes = 300;
  assert.match(file.save(digest, saved()) ?? "", /full/);
  assert.is(file.take(digest), null);
  disk.capacityBytes = Infinity;
  assert.is(file.save(digest, saved()), null);
  assert.equal(file.take(digest), saved());
});

test.run();
