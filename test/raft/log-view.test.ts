/** The core's picture of a log whose disk is behind. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { index, term, type Entry } from "../../server/raft/entry.ts";
import { LogView } from "../../server/raft/log-view.ts";
import { MemoryLog } from "./memory-log.ts";
import { entryOf, entryText } from "./message-text.ts";

const entries = (text: string): Entry[] => text.split(" ").map(entryOf);

function viewOf(text: string): { disk: MemoryLog; view: LogView } {
  const disk = new MemoryLog();
  disk.append(entries(text));
  return { disk, view: new LogView(disk, index(0)) };
}

const text = (view: LogView): string =>
  view.entries(view.firstIndex, view.lastIndex, Infinity).map(entryText).join(" ");

test("what is not written yet hides what the disk still has", () => {
  const { view } = viewOf("1/1 2/1 3/1 4/1");
  view.append(entries("3/2"));
  assert.is(text(view), "1/1 2/1 3/2");
  assert.is(view.lastIndex, 3);
  assert.is(view.term(index(4)), null);
  assert.is(view.stableIndex, 2);
});

test("a write that was overtaken by a truncation makes nothing stable", () => {
  const { disk, view } = viewOf("1/1");
  view.append(entries("2/1 3/1"));
  const first = view.takeUnwritten();
  view.append(entries("3/2"));
  disk.append(first);
  view.stableTo(index(3), term(1));
  assert.is(view.stableIndex, 1);
  assert.is(text(view), "1/1 2/1 3/2");
});

test("each entry is handed out to be written once, a replaced one again", () => {
  const { view } = viewOf("1/1");
  view.append(entries("2/1 3/1"));
  assert.is(view.takeUnwritten().length, 2);
  assert.not(view.hasUnwritten);
  view.append(entries("3/2 4/2"));
  assert.equal(view.takeUnwritten().map(entryText), ["3/2", "4/2"]);
});

test("a read within a size limit does not skip from the disk into what is not written", () => {
  const { view } = viewOf("1/1:x*100 2/1:x*100");
  view.append(entries("3/1:y"));
  const read = view.entries(index(1), index(3), 200);
  assert.equal(
    read.map((entry) => entry.index),
    [1],
  );
});

test("a committed entry is never replaced", () => {
  const { view } = viewOf("1/1 2/1");
  view.commitTo(index(2));
  assert.throws(() => view.append(entries("2/2")), /never replaced/);
});

test("what the disk refused says nothing against a candidate, until it is written", () => {
  const { disk, view } = viewOf("1/1 2/1");
  view.append(entries("3/2"));
  const refused = view.takeUnwritten();
  view.holdWrites();
  assert.ok(view.isRefused);
  assert.ok(view.isUpToDate(index(2), term(1)));
  assert.not(view.isUpToDate(index(1), term(1)));
  assert.equal(view.takeUnwritten(), []);
  view.resumeWrites();
  assert.ok(view.isUpToDate(index(2), term(1)), "room alone has written nothing");
  assert.equal(view.takeUnwritten(), refused);
  disk.append(refused);
  view.stableTo(index(3), term(2));
  assert.not(view.isRefused);
  assert.not(view.isUpToDate(index(2), term(1)));
});

test("an append that leaves a gap is a bug", () => {
  const { view } = viewOf("1/1");
  assert.throws(() => view.append(entries("3/1")), /no gap/);
});

test("a snapshot hides the log until it is installed", () => {
  const { disk, view } = viewOf("1/1 2/1");
  view.restore({ index: index(9), term: term(4) });
  assert.is(view.firstIndex, 10);
  assert.is(view.lastTerm, 4);
  assert.is(view.term(index(2)), null);
  view.append(entries("10/4"));
  disk.reset(index(9), term(4));
  view.restored({ index: index(9), term: term(4) });
  assert.is(view.appliedIndex, 9);
  assert.is(text(view), "10/4");
});

test("the installation of an older snapshot does not end the newer one", () => {
  const { disk, view } = viewOf("1/1");
  view.restore({ index: index(5), term: term(2) });
  view.restore({ index: index(9), term: term(4) });
  disk.reset(index(5), term(2));
  view.restored({ index: index(5), term: term(2) });
  assert.equal(view.pendingSnapshot, { index: 9, term: 4 });
  assert.is(view.lastIndex, 9);
});

test("where logs may agree is found a whole term at a time, and not below the log", () => {
  const { disk, view } = viewOf("1/1 2/1 3/4 4/4 5/6");
  assert.equal(view.lastNotAfterTerm(index(5), term(5)), { index: 4, term: 4 });
  assert.equal(view.lastNotAfterTerm(index(5), term(3)), { index: 2, term: 1 });
  assert.equal(view.lastNotAfterTerm(index(5), term(0)), { index: 0, term: 0 });
  disk.compact(index(3));
  assert.equal(view.lastNotAfterTerm(index(5), term(3)), { index: 2, term: 0 });
});

test.run();
