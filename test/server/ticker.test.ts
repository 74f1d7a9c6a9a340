/** Ticks, one by one and several at once. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Ticker } from "../../server/ticker.ts";
import { VirtualTime } from "./simulated-nodes.ts";

const tickMs = 25;

interface Scene {
  readonly time: VirtualTime;
  readonly ticker: Ticker;
  /** What each call came to, and when. */
  readonly calls: [atMs: number, count: number][];
  restTicks: number;
  /** What a call does besides. */
  onTick: () => void;
}

function started(restTicks: number): Scene {
  const time = new VirtualTime();
  const clock = time.clock();
  const calls: Scene["calls"] = [];
  const ticker = new Ticker({
    ...{ clock, tickMs },
    tick: (count) => {
      calls.push([time.nowMs, count]);
      scene.onTick();
    },
    restTicks: () => scene.restTicks,
  });
  const scene: Scene = { time, ticker, calls, restTicks, onTick: () => {} };
  ticker.start();
  return scene;
}

test("one tick comes after the other while there is something to do", () => {
  const { time, calls } = started(1);
  time.run(110);
  assert.equal(
    calls,
    [25, 50, 75, 100].map((at) => [at, 1]),
  );
});

test("several pass at once while there is nothing, and none is lost", () => {
  const { time, calls } = started(4);
  time.run(330);
  assert.equal(calls, [
    [25, 1],
    [125, 4],
    [225, 4],
    [325, 4],
  ]);
});

test("after a rest ticks come evenly again", () => {
  const scene = started(3);
  scene.time.run(30);
  scene.restTicks = 1;
  scene.time.run(125);
  assert.equal(scene.calls, [
    [25, 1],
    [100, 3],
    [125, 1],
    [150, 1],
  ]);
});

test("who hears something meanwhile is told what has passed, and the rest of it at its end", () => {
  const scene = started(8);
  scene.time.run(85);
  assert.is(scene.ticker.takePassed(), 2);
  assert.is(scene.ticker.takePassed(), 0);
  scene.time.run(145);
  assert.equal(scene.calls, [
    [25, 1],
    [225, 6],
  ]);
});

test("who is woken goes on with the next tick, when it is due", () => {
  const scene = started(8);
  scene.time.run(85);
  scene.restTicks = 1;
  assert.is(scene.ticker.takePassed(), 2);
  scene.ticker.wake();
  scene.ticker.wake();
  scene.time.run(50);
  assert.equal(scene.calls, [
    [25, 1],
    [100, 1],
    [125, 1],
  ]);
});

test("a rest is not longer than it was to be, however long the process stands still", () => {
  const scene = started(4);
  scene.time.run(30);
  scene.time.nowMs += 5_000;
  scene.restTicks = 1;
  assert.is(scene.ticker.takePassed(), 3);
  scene.ticker.wake();
  scene.time.run(30);
  assert.equal(scene.calls, [
    [25, 1],
    [5_030, 1],
    [5_055, 1],
  ]);
});

test("rests that end early lose no time", () => {
  const scene = started(4);
  let ticks = 0;
  for (let round = 0; round < 200; round++) {
    scene.time.run(49);
    ticks += scene.ticker.takePassed();
    scene.ticker.wake();
  }
  for (const [, count] of scene.calls) ticks += count;
  assert.ok(ticks >= 390, `${ticks} of 392`);
});

test("what has passed of a rest is ticked early, with the next rest behind it, and no time is lost", () => {
  const scene = started(8);
  scene.time.run(85);
  assert.is(scene.ticker.tickEarly(), true);
  assert.is(scene.ticker.tickEarly(), false, "nothing has passed since");
  scene.time.run(160);
  assert.is(scene.ticker.tickEarly(), true);
  scene.time.run(185);
  assert.equal(scene.calls, [
    [25, 1],
    [85, 2],
    [245, 6],
    [425, 8],
  ]);
});

test("behind an early tick they come evenly, where there is something to do", () => {
  const scene = started(8);
  scene.time.run(85);
  scene.restTicks = 1;
  assert.is(scene.ticker.tickEarly(), true);
  scene.time.run(210);
  assert.equal(scene.calls, [
    [25, 1],
    [85, 2],
    ...[110, 135, 160, 185, 210, 235, 260, 285].map((at) => [at, 1]),
  ]);
});

test("early or not, a stall is no longer than the rest", () => {
  const scene = started(8);
  scene.time.run(30);
  scene.time.nowMs += 5_000;
  assert.is(scene.ticker.tickEarly(), true);
  assert.is(scene.ticker.tickEarly(), true, "one tick of the stall counts for the next rest");
  assert.is(scene.ticker.tickEarly(), false);
  assert.equal(scene.calls, [
    [25, 1],
    [5_030, 8],
    [5_030, 1],
  ]);
});

test("nothing comes once it is cancelled, from within a tick too", () => {
  const resting = started(4);
  resting.time.run(30);
  resting.ticker.cancel();
  resting.time.run(500);
  assert.is(resting.calls.length, 1);
  const busy = started(4);
  busy.onTick = () => busy.ticker.cancel();
  busy.time.run(500);
  assert.is(busy.calls.length, 1);
});

test("to wake within a tick is no rest", () => {
  const scene = started(4);
  scene.time.run(130);
  scene.onTick = () => scene.ticker.wake();
  scene.restTicks = 1;
  scene.time.run(125);
  assert.equal(scene.calls, [
    [25, 1],
    [125, 4],
    [225, 4],
    [250, 1],
  ]);
});

test.run();
