/** The log on disk: what it keeps through crashes, what it notices, and what it never invents. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { index, term, type Entry } from "../../server/raft/entry.ts";
import { DiskError } from "../../storage/disk.ts";
import { LogDamaged } from "../../storage/log-damage.ts";
import { RaftLog, type OpenLogResult } from "../../storage/raft-log.ts";
import { segmentName } from "../../storage/segment.ts";
import { shared } from "../harness/share.ts";
import { MemoryDisk, seeded } from "./memory-disk.ts";

const directory = "log";
const firstFile = `${directory}/${segmentName(1)}`;

interface Sizes {
  segmentBytes?: number;
  preallocateBytes?: number;
  cacheBytes?: number;
}

const small: Sizes = { segmentBytes: 4096, preallocateBytes: 1024, cacheBytes: 600 };

function entry(at: number, options: { term?: number; data?: Uint8Array } = {}): Entry {
  const data = options.data ?? new TextEncoder().encode(`entry ${at} of term ${options.term ?? 1}`);
  return {
    index: index(at),
    term: term(options.term ?? 1),
    kind: "command",
    timeMs: at * 10,
    data,
  };
}

const entries = (from: number, through: number, entryTerm = 1): Entry[] =>
  Array.from({ length: through - from + 1 }, (_, i) => entry(from + i, { term: entryTerm }));

function open(disk: MemoryDisk, sizes: Sizes = {}, replayFrom = 1): OpenLogResult {
  return RaftLog.open({
    disk,
    directory,
    group: 0,
    drawSalt: () => Math.floor(seeded(disk.operations + 7)() * 2 ** 32),
    replayFrom: index(replayFrom),
    ...sizes,
  });
}

function opened(disk: MemoryDisk, sizes: Sizes = {}, replayFrom = 1): RaftLog {
  const result = open(disk, sizes, replayFrom);
  if (!result.ok) throw new Error(`damaged: ${JSON.stringify(result.damage)}`);
  return result.log;
}

function created(sizes: Sizes = {}): { disk: MemoryDisk; log: RaftLog } {
  const disk = new MemoryDisk();
  disk.makeDirectory(directory);
  RaftLog.create({ disk, directory, group: 0, drawSalt: () => 12_345 });
  return { disk, log: opened(disk, sizes) };
}

function all(log: RaftLog): Entry[] {
  const found: Entry[] = [];
  for (let at = log.firstIndex; at <= log.lastIndex; at = index(at + 1)) {
    found.push(...log.entries(at, at, 0));
  }
  return found;
}

/** Appends in batches, each synced; the batches are small enough to fill several segments. */
function fill(log: RaftLog, through: number): void {
  for (let from = 1; from <= through; from += 5) {
    log.append(entries(from, Math.min(from + 4, through)));
    log.sync();
  }
}

test("what was appended is read back, with every field", () => {
  const { log } = created();
  const kinds = (["command", "noop", "configuration"] as const).map((kind, i) => ({
    ...entry(i + 1),
    kind,
  }));
  log.append(kinds);
  log.sync();
  assert.equal(all(log), kinds);
});

test("what was synced is there after opening again", () => {
  const { disk, log } = created();
  log.append(entries(1, 20));
  log.sync();
  const again = opened(disk);
  assert.is(again.lastIndex, 20);
  assert.equal(all(again), entries(1, 20));
  assert.is(again.term(index(20)), 1);
});

test("an empty log has no entries and knows the term before the first", () => {
  const { disk } = created();
  const log = opened(disk);
  assert.is(log.firstIndex, 1);
  assert.is(log.lastIndex, 0);
  assert.is(log.term(index(0)), 0);
  assert.is(log.term(index(1)), null);
});

test("a batch is one write and one sync", () => {
  const { disk, log } = created();
  log.append(entries(1, 1));
  log.sync();
  const before = disk.operations;
  log.append(entries(2, 50));
  log.sync();
  assert.is(disk.operations - before, 2);
});

test("zeros are written ahead of what is short, and not of what is long", () => {
  const { disk, log } = created();
  const writes = (batch: Entry[]): number => {
    let count = 0;
    disk.beforeOperation = (operation) => {
      if (operation === "write") count++;
    };
    log.append(batch);
    log.sync();
    return count;
  };
  assert.equal([writes([entry(1)]), writes([entry(2)])], [2, 1]);
  const before = disk.bytes(firstFile).byteLength;
  assert.is(before, 1 << 20);
  // It ends where the ninth of them does; what is short gets room of its own again.
  for (let at = 3; at <= 11; at++) assert.is(writes([long(at)]), 1);
  const after = disk.bytes(firstFile).byteLength;
  assert.ok(after > before && after < before + (150 << 10), `${after} bytes`);
  assert.equal([writes([entry(12)]), writes([entry(13)])], [2, 1]);
  assert.is(disk.bytes(firstFile).byteLength, 2 << 20);
  assert.is(all(opened(disk)).length, 13);
});

