/** The limit that is found from delays, against a server of known capacity on a clock of its own. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { AdmissionLimit, admissionLimits } from "../../server/admission-limit.ts";

interface Server {
  /** Requests that it finishes in a millisecond, one after the other. */
  readonly perMs: number;
  /** What each takes besides, however few there are: a disk, a network. */
  readonly ownMs: number;
}

interface Outcome {
  readonly answered: number;
  readonly refused: number;
  readonly longestMs: number;
}

/** First in, first out. `Array.shift` moves all that is left, and here hundreds of thousands wait. */
class Queue<T> {
  readonly #items: T[] = [];
  #first = 0;

  get length(): number {
    return this.#items.length - this.#first;
  }

  get first(): T | undefined {
    return this.#items[this.#first];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  take(): T {
    const item = this.#items[this.#first++];
    assert.ok(item !== undefined, "something waits");
    return item;
  }
}

/** Requests come at their own pace, in steps of a millisecond. */
class Scene {
  readonly limit = new AdmissionLimit(admissionLimits, 0);
  #nowMs = 0;
  readonly #queue = new Queue<number>();
  /** Served, and under way for `ownMs` yet: when each began, and when it ends. */
  readonly #under = new Queue<{ beganMs: number; endMs: number }>();
  #credit = 0;
  #due = 0;

