/** Term and vote on disk: never taken back, whatever is torn or damaged. */

import { crc32 } from "node:zlib";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { nodeId, term, type HardState } from "../../server/raft/entry.ts";
import { DiskError, type Disk } from "../../storage/disk.ts";
import { HardStateFile } from "../../storage/hard-state.ts";
import { Random } from "../raft/random.ts";
import { SimDisk } from "../sim/disk.ts";
import { MemoryDisk, seeded } from "./memory-disk.ts";

const path = "group/hard-state";
const slots = [0, 4096];

const state = (t: number, vote: number | null): HardState => ({
  term: term(t),
  vote: vote === null ? null : nodeId(vote),
});

function opened(disk: Disk): HardStateFile {
  const result = HardStateFile.open(disk, path);
  if (!result.ok) throw new Error(result.damage.detail);
  return result.file;
}

function created(): { disk: MemoryDisk; file: HardStateFile } {
  const disk = new MemoryDisk();
  HardStateFile.create(disk, path);
  disk.syncDirectory("group");
  return { disk, file: opened(disk) };
}

test("a new file has term 0 and no vote", () => {
  assert.equal(created().file.current, state(0, null));
});

test("what was saved is there after opening again", () => {
  const { disk, file } = created();
  file.save(state(3, 2));
  assert.equal(opened(disk).current, state(3, 2));
  file.save(state(4, null));
  assert.equal(opened(disk).current, state(4, null));
});

test("one bad slot, whichever it is and wherever it is hit, takes nothing back", () => {
  for (const slot of slots) {
    for (let at = 0; at < 40; at++) {
      const { disk, file } = created();
      file.save(state(7, 1));
      file.save(state(8, 3));
      disk.edit(path, (bytes) => {
        bytes[slot + at] = (bytes[slot + at] ?? 0) ^ 0x10;
      });
      assert.equal(opened(disk).current, state(8, 3), `slot ${slot}, byte ${at}`);
    }
  }
});

test("a bad slot is mended by opening", () => {
  const { disk, file } = created();
  file.save(state(8, 3));
  disk.edit(path, (bytes) => void bytes.fill(0xff, 0, 40));
  opened(disk);
  disk.edit(path, (bytes) => void bytes.fill(0xff, 4096, 4136));
  assert.equal(opened(disk).current, state(8, 3));
});

test("two bad slots are refused", () => {
  const { disk, file } = created();
  file.save(state(8, 3));
  disk.edit(path, (bytes) => {
    for (const slot of slots) bytes[slot + 20] = (bytes[slot + 20] ?? 0) ^ 1;
  });
  const result = HardStateFile.open(disk, path);
  assert.not.ok(result.ok);
  if (!result.ok) assert.is(result.damage.path, path);
});

test("a missing file is refused", () => {
  const disk = new MemoryDisk();
  assert.not.ok(HardStateFile.open(disk, path).ok);
});

test("power loss at every operation of a save leaves the old state or the new one", () => {
  for (let at = 1; at <= 4; at++) {
    for (let seed = 0; seed < 40; seed++) {
      const { disk, file } = created();
      file.save(state(5, 1));
      const start = disk.operations;
      disk.beforeOperation = (operation, where) => {
        if (disk.operations - start === at) throw new DiskError(where, operation, "EIO", "cut");
      };
      assert.throws(() => file.save(state(6, 2)));
      disk.crash(seeded(seed * 10 + at));
      const { term: found, vote } = opened(disk).current;
      const isOld = found === 5 && vote === 1;
      const isNew = found === 6 && vote === 2;
      assert.ok(isOld || isNew, `operation ${at}, seed ${seed}: term ${found}, vote ${vote}`);
    }
  }
});

test("a save that returned survives any power loss", () => {
  for (let seed = 0; seed < 40; seed++) {
    const { disk, file } = created();
    file.save(state(9, 2));
    disk.crash(seeded(seed));
    assert.equal(opened(disk).current, state(9, 2));
  }
});

test("after a failed sync the file refuses to go on", () => {
  const { disk, file } = created();
  disk.beforeOperation = (operation, where) => {
    if (operation === "sync") throw new DiskError(where, "fdatasync", "EIO", "it failed");
  };
  assert.throws(() => file.save(state(1, 1)), /it failed/);
  disk.beforeOperation = () => {};
  assert.throws(() => file.save(state(2, 1)), /not used again/);
});