test("a log of many segments is read across them", () => {
  const { disk, log } = created(small);
  fill(log, 300);
  assert.ok(disk.list(directory).length > 3);
  assert.equal(all(log), entries(1, 300));
  assert.equal(all(opened(disk, small)), entries(1, 300));
});

test("an append of one index again replaces it and all that followed", () => {
  const { disk, log } = created(small);
  fill(log, 200);
  log.append(entries(50, 60, 2));
  log.sync();
  const expected = [...entries(1, 49), ...entries(50, 60, 2)];
  assert.equal(all(log), expected);
  assert.equal(all(opened(disk, small)), expected);
});

test("an append may replace the very first entry", () => {
  const { disk, log } = created(small);
  fill(log, 100);
  log.append(entries(1, 2, 2));
  log.sync();
  assert.equal(all(opened(disk, small)), entries(1, 2, 2));
});

test("no more entries are kept in memory than the cache may hold, and old ones are read", () => {
  const { disk, log } = created({ cacheBytes: 600 });
  fill(log, 100);
  const before = disk.bytesRead;
  log.entries(index(100), index(100), 0);
  assert.is(disk.bytesRead, before, "the newest is in memory");
  assert.equal(log.entries(index(1), index(3), 1_000), entries(1, 3));
  assert.ok(disk.bytesRead > before, "an old one is read");
});

test("no more than ten thousand entries are kept in memory, however small they are", () => {
  const { disk, log } = created();
  log.append(entries(1, 10_001));
  const before = disk.bytesRead;
  log.entries(index(2), index(2), 0);
  assert.is(disk.bytesRead, before, "the ten thousandth from behind is in memory");
  log.entries(index(1), index(1), 0);
  assert.ok(disk.bytesRead > before, "the one before it is read");
});

test("entries are limited by bytes, but one is always given", () => {
  const { log } = created();
  log.append(entries(1, 10));
  assert.is(log.entries(index(1), index(10), 0).length, 1);
  assert.is(log.entries(index(1), index(10), 3 * 80).length, 3);
});

test("an entry larger than a segment has one of its own", () => {
  const { disk, log } = created(small);
  const large = entry(2, { data: new Uint8Array(20_000).fill(7) });
  log.append([entry(1), large, entry(3)]);
  log.sync();
  assert.equal(all(opened(disk, small)), [entry(1), large, entry(3)]);
});

test("opening reads only headers of segments that are applied already", () => {
  const { disk, log } = created(small);
  fill(log, 300);
  const sizes = disk.list(directory).map((name) => disk.bytes(`${directory}/${name}`).byteLength);
  const before = disk.bytesRead;
  opened(disk, small, 301);
  const last = sizes[sizes.length - 1] ?? 0;
  // The end of the last one is read twice: what nothing vouches for is written again.
  assert.ok(disk.bytesRead - before <= 2 * last + 64 * sizes.length);
});

test("a record cut off at any byte is dropped, and only that one", () => {
  const { disk, log } = created({ preallocateBytes: 8 });
  log.append(entries(1, 3));
  log.sync();
  const end = disk.bytes(firstFile).byteLength;
  log.append([entry(4)]);
  const whole = disk.bytes(firstFile).slice();
  for (let cut = end; cut < whole.byteLength; cut++) {
    disk.edit(firstFile, () => whole.slice(0, cut));
    const again = opened(disk);
    assert.equal(all(again), entries(1, 3), `cut at ${cut}`);
    again.append([entry(4, { term: 2 })]);
    again.sync();
    assert.equal(all(opened(disk)), [...entries(1, 3), entry(4, { term: 2 })], `cut at ${cut}`);
  }
});

test("a bit flipped anywhere in the records is noticed", () => {
  const { disk, log } = created();
  log.append(entries(1, 3));
  log.sync();
  log.append(entries(4, 6));
  log.sync();
  const whole = disk.bytes(firstFile).slice();
  const used = whole.findLastIndex((byte) => byte !== 0) + 1;
  for (let at = 0; at < used; at++) {
    disk.edit(firstFile, (bytes) => {
      bytes.set(whole);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
    });
    // The padding of a record is no part of it.
    const result = open(disk);
    if (result.ok) assert.equal(all(result.log), entries(1, 6), `byte ${at}`);
    else assert.is(result.damage.path, firstFile);
  }
});