  run(server: Server, comingPerMs: number, ms: number): Outcome {
    let answered = 0;
    let refused = 0;
    let longestMs = 0;
    for (const endMs = this.#nowMs + ms; this.#nowMs < endMs; this.#nowMs++) {
      for (this.#due += comingPerMs; this.#due >= 1; this.#due--) {
        if (this.limit.refuses()) {
          refused++;
          continue;
        }
        this.limit.began();
        this.#queue.push(this.#nowMs);
      }
      this.#credit = Math.min(this.#credit + server.perMs, this.#queue.length);
      for (; this.#credit >= 1; this.#credit--) {
        this.#under.push({ beganMs: this.#queue.take(), endMs: this.#nowMs + server.ownMs });
      }
      while ((this.#under.first?.endMs ?? Infinity) <= this.#nowMs) {
        const { beganMs } = this.#under.take();
        const delayMs = this.#nowMs - beganMs;
        answered++;
        longestMs = Math.max(longestMs, delayMs);
        this.limit.ended(this.#nowMs, delayMs);
      }
    }
    return { answered, refused, longestMs };
  }
}

const quick: Server = { perMs: 10, ownMs: 2 };

test("below capacity nobody is refused", () => {
  const scene = new Scene();
  const { refused, answered } = scene.run(quick, 9.5, 60_000);
  assert.is(refused, 0);
  assert.ok(answered > 560_000, String(answered));
});

test("a burst that is over soon refuses nobody", () => {
  const scene = new Scene();
  scene.run(quick, 2, 2_000);
  let refused = 0;
  for (let i = 0; i < 20; i++) {
    refused += scene.run(quick, 100, 40).refused;
    refused += scene.run(quick, 2, 1_000).refused;
  }
  assert.is(refused, 0);
});

for (const times of [1.5, 2, 4, 20]) {
  test(`at ${times} times the capacity as much is done as at the peak, and nobody waits long`, () => {
    const scene = new Scene();
    scene.run(quick, 5, 2_000);
    // What came before anything was decided has to be done first.
    scene.run(quick, 10 * times, 5_000 + 1_000 * times);
    const { answered, longestMs, refused } = scene.run(quick, 10 * times, 30_000);
    assert.ok(answered >= 0.97 * 300_000, `${answered} answered`);
    assert.ok(refused > 0.9 * (times - 1) * 300_000, `${refused} refused`);
    assert.ok(longestMs < 2 * admissionLimits.admissionDelayMs, `${longestMs} ms`);
  });
}

test("the limit follows a server that becomes ten times slower, and quick again", () => {
  const scene = new Scene();
  scene.run(quick, 20, 10_000);
  const slow = { ...quick, perMs: 1 };
  scene.run(slow, 20, 20_000);
  const then = scene.run(slow, 20, 20_000);
  assert.ok(then.answered >= 19_500, `${then.answered} answered`);
  assert.ok(then.longestMs < 2 * admissionLimits.admissionDelayMs, `${then.longestMs} ms`);
  scene.run(quick, 20, 20_000);
  const again = scene.run(quick, 20, 20_000);
  assert.ok(again.answered >= 0.97 * 200_000, `${again.answered} answered`);
});

test("when the load is gone, so is the limit", () => {
  const scene = new Scene();
  scene.run(quick, 40, 10_000);
  assert.ok(scene.limit.limit < Infinity);
  assert.is(scene.run(quick, 5, 10_000).refused, 0);
  assert.is(scene.limit.limit, Infinity);
});

test("what takes long by itself is no queue, and is not refused", () => {
  const scene = new Scene();
  const { refused } = scene.run({ perMs: 10, ownMs: 600 }, 0.02, 5_000);
  assert.is(refused, 0);
  const loaded = scene.run({ perMs: 10, ownMs: 600 }, 8, 60_000);
  assert.is(loaded.refused, 0);
});

test("a disk that becomes slow under load costs one trial, and then nothing", () => {
  const scene = new Scene();
  scene.run(quick, 8, 10_000);
  const slow = { perMs: 10, ownMs: 600 };
  const { refused } = scene.run(slow, 8, 10_000);
  assert.ok(refused < 0.5 * 80_000, `${refused} refused in the trial`);
  const then = scene.run(slow, 8, 60_000);
  assert.is(then.refused, 0);
  assert.ok(then.answered > 0.98 * 480_000, `${then.answered} answered`);
});

test("few at once are never refused, however long they take", () => {
  const limit = new AdmissionLimit(admissionLimits, 0);
  let nowMs = 0;
  for (let round = 0; round < 100; round++) {
    for (let i = 0; i < admissionLimits.admissionInFlightMin; i++) {
      assert.not(limit.refuses());
      limit.began();
    }
    nowMs += 3_000;
    while (limit.inFlight > 0) limit.ended(nowMs, 3_000);
  }
});

/** Ends so many requests that are in flight, of equal delays. */
function end(limit: AdmissionLimit, count: number, nowMs: number, delayMs: number): void {
  for (let i = 0; i < count; i++) limit.ended(nowMs, delayMs);
}

test("one interval with long delays is no queue", () => {
  const limit = new AdmissionLimit(admissionLimits, 0);
  for (let i = 0; i < 1_000; i++) limit.began();
  for (let nowMs = 1_000; limit.inFlight > 0; nowMs += 1_000) {
    end(limit, 10, nowMs, 900);
    end(limit, 10, nowMs + 500, 1);
    assert.is(limit.limit, Infinity);
  }
});

test("requests that came before the limit was lowered do not lower it further", () => {
  const limit = new AdmissionLimit(admissionLimits, 0);
  for (let i = 0; i < 2_000; i++) limit.began();
  let nowMs = 1_000;
  for (; limit.limit === Infinity; nowMs += 300) end(limit, 100, nowMs, nowMs);
  const lowered = limit.limit;
  assert.ok(lowered < limit.inFlight);
  for (; limit.inFlight > lowered + 10; nowMs += 300) end(limit, 10, nowMs, nowMs);
  assert.is(limit.limit, lowered);
});

test("an answer without a delay ends a request, and says nothing of the queue", () => {
  const limit = new AdmissionLimit(admissionLimits, 0);
  for (let i = 0; i < 100; i++) limit.began();
  for (let i = 0; i < 100; i++) limit.ended(10_000 + i, null);
  assert.is(limit.inFlight, 0);
  assert.is(limit.delayMs, 0);
  assert.is(limit.limit, Infinity);
});

test("spare is what nobody came for at any time since it was last taken", () => {
  const scene = new Scene();
  scene.run(quick, 40, 10_000);
  const { limit } = scene;
  limit.takeSpare();
  scene.run(quick, 40, 1_000);
  assert.is(limit.takeSpare(), 0);
  scene.run(quick, 0, 1_000);
  limit.takeSpare();
  assert.is(limit.takeSpare(), limit.limit);
});

test.run();
