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
      nowMs: () => 0,
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

test("while very many are due, the next entries do not wait for one another", () => {
  const scene = new Scene(100 * expiredPerEntry);
  scene.expiry.tick();
  assert.is(scene.underWay, 1);
  scene.apply();
  assert.is(scene.underWay, 3);
  while (scene.underWay > 0) {
    assert.ok(scene.underWay <= 3);
    scene.apply();
  }
  assert.is(scene.dueCount, 0);
  assert.ok(scene.entries <= 100 + 2, `${scene.entries}`);
});

test("entries that fail, or find no room, are asked for again", () => {
  const scene = new Scene(10 * expiredPerEntry);
  scene.waitingMax = 2;
  scene.expiry.tick();
  scene.apply();
  assert.is(scene.underWay, 2);
  scene.fail();
  scene.fail();
  assert.is(scene.underWay, 0);
  scene.expiry.tick();
  assert.is(scene.underWay, 1);
});

test.run();