test("a synced record whose sector was zeroed is damage where a later one knows of its sync", () => {
  const { disk, log } = created();
  log.append([entry(1, { data: new Uint8Array(2_000).fill(1) })]);
  log.sync();
  log.append([entry(2)]);
  log.sync();
  disk.edit(firstFile, (bytes) => void bytes.fill(0, 512, 1024));
  const result = open(disk);
  assert.not.ok(result.ok);
});

test("an unsynced batch may lose any of its sectors: all of it is dropped, nothing before it", () => {
  for (let lost = 1; lost <= 7; lost++) {
    const { disk, log } = created();
    log.append([entry(1)]);
    log.sync();
    const large = entry(3, { data: new Uint8Array(3_000).fill(9) });
    log.append([entry(2), large, entry(4)]);
    disk.edit(firstFile, (bytes) => void bytes.fill(0, lost * 512, (lost + 1) * 512));
    const result = open(disk);
    assert.ok(result.ok, `sector ${lost}`);
    if (result.ok) assert.equal(all(result.log).slice(0, 1), [entry(1)], `sector ${lost}`);
  }
});

test("a flip in the last record is damage even where its value is all zeros", () => {
  const { disk, log } = created();
  log.append([entry(1, { data: new Uint8Array(4_000) })]);
  log.sync();
  disk.edit(firstFile, (bytes) => {
    bytes[3_000] = (bytes[3_000] ?? 0) ^ 1;
  });
  assert.not.ok(open(disk).ok);
});

test("a value of zeros comes back as it was", () => {
  const { disk, log } = created();
  const zeros = entry(1, { data: new Uint8Array(4_000) });
  log.append([zeros]);
  log.sync();
  assert.equal(all(opened(disk)), [zeros]);
});

test("impossible lengths are damage, and nothing is allocated for them", () => {
  for (const length of [0xffffffff, 0, 0x7fffffff]) {
    const { disk, log } = created();
    log.append(entries(1, 2));
    log.sync();
    disk.edit(firstFile, (bytes) => new DataView(bytes.buffer).setUint32(64, length, true));
    assert.not.ok(open(disk).ok, `length ${length}`);
  }
});

test("a user's value that looks like a record is not taken for one", () => {
  const { disk, log } = created();
  log.append([entry(1)]);
  log.sync();
  const forged = disk.bytes(firstFile).slice(64, 64 + 80);
  const { disk: other, log: target } = created();
  other.edit(firstFile, (bytes) => bytes);
  target.append([entry(1), entry(2, { data: forged })]);
  target.sync();
  assert.equal(all(opened(other)).length, 2);
});

test("a missing segment is noticed", () => {
  const { disk, log } = created(small);
  fill(log, 300);
  const [, second = ""] = disk.list(directory);
  disk.remove(`${directory}/${second}`);
  const result = open(disk, small, 301);
  assert.not.ok(result.ok);
});

test("a missing first segment is noticed where something in it is needed", () => {
  const { disk, log } = created(small);
  fill(log, 300);
  const [first = ""] = disk.list(directory);
  disk.remove(`${directory}/${first}`);
  assert.not.ok(open(disk, small, 1).ok);
});

test("another group's segment is refused", () => {
  const { disk } = created();
  const result = RaftLog.open({
    disk,
    directory,
    group: 1,
    drawSalt: () => 1,
    replayFrom: index(1),
  });
  assert.not.ok(result.ok);
});

test("a closed segment that was damaged is noticed when it is read", () => {
  const { disk, log } = created(small);
  fill(log, 300);
  disk.edit(firstFile, (bytes) => {
    bytes[200] = (bytes[200] ?? 0) ^ 1;
  });
  const again = opened(disk, small, 301);
  assert.throws(
    () => again.entries(index(1), index(1), 0),
    (error: unknown) => error instanceof LogDamaged && error.damage.path === firstFile,
  );
});

test("the scrub finds damage in closed segments and ends where there is none", () => {
  const { disk, log } = created(small);
  fill(log, 300);
  const whole = opened(disk, small, 301);
  let calls = 1;
  while (whole.scrub() === "more") calls++;
  assert.ok(calls > 2);
  disk.edit(firstFile, (bytes) => {
    bytes[200] = (bytes[200] ?? 0) ^ 1;
  });
  const damaged = opened(disk, small, 301);
  assert.throws(() => {
    while (damaged.scrub() === "more");
  }, /not whole/);
});

