/** The log gets rid of its beginning, and of everything when a snapshot takes its place. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { index } from "../../server/raft/entry.ts";
import { shared } from "../harness/share.ts";
import { all, append, base, directory, entries, entry } from "./log-scene.ts";
import { filled, killAt, open, opened } from "./log-scene.ts";
import { seeded } from "./memory-disk.ts";

test("compaction drops whole segments and nothing behind its mark", () => {
  const { disk, log } = filled(300);
  const filesBefore = disk.list(directory).length;
  log.compact(index(150));
  assert.ok(disk.list(directory).length < filesBefore);
  assert.ok(log.firstIndex > 50 && log.firstIndex <= 151);
  assert.equal(all(log), entries(log.firstIndex, 300));
});

test("a compacted log opens, is contiguous, and goes on", () => {
  const { disk, log } = filled(300);
  log.compact(index(200));
  const again = opened(disk, 300);
  assert.is(again.firstIndex, log.firstIndex);
  append(again, entries(301, 310));
  assert.equal(all(opened(disk, 250)), entries(log.firstIndex, 310));
});

test("the term before the first entry is known, and none before it", () => {
  const { disk, log } = filled(100);
  append(log, entries(101, 300, 3));
  log.compact(index(299));
  const again = opened(disk, 299);
  assert.ok(again.firstIndex > 102);
  assert.is(again.term(index(again.firstIndex - 1)), 3);
  assert.is(again.term(index(again.firstIndex - 2)), null);
});

test("the segment that is written to stays", () => {
  const { disk, log } = filled(300);
  log.compact(index(300));
  assert.is(disk.list(directory).length, 1);
  assert.is(log.lastIndex, 300);
  log.compact(index(300));
  append(log, [entry(301)]);
  assert.is(opened(disk, 300).lastIndex, 301);
});

test("every entry behind the mark of a size fits into it", () => {
  const { disk, log } = filled(300);
  const room = disk.bytes(`${directory}/${disk.list(directory)[0]}`).byteLength * 2;
  const last = log.lastBeyond(room);
  log.compact(last);
  assert.is(log.firstIndex, last + 1);
  assert.ok(log.bytes <= room);
  const onDisk = disk.list(directory).map((name) => disk.bytes(`${directory}/${name}`).byteLength);
  assert.is(
    log.bytes,
    onDisk.reduce((sum, bytes) => sum + bytes, 0),
  );
  assert.is(log.lastBeyond(room), last);
  assert.is(opened(disk, 300).bytes, log.bytes);
});

test("a log that begins behind what is needed is damaged", () => {
  const { disk, log } = filled(300);
  log.compact(index(200));
  const last = log.firstIndex - 1;
  assert.ok(open(disk, last).ok);
  assert.not.ok(open(disk, last - 1).ok);
});

test("old segments are verified in turn, however many have gone meanwhile", () => {
  const { disk, log } = filled(300);
  const again = opened(disk, 300);
  again.scrub();
  again.scrub();
  again.compact(index(150));
  disk.edit(`${directory}/${disk.list(directory)[0]}`, (bytes) => {
    bytes[100] = (bytes[100] ?? 0) ^ 1;
  });
  assert.throws(() => {
    while (again.scrub() === "more");
  }, /not whole|contradicts/);
  assert.ok(log.firstIndex === 1);
});

test("power loss at every operation of a compaction leaves a log without a hole", () => {
  let points = 0;
  for (let count = 1; ; count++) {
    let isKilled = false;
    for (const seed of shared(8)) {
      const { disk, log } = filled(500);
      isKilled = killAt(disk, count, () => log.compact(index(450)));
      disk.crash(seeded(count * 100 + seed));
      const again = opened(disk, 450);
      assert.ok(again.firstIndex <= 451);
      assert.equal(all(again), entries(again.firstIndex, 500));
    }
    if (!isKilled) break;
    points++;
  }
  assert.ok(points > 8);
});

test("after a snapshot the log is empty and begins behind it", () => {
  for (const lastIndex of [500, 300, 150]) {
    const { disk, log } = filled(300);
    log.prepareReset(base(lastIndex, 7));
    log.reset(base(lastIndex, 7));
    assert.is(log.firstIndex, lastIndex + 1);
    assert.is(log.lastIndex, lastIndex);
    assert.is(log.term(index(lastIndex)), 7);
    append(log, [entry(lastIndex + 1, 8)]);
    const again = opened(disk, lastIndex);
    assert.equal(all(again), [entry(lastIndex + 1, 8)]);
    assert.is(again.term(index(lastIndex)), 7);
  }
});

test("a snapshot may end just before an old segment of the same name", () => {
  const { disk, log } = filled(300);
  log.compact(index(150));
  const last = log.firstIndex - 1;
  log.prepareReset(base(last, 7));
  log.reset(base(last, 7));
  assert.is(opened(disk, last).lastIndex, last);
});

test("power loss at every operation of a reset leaves the old log, or the one behind the snapshot", () => {
  let points = 0;
  for (let count = 1; ; count++) {
    let isKilled = false;
    for (const seed of shared(8)) {
      const { disk, log } = filled(200);
      let applied = 180;
      let acknowledged = 180;
      isKilled = killAt(disk, count, () => {
        log.prepareReset(base(250, 2));
        applied = acknowledged = 250;
        log.reset(base(250, 2));
        append(log, entries(251, 255, 2));
        acknowledged = 255;
      });
      disk.crash(seeded(count * 100 + seed));
      const again = opened(disk, applied);
      const place = `operation ${count}, seed ${seed}`;
      if (applied === 180) assert.equal(all(again), entries(1, 200), place);
      else assert.equal(all(again), entries(251, again.lastIndex, 2), place);
      assert.ok(again.lastIndex >= acknowledged, place);
      assert.is(again.term(index(applied)), applied === 180 ? 1 : 2, place);
      append(again, [entry(again.lastIndex + 1, 3)]);
      assert.is(opened(disk, applied).lastIndex, again.lastIndex);
    }
    if (!isKilled) break;
    points++;
  }
  assert.ok(points > 8);
});

test("a snapshot that was given up leaves the log as it was, and the next one can come", () => {
  const { disk, log } = filled(100);
  log.prepareReset(base(250, 2));
  log.prepareReset(base(300, 3));
  assert.equal(all(opened(disk, 90)), entries(1, 100));
  const again = opened(disk, 90);
  again.prepareReset(base(300, 3));
  again.reset(base(300, 3));
  assert.is(opened(disk, 300).firstIndex, 301);
});

test.run();
