/** Faults that come in pairs: a kill and then a power loss, a full disk and then a power loss. */

import { crc32 } from "node:zlib";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { index, term, type Entry } from "../../server/raft/entry.ts";
import { DiskError } from "../../storage/disk.ts";
import { LogDamaged } from "../../storage/log-damage.ts";
import { RaftLog, type OpenLogResult } from "../../storage/raft-log.ts";
import { segmentHeaderBytes, segmentName } from "../../storage/segment.ts";
import { shared } from "../harness/share.ts";
import { MemoryDisk, seeded } from "./memory-disk.ts";

const directory = "log";
const firstFile = `${directory}/${segmentName(1)}`;
const sizes = { segmentBytes: 4096, preallocateBytes: 1024, cacheBytes: 600 };

const text = (at: number, ofTerm: number): Uint8Array =>
  new TextEncoder().encode(`entry ${at} of term ${ofTerm}`);

const entry = (at: number, ofTerm = 1, data = text(at, ofTerm)): Entry => ({
  index: index(at),
  term: term(ofTerm),
  kind: "command",
  timeMs: at * 10,
  data,
});

const entries = (from: number, through: number, ofTerm = 1): Entry[] =>
  Array.from({ length: through - from + 1 }, (_, count) => entry(from + count, ofTerm));

function open(disk: MemoryDisk, segmentBytes = sizes.segmentBytes, replayFrom = 1): OpenLogResult {
  const drawSalt = (): number => Math.floor(seeded(disk.operations + 7)() * 2 ** 32);
  const options = { ...sizes, segmentBytes, disk, directory, group: 0, drawSalt };
  return RaftLog.open({ ...options, replayFrom: index(replayFrom) });
}

function opened(disk: MemoryDisk, segmentBytes?: number): RaftLog {
  const result = open(disk, segmentBytes);
  if (!result.ok) throw new Error(`damaged: ${JSON.stringify(result.damage)}`);
  return result.log;
}

function created(segmentBytes?: number): { disk: MemoryDisk; log: RaftLog } {
  const disk = new MemoryDisk();
  disk.makeDirectory(directory);
  RaftLog.create({ disk, directory, group: 0, drawSalt: () => 12_345 });
  return { disk, log: opened(disk, segmentBytes) };
}

const all = (log: RaftLog): Entry[] =>
  log.lastIndex < log.firstIndex ? [] : log.entries(log.firstIndex, log.lastIndex, Infinity);

function append(log: RaftLog, batch: readonly Entry[]): void {
  log.append(batch);
  log.sync();
}

function failing(disk: MemoryDisk, failed: string, code: string): void {
  disk.beforeOperation = (operation, path) => {
    if (operation === failed) throw new DiskError(path, operation, code, "injected");
  };
}

class Kill extends Error {}

/** Kills the process before its `count`th operation from now on; what it wrote stays in the cache. */
function killAt(disk: MemoryDisk, count: number, run: () => void): boolean {
  const start = disk.operations;
  disk.beforeOperation = () => {
    if (disk.operations - start >= count) throw new Kill();
  };
  try {
    run();
    return false;
  } catch (error) {
    if (!(error instanceof Kill)) throw error;
    return true;
  } finally {
    disk.beforeOperation = () => {};
  }
}

/** Kill, start again, go on and be acknowledged, lose power: for every place of the kill. */
function killThenPowerLoss(work: (log: RaftLog) => void): void {
  let isKilled = true;
  for (let count = 1; isKilled; count++) {
    for (const seed of shared(8)) {
      const { disk, log } = created();
      append(log, entries(1, 60));
      isKilled = killAt(disk, count, () => work(log));
      const second = opened(disk);
      const acknowledged = all(second);
      const last = second.lastIndex;
      // One entry only: a further segment would have its own directory sync and hide a missing one.
      append(second, [entry(last + 1, 9)]);
      disk.crash(seeded(count * 100 + seed));
      const found = all(opened(disk));
      const place = `operation ${count}, seed ${seed}`;
      assert.equal(found, [...acknowledged, entry(last + 1, 9)], place);
    }
  }
}

test("a kill while a segment is made, and power loss later, lose nothing acknowledged", () => {
  killThenPowerLoss((log) => append(log, entries(61, 140)));
});

test("a kill while segments are removed, and power loss later, bring none back", () => {
  killThenPowerLoss((log) => {
    append(log, entries(61, 160));
    append(log, entries(20, 25, 2));
  });
});

test("what a start has found survives a power loss right after it", () => {
  for (const seed of shared(20)) {
    const { disk, log } = created();
    append(log, entries(1, 3));
    log.append(entries(4, 30));
    assert.is(opened(disk).lastIndex, 30);
    disk.crash(seeded(seed));
    assert.equal(all(opened(disk)), entries(1, 30), `seed ${seed}`);
  }
});