test("a full disk leaves the log as it was, and it goes on when there is room", () => {
  const { disk, log } = created(small);
  fill(log, 10);
  disk.capacityBytes = disk.bytes(firstFile).byteLength + 700;
  assert.is(log.append([entry(11, { data: new Uint8Array(3_000).fill(3) })]), "full");
  assert.equal(all(log), entries(1, 10));
  disk.capacityBytes = Infinity;
  log.append([entry(11)]);
  log.sync();
  assert.equal(all(opened(disk, small)), entries(1, 11));
});

test("short writes are completed", () => {
  const { disk, log } = created(small);
  disk.shorten = (bytes) => Math.min(bytes, 13);
  log.append(entries(1, 5));
  log.sync();
  assert.equal(all(opened(disk, small)), entries(1, 5));
});

test("after a failed sync the log refuses to go on", () => {
  const { disk, log } = created();
  log.append([entry(1)]);
  disk.beforeOperation = (operation, path) => {
    if (operation === "sync") throw new DiskError(path, "fdatasync", "EIO", "it failed");
  };
  assert.throws(() => log.sync(), /EIO|it failed/);
  disk.beforeOperation = () => {};
  assert.throws(() => log.sync(), /failed/);
  assert.throws(() => log.append([entry(2)]), /failed/);
});

class Crash extends Error {}

/**
 * Runs `work` on a log and cuts the power before each of its operations in turn, several times with
 * different survivors. Each time the log must open, hold all that was synced, and nothing that was
 * never written at its place.
 */
function crashEverywhere(
  work: (log: RaftLog, synced: (entries: Entry[]) => void) => void,
  sizes = small,
): number {
  let points = 0;
  for (let at = 1; ; at++) {
    let crashed = false;
    for (const seed of shared(8)) {
      const { disk, log } = created(sizes);
      const start = disk.operations;
      let known: Entry[] = [];
      const written = new Map<string, string>();
      const append = log.append.bind(log);
      log.append = (batch) => {
        for (const { index: i, term: t, data } of batch) {
          written.set(`${i}/${t}`, new TextDecoder().decode(data));
        }
        const first = batch[0]?.index ?? 0;
        // From here on what is replaced may be gone.
        known = known.filter((one) => one.index < first);
        return append(batch);
      };
      disk.beforeOperation = () => {
        if (disk.operations - start === at) throw new Crash();
      };
      crashed = false;
      try {
        work(log, (batch) => {
          known = batch;
        });
      } catch (error) {
        if (!(error instanceof Crash)) throw error;
        crashed = true;
      }
      disk.crash(seeded(at * 100 + seed));
      const found = all(opened(disk, sizes));
      assert.equal(found.slice(0, known.length), known, `operation ${at}, seed ${seed}`);
      for (const { index: i, term: t, data } of found) {
        assert.is(new TextDecoder().decode(data), written.get(`${i}/${t}`));
      }
    }
    if (!crashed) return points;
    points++;
  }
}

test("power loss at every operation of appending and rotating keeps all that was synced", () => {
  const points = crashEverywhere((log, synced) => {
    for (let from = 1; from <= 120; from += 6) {
      log.append(entries(from, from + 5));
      log.sync();
      synced(entries(1, from + 5));
    }
  });
  assert.ok(points > 40);
});

const long = (at: number): Entry => entry(at, { data: new Uint8Array(130 << 10).fill(at) });

test("power loss at every operation of long writes between short ones keeps all that was synced", () => {
  const batches = [[entry(1)], [long(2)], [entry(3), long(4)], [entry(5)], [long(6), entry(7)]];
  const points = crashEverywhere((log, synced) => {
    for (const [i, batch] of batches.entries()) {
      log.append(batch);
      log.sync();
      synced(batches.slice(0, i + 1).flat());
    }
  }, {});
  assert.ok(points >= 2 * batches.length);
});

test("power loss at every operation of truncating across segments keeps all that was synced", () => {
  const points = crashEverywhere((log, synced) => {
    log.append(entries(1, 150));
    log.sync();
    synced(entries(1, 150));
    log.append(entries(20, 30, 2));
    log.sync();
    synced([...entries(1, 19), ...entries(20, 30, 2)]);
    log.append(entries(1, 3, 3));
    log.sync();
    synced(entries(1, 3, 3));
  });
  assert.ok(points > 10);
});

test.run();
