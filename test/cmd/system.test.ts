/** The real clock: what comes every second comes together. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { systemClock } from "../../cmd/system.ts";

const deadlineMs = 10_000;

/** Resolves once every one of `count` timers, begun at different times, has run `runs` times. */
function runTogether(count: number, runs: number): Promise<number[][]> {
  return new Promise((resolve, reject) => {
    const times: number[][] = Array.from({ length: count }, () => []);
    const end = setTimeout(() => reject(new Error("the timers do not run")), deadlineMs);
    for (const [at, ran] of times.entries()) {
      setTimeout(() => {
        const timer = systemClock.every(1_000, () => {
          ran.push(performance.now());
          if (ran.length === runs) timer.cancel();
          if (times.some(({ length }) => length < runs)) return;
          clearTimeout(end);
          resolve(times);
        });
        ran.push(performance.now());
      }, 100 * at);
    }
  });
}

test("timers of whole seconds that began at different times run in the same moment, and none is early", async () => {
  const [first = [], second = []] = await runTogether(2, 2);
  for (const [begun = 0, ran = 0] of [first, second])
    assert.ok(ran - begun >= 999, `${ran - begun}`);
  const apart = first.slice(-1).flatMap((a) => second.map((b) => Math.abs(a - b)));
  assert.ok(Math.min(...apart) < 50, apart.join(" "));
});

test("a cancelled one runs no more", async () => {
  let runs = 0;
  const cancelled = systemClock.every(1_000, () => runs++);
  cancelled.cancel();
  await runTogether(1, 2);
  assert.is(runs, 0);
});

test.run();