test("a kill in the start after a torn write leaves a log that starts", () => {
  for (let count = 1; count <= 4; count++) {
    for (const seed of shared(8)) {
      const { disk, log } = created();
      append(log, entries(1, 5));
      log.append([entry(6, 1, new Uint8Array(1500).fill(7))]);
      disk.crash(seeded(seed));
      killAt(disk, count, () => opened(disk));
      disk.crash(seeded(seed + 50));
      const last = opened(disk);
      const kept = all(last);
      assert.equal(kept.slice(0, 5), entries(1, 5), `${count}, ${seed}`);
      append(last, [entry(kept.length + 1, 2)]);
      assert.equal(all(opened(disk)), [...kept, entry(kept.length + 1, 2)], `${count}, ${seed}`);
    }
  }
});

test("a sync that finds the disk full is a failed sync, and never asked again", () => {
  const { disk, log } = created();
  log.append(entries(1, 2));
  failing(disk, "sync", "ENOSPC");
  assert.throws(() => log.sync(), /injected/);
  disk.beforeOperation = () => {};
  assert.throws(() => log.sync(), /not used again/);
  assert.throws(() => log.append([entry(3)]), /not used again/);
});

test("a sync that finds the disk full while a segment is closed is a failed sync", () => {
  const { disk, log } = created();
  let isFirst = true;
  disk.beforeOperation = (operation, path) => {
    if (operation !== "sync" || !isFirst) return;
    isFirst = false;
    throw new DiskError(path, "fdatasync", "ENOSPC", "injected");
  };
  assert.throws(() => log.append(entries(1, 120)), /injected/);
  assert.throws(() => log.append(entries(1, 1)), /not used again/);
});

test("a disk that fills up in the middle of a batch takes the whole batch back", () => {
  for (let room = 0; room < 9_000; room += 512) {
    const { disk, log } = created();
    append(log, entries(1, 10));
    disk.capacityBytes = disk.bytes(firstFile).byteLength + room;
    assert.is(log.append(entries(11, 150)), "full");
    assert.is(log.lastIndex, 10, `room for ${room} bytes`);
    assert.equal(all(log), entries(1, 10), `room for ${room} bytes`);
    disk.capacityBytes = Infinity;
    append(log, entries(11, 150, 2));
    assert.equal(all(opened(disk)), [...entries(1, 10), ...entries(11, 150, 2)]);
  }
});

test("a full disk that cannot even take the note of a truncation leaves the log as it was", () => {
  for (const failed of ["create", "write"]) {
    const { disk, log } = created();
    append(log, entries(1, 100));
    disk.beforeOperation = (operation, path) => {
      if (operation !== failed) return;
      const name = operation === "create" ? "open" : operation;
      throw new DiskError(path, name, "ENOSPC", "injected");
    };
    assert.is(log.append(entries(20, 25, 2)), "full");
    disk.beforeOperation = () => {};
    assert.equal(all(log), entries(1, 100));
    append(log, entries(20, 25, 2));
    assert.equal(all(opened(disk)), [...entries(1, 19), ...entries(20, 25, 2)]);
  }
});

test("what a full disk refused does not come back after a power loss", () => {
  for (const seed of shared(60)) {
    const { disk, log } = created(1 << 20);
    append(log, entries(1, 2));
    let writes = 0;
    // As a delayed allocation does it: half of the batch is taken, then nothing more.
    disk.shorten = (bytes) => Math.min(bytes, 200);
    disk.beforeOperation = (operation, path) => {
      if (operation !== "write" || ++writes < 3) return;
      disk.writeBack(path);
      throw new DiskError(path, operation, "ENOSPC", "injected");
    };
    assert.is(log.append(entries(3, 9)), "full");
    disk.crash(seeded(seed));
    assert.equal(all(opened(disk)), entries(1, 2), `seed ${seed}`);
  }
});

test("a synced sector lost before a half-made segment is damage, not a torn write", () => {
  const { disk, log } = created();
  append(log, [entry(1), entry(2, 1, new Uint8Array(1500).fill(7))]);
  disk.open(`${directory}/${segmentName(3)}`, "create");
  disk.edit(firstFile, (bytes) => void bytes.fill(0, 1024, 1536));
  assert.not.ok(open(disk).ok);
  assert.not.ok(open(disk).ok, "and it is damage still when asked again");
});

test("a segment header whose checksum fits numbers that no log wrote is damage, and no crash", () => {
  for (const at of [16, 24, 40]) {
    const { disk, log } = created();
    append(log, entries(1, 3));
    disk.edit(firstFile, (bytes) => {
      const header = Buffer.from(bytes.buffer, bytes.byteOffset, segmentHeaderBytes);
      header.writeUInt8(0xdf, at + 6);
      header.writeUInt32LE(crc32(header.subarray(0, 60)), 60);
    });
    assert.not.ok(open(disk).ok, `number at ${at}`);
  }
});