test("power loss while a bad slot is mended leaves the good one", () => {
  for (const slot of slots) {
    for (let at = 1; at <= 6; at++) {
      const { disk, file } = created();
      file.save(state(8, 3));
      disk.edit(path, (bytes) => void bytes.fill(0xff, slot, slot + 40));
      const start = disk.operations;
      disk.beforeOperation = (operation, where) => {
        if (disk.operations - start === at) throw new DiskError(where, operation, "EIO", "cut");
      };
      try {
        HardStateFile.open(disk, path);
      } catch (error) {
        assert.instance(error, DiskError);
      }
      disk.beforeOperation = () => {};
      disk.tear(path);
      assert.equal(opened(disk).current, state(8, 3), `slot ${slot}, operation ${at}`);
    }
  }
});

test("a kill in a save and power loss in the start after it leave one of the two states", () => {
  for (let killed = 1; killed <= 4; killed++) {
    for (let at = 1; at <= 4; at++) {
      const { disk, file } = created();
      file.save(state(5, 1));
      const failAt = (start: number, count: number): void => {
        disk.beforeOperation = (operation, where) => {
          if (disk.operations - start === count) throw new DiskError(where, operation, "EIO", "");
        };
      };
      failAt(disk.operations, killed);
      assert.throws(() => file.save(state(6, 2)));
      failAt(disk.operations, at);
      try {
        HardStateFile.open(disk, path);
      } catch (error) {
        assert.instance(error, DiskError);
      }
      disk.beforeOperation = () => {};
      disk.tear(path);
      const found = opened(disk).current;
      const isOldOrNew = found.term === 5 || found.term === 6;
      assert.ok(isOldOrNew, `kill at ${killed}, power loss at ${at}: ${found.term}`);
    }
  }
});

test("a state found after a kill survives the next power loss", () => {
  for (let at = 1; at <= 4; at++) {
    for (let seed = 0; seed < 20; seed++) {
      const { disk, file } = created();
      file.save(state(5, 1));
      const start = disk.operations;
      disk.beforeOperation = (operation, where) => {
        if (disk.operations - start === at) throw new DiskError(where, operation, "EIO", "kill");
      };
      assert.throws(() => file.save(state(6, 2)));
      disk.beforeOperation = () => {};
      const found = opened(disk).current;
      disk.crash(seeded(seed));
      assert.equal(opened(disk).current, found, `operation ${at}, seed ${seed}`);
    }
  }
});

test("what a start finds after a failed sync is in both slots, on the platter too", () => {
  for (let seed = 0; seed < 20; seed++) {
    for (const failing of [1, 2]) {
      for (const slot of slots) {
        const disk = new SimDisk(new Random(seed));
        HardStateFile.create(disk, path);
        disk.syncDirectory("group");
        const file = opened(disk);
        let syncs = 0;
        disk.interfere = (operation) =>
          operation === "sync" && ++syncs === failing
            ? { kind: "error", code: "EIO" }
            : { kind: "none" };
        assert.throws(() => file.save(state(5, 2)));
        disk.kill();
        const found = opened(disk).current;
        disk.losePower(0);
        disk.rot(path, slot, 3);
        assert.equal(opened(disk).current, found, `sync ${failing} failed, slot ${slot} is bad`);
      }
    }
  }
});

test("a slot whose checksum fits numbers that no node wrote is a bad slot, and no crash", () => {
  for (const [at, bytes] of [
    [8, [0, 0, 0, 0, 0, 0, 0, 1]],
    [16, [0, 0, 0, 0, 0, 0, 0xdf, 0]],
    [24, [0, 0, 0, 0, 1, 0, 0, 0]],
  ] as const) {
    const { disk, file } = created();
    file.save(state(5, 1));
    disk.edit(path, (whole) => {
      const slot = Buffer.from(whole.buffer, whole.byteOffset, 40);
      slot.set(bytes, at);
      slot.writeUInt32LE(crc32(slot.subarray(0, 36)), 36);
    });
    assert.equal(opened(disk).current, state(5, 1), `number at ${at}`);
  }
});

test.run();
