/** The log's time: never ahead of what its leaders' clocks have counted. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { LogTime } from "../../server/log-time.ts";
import type { Clock } from "../../server/ports.ts";
import { index, term, type Entry } from "../../server/raft/entry.ts";

const clock = { wall: 0, monotonic: 0 };
const port = {
  wallMs: () => clock.wall,
  monotonicMs: () => clock.monotonic,
} as Clock;

test("it begins with the wall clock, once, and goes on by the monotonic one", () => {
  Object.assign(clock, { wall: 1_000_000, monotonic: 10 });
  const time = new LogTime(port, 0);
  assert.is(time.nowMs(0), 1_000_000);
  Object.assign(clock, { wall: 9_000_000, monotonic: 30 });
  assert.is(time.nowMs(0), 1_000_020);
});

test("a wrong wall clock moves nothing where the log has a time", () => {
  Object.assign(clock, { wall: 9_000_000, monotonic: 10 });
  const time = new LogTime(port, 5_000);
  assert.is(time.nowMs(5_000), 5_000);
  clock.monotonic = 25;
  assert.is(time.nowMs(5_000), 5_015);
});

test("it follows the newest stamp of another leader", () => {
  Object.assign(clock, { wall: 0, monotonic: 0 });
  const time = new LogTime(port, 5_000);
  clock.monotonic = 100;
  time.observe(5_090);
  clock.monotonic = 150;
  assert.is(time.nowMs(5_090), 5_140);
});

test("it goes back to the stamps of a leader whose time had stood still", () => {
  Object.assign(clock, { wall: 0, monotonic: 0 });
  const time = new LogTime(port, 5_000);
  clock.monotonic = 10_000;
  time.observe(5_001);
  clock.monotonic = 10_003;
  assert.is(time.nowMs(5_001), 5_004);
});

test("of entries that were written it follows those of other leaders, and not its own", () => {
  Object.assign(clock, { wall: 0, monotonic: 0 });
  const time = new LogTime(port, 5_000);
  const stamped = (at: number, timeMs: number): Entry => {
    return { index: index(at), term: term(at), kind: "noop", timeMs, data: new Uint8Array() };
  };
  clock.monotonic = 100;
  time.observeEntries([stamped(3, 5_000)], term(3));
  assert.is(time.nowMs(0), 5_100);
  time.observeEntries([stamped(2, 5_040), stamped(3, 5_060)], term(3));
  assert.is(time.nowMs(0), 5_040);
  time.observeEntries([stamped(2, 5_040), stamped(3, 5_060)], null);
  assert.is(time.nowMs(0), 5_060);
});

test("it never is before a stamp that stands", () => {
  Object.assign(clock, { wall: 0, monotonic: 0 });
  const time = new LogTime(port, 5_000);
  assert.is(time.nowMs(7_000), 7_000);
  clock.monotonic = 3;
  assert.is(time.nowMs(7_000), 7_003);
});

test("stamps closer to each other than a millisecond do not hold it up", () => {
  Object.assign(clock, { wall: 0, monotonic: 0 });
  const time = new LogTime(port, 5_000);
  let stamp = 5_000;
  for (let at = 1; at <= 100; at++) {
    clock.monotonic = at / 10;
    stamp = time.nowMs(stamp);
  }
  assert.is(stamp, 5_010);
});

test.run();
