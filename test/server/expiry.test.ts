/** The leader lets rows go: one entry while few are due, several on their way while there are very many. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Expiry, type ExpiryOptions } from "../../server/expiry.ts";
import { expiredPerEntry } from "../../server/state-machine/deadlines.ts";
import type { WriteAnswer } from "../../server/pending-writes.ts";

/** A leader with so many rows that are due; entries are applied when the test says so. */
class Scene {
  readonly expiry: Expiry;
  readonly #waiting: ((answer: WriteAnswer) => void)[] = [];
  dueCount: number;
  entries = 0;
  waitingMax = Infinity;
  nowMs = 0;

  constructor(dueCount: number) {
    this.dueCount = dueCount;
    const nextDeadlineMs = (): number => (this.dueCount > 0 ? 5 : 1_000);
    this.expiry = new Expiry({
      machine: {
        get nextDeadlineMs() {
          return nextDeadlineMs();
        },
        applied: { appliedTimeMs: 10 },
      },
      raft: { role: { kind: "leader", transfer: null, logTimeMs: 10 } },
      logTime: { nowMs: () => 10 },
      writes: {
        add: (_command: Uint8Array, _nowMs: number, done: (answer: WriteAnswer) => void) => {
          if (this.#waiting.length >= this.waitingMax) return false;
          this.#waiting.push(done);
          return true;
        },
      },
      nowMs: () => this.nowMs,
      added: () => void this.entries++,
    } as unknown as ExpiryOptions);
  }

  get underWay(): number {
    return this.#waiting.length;
  }

  /** The oldest entry that is on its way. */
  apply(): void {
    const count = Math.min(expiredPerEntry, this.dueCount);
    this.dueCount -= count;
    const keys = Array.from({ length: count }, (_, at) => `${at}`);
    this.#waiting.shift()?.({
      ok: true,
      result: { op: "expired", keys },
    } as unknown as WriteAnswer);
  }

  fail(): void {
    this.#waiting.shift()?.({ ok: false } as unknown as WriteAnswer);
  }
}

test("few rows take one entry", () => {
  const scene = new Scene(3);
  scene.expiry.tick();
  scene.expiry.tick();
  assert.is(scene.underWay, 1);
  scene.apply();
  scene.expiry.tick();
  assert.equal([scene.entries, scene.underWay], [1, 0]);
});

/** Entries of each round until nothing is due, where a round takes so long. */
function rounds(scene: Scene, roundMs: (entries: number) => number): number[] {
  const found: number[] = [];
  scene.expiry.tick();
  while (scene.underWay > 0) {
    const entries = scene.underWay;
    found.push(entries);
    scene.nowMs += roundMs(entries);
    for (let at = 0; at < entries; at++) {
      scene.expiry.tick();
      scene.apply();
    }
    scene.expiry.tick();
  }
  return found;
}

test("while very many are due, as many entries go together as keep a round short", () => {
  const fast = rounds(new Scene(100 * expiredPerEntry), () => 5);
  assert.equal(fast.slice(0, 6), [1, 2, 3, 4, 5, 5]);
  assert.ok(fast.length < 25, `${fast.length} rounds`);
  const slow = rounds(new Scene(20 * expiredPerEntry), () => 100);
  assert.equal(
    slow,
    Array.from({ length: 20 }, () => 1),
  );
  const some = rounds(new Scene(100 * expiredPerEntry), (entries) => 10 + 8 * entries);
  assert.equal(some.slice(0, 4), [1, 2, 2, 2]);
  // One that was fast becomes slow.
  let done = 0;
  const less = rounds(new Scene(30 * expiredPerEntry), () => (done++ < 2 ? 5 : 50));
  assert.equal(less.slice(0, 5), [1, 2, 3, 2, 1]);
});

test("after a burst it begins with one again", () => {
  const scene = new Scene(20 * expiredPerEntry);
  assert.ok(Math.max(...rounds(scene, () => 5)) > 3);
  scene.dueCount = 10 * expiredPerEntry;
  assert.is(rounds(scene, () => 5)[0], 1);
});

test("the next round begins with a tick", () => {
  const scene = new Scene(2 * expiredPerEntry);
  scene.expiry.tick();
  scene.apply();
  assert.equal([scene.entries, scene.underWay], [1, 0]);
  scene.expiry.tick();
  assert.equal([scene.entries, scene.underWay], [3, 2]);
});

test("entries that fail, or find no room, are asked for again", () => {
  const scene = new Scene(10 * expiredPerEntry);
  scene.waitingMax = 2;
  for (let round = 0; round < 3; round++) {
    scene.expiry.tick();
    scene.apply();
    scene.apply();
  }
  scene.expiry.tick();
  assert.is(scene.underWay, 2);
  scene.apply();
  scene.fail();
  assert.is(scene.underWay, 0);
  scene.expiry.tick();
  assert.is(scene.underWay, 1);
});

test.run();