test("a half-made segment tells by its name where the one before it ended", () => {
  const { disk, log } = created();
  append(log, entries(1, 3));
  disk.open(`${directory}/${segmentName(4)}`, "create");
  // Lost from the beginning of a record on, so that the file looks as if it ended there.
  disk.edit(firstFile, (bytes) => void bytes.fill(0, segmentHeaderBytes + 48 + 24));
  const result = open(disk);
  assert.ok(!result.ok && result.damage.path === firstFile);
});

test("a bit flipped in the last record is damage, wherever the record stands and whatever it holds", () => {
  const values = [0, 1, 8, 40, 700].map((length) => new Uint8Array(length));
  const sparse = new Uint8Array(1600);
  for (let at = 0; at < sparse.byteLength; at += 300) sparse[at] = 1;
  for (const value of [...values, sparse]) {
    for (let before = 312; before <= 464; before += 8) {
      const { disk, log } = created();
      append(log, [entry(1, 1, new Uint8Array(before).fill(1)), entry(2, 1, value)]);
      const end = segmentHeaderBytes + before + 96 + Math.ceil(value.byteLength / 8) * 8;
      const whole = disk.bytes(firstFile).slice();
      for (let at = end - 48 - Math.ceil(value.byteLength / 8) * 8; at < end; at++) {
        if (value.byteLength > 40 && at % 3 !== 0) continue;
        for (let bit = 0; bit < 8; bit++) {
          disk.edit(firstFile, (bytes) => {
            bytes.set(whole);
            bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
          });
          const result = open(disk);
          const isUnharmed = result.ok && result.log.lastIndex === 2;
          if (isUnharmed) assert.equal(result.log.entries(index(2), index(2), 0)[0]?.data, value);
          assert.ok(!result.ok || isUnharmed, `${value.byteLength} bytes, byte ${at}, bit ${bit}`);
        }
      }
    }
  }
});

test("a record lost from a sector that kept what was written later is damage", () => {
  const { disk, log } = created();
  append(log, entries(1, 3));
  const recordBytes = 48 + 24;
  const second = segmentHeaderBytes + recordBytes;
  disk.edit(firstFile, (bytes) => void bytes.fill(0, second, second + recordBytes));
  assert.not.ok(open(disk).ok);
});

test("a last record that the disk wrote to another place is damage, not a torn write", () => {
  const { disk, log } = created();
  append(log, [entry(1)]);
  const end = disk.bytes(firstFile).findLastIndex((byte) => byte !== 0) + 1;
  append(log, [entry(2)]);
  disk.edit(firstFile, (bytes) => {
    const record = bytes.slice(end, end + 80);
    bytes.fill(0, end, end + 80);
    bytes.set(record, 768);
  });
  const result = open(disk);
  assert.is(result.ok, false);
});

test("what is cut off does not take the only trace of a lost record along", () => {
  const { disk, log } = created();
  for (const each of entries(1, 3)) append(log, [each]);
  const second = segmentHeaderBytes + 48 + 24;
  disk.edit(firstFile, (bytes) => void bytes.fill(0, second, second + 48 + 24));
  assert.throws(
    () => log.append([entry(3, 2)]),
    (error: unknown) => error instanceof LogDamaged && error.damage.firstLost === 2,
  );
  assert.is(open(disk).ok, false);
});

test("a log that ends before what is applied is refused by name, and left as it was found", () => {
  const { disk, log } = created();
  append(log, entries(1, 5));
  disk.edit(firstFile, (bytes) => bytes.slice(0, 300));
  const found = disk.bytes(firstFile).slice();
  const result = open(disk, sizes.segmentBytes, 6);
  assert.ok(!result.ok && result.damage.path === firstFile);
  assert.equal(disk.bytes(firstFile), found);
});

test("no value can be made whose record looks unwritten", () => {
  const value = new Uint8Array(256 * 1024);
  for (let block = 0; block < 256; block++) value.fill(block, block * 1024, (block + 1) * 1024);
  const { disk, log } = created(1 << 20);
  append(log, [entry(1, 1, value)]);
  const bytes = disk.bytes(firstFile);
  for (let at = 512; at < 256 * 1024; at += 512) {
    assert.ok(
      bytes.subarray(at, at + 512).some((byte) => byte !== 0),
      `sector ${at / 512}`,
    );
  }
  assert.equal(all(opened(disk)), [entry(1, 1, value)]);
});

test("a batch of entries from the disk reaches across segments", () => {
  const { disk, log } = created();
  append(log, entries(1, 150));
  assert.equal(opened(disk).entries(index(1), index(150), 1 << 20), entries(1, 150));
});

test("what was dropped is counted up to the last byte that was written", () => {
  const { disk, log } = created();
  append(log, entries(1, 2));
  log.append([entry(3, 1, new Uint8Array(700).fill(5))]);
  disk.edit(firstFile, (bytes) => void bytes.fill(0, 512, 1024));
  const result = open(disk);
  assert.ok(result.ok && result.droppedBytes < 512);
});

test.run();
