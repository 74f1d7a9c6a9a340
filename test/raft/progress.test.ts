/** What a leader may send to a follower, where scripts do not reach. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { index } from "../../server/raft/entry.ts";
import { Inflight, Progress } from "../../server/raft/progress.ts";

const limits = { messagesMax: 3, bytesMax: 100 };
const newProgress = (): Progress => new Progress({ next: index(11), limits, recentlyActive: true });

test("an answer frees all appends it covers, and no others", () => {
  const inflight = new Inflight(limits);
  for (const last of [5, 7, 9]) inflight.add(index(last), 10);
  assert.ok(inflight.isFull);
  inflight.free(index(8));
  assert.is(inflight.count, 1);
  inflight.free(index(4));
  assert.is(inflight.count, 1);
});

test("the window is full by bytes before it is by messages", () => {
  const inflight = new Inflight(limits);
  inflight.add(index(1), 99);
  assert.not(inflight.isFull);
  inflight.add(index(2), 1);
  assert.ok(inflight.isFull);
  inflight.freeOldest();
  assert.not(inflight.isFull);
});

test("sending past a full window is a bug", () => {
  const inflight = new Inflight(limits);
  inflight.add(index(1), 100);
  assert.throws(() => inflight.add(index(2), 1), /full window/);
});

test("an answer that is overtaken moves nothing back", () => {
  const progress = newProgress();
  assert.is(progress.accepted(index(12)), true);
  assert.is(progress.accepted(index(10)), false);
  assert.is(progress.match, 12);
  assert.is(progress.next, 13);
});

test("a refusal of another probe than the last one is ignored", () => {
  const progress = newProgress();
  assert.is(progress.rejected(index(8), index(3)), false);
  assert.is(progress.next, 11);
  assert.is(progress.rejected(index(10), index(3)), true);
  assert.is(progress.next, 4);
});

test("no refusal leads back to what is known to match", () => {
  const progress = newProgress();
  progress.accepted(index(6));
  assert.is(progress.rejected(index(10), index(2)), true);
  assert.is(progress.next, 7);
});

test("each refusal brings the next probe at least one step further back", () => {
  const progress = newProgress();
  progress.rejected(index(10), index(50));
  assert.is(progress.next, 10);
});

test("after a snapshot has arrived, the log goes on behind it", () => {
  const progress = newProgress();
  progress.becomeSnapshot(index(40));
  progress.snapshotEnded(true);
  assert.is(progress.next, 41);
  assert.ok(progress.isPaused);
});

test.run();
