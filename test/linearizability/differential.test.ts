/**
 * The checker against the definition, on small random histories: seeded, good ones and damaged ones.
 * KV_SEED=n runs that seed alone; KV_SEEDS=n runs that many of each kind.
 */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Random } from "../raft/random.ts";
import { checkHistory } from "./checker.ts";
import { counterHistory, damaged, otherCount, otherRowOutput, rowHistory } from "./generator.ts";
import type { Shape } from "./generator.ts";
import type { Operation } from "./history.ts";
import type { Model } from "./model.ts";
import { compareAndSet, counter } from "./models.ts";
import { isPlainLinearizable, otherPlainOutput } from "./plain-register.ts";
import { plainHistory, plainRegister } from "./plain-register.ts";
import { isCounterLinearizable, isRowLinearizable } from "./reference.ts";

const seeds = Number(process.env["KV_SEEDS"] ?? 2000);
const onlySeed = process.env["KV_SEED"];

/** Histories small enough for every order to be tried. */
function smallShape(random: Random): Shape {
  const operations = 3 + random.below(4);
  return {
    operations,
    clients: 1 + random.below(4),
    unknown: random.below(Math.min(4, operations)),
    durationMax: 1 + random.below(6),
    pauseMax: random.below(4),
  };
}

/** Returns whether it is linearizable, as both say. */
function compare<State, Input, Output>(
  model: Model<State, Input, Output>,
  isLinearizable: (history: readonly Operation<Input, Output>[]) => boolean,
  history: readonly Operation<Input, Output>[],
  seed: number,
): boolean {
  const expected = isLinearizable(history);
  const verdict = checkHistory(model, history);
  const text = history.map((one) => JSON.stringify(one)).join("\n");
  const hint = `KV_SEED=${seed} repeats it, linearizable is ${expected}:\n${text}`;
  assert.is(verdict.kind, expected ? "linearizable" : "violation", hint);
  if (verdict.kind === "violation") {
    assert.not.ok(isLinearizable(verdict.history), `the beginning shows it; ${hint}`);
    assert.ok(isLinearizable(withoutLastReturn(verdict.history)), `it is the shortest; ${hint}`);
  }
  return expected;
}

/** What was known before the last return. */
function withoutLastReturn<Input, Output>(
  history: readonly Operation<Input, Output>[],
): Operation<Input, Output>[] {
  const known = history.filter(({ output }) => output !== null);
  const last = Math.max(...known.map(({ returnTime }) => returnTime));
  return history.map((one) =>
    one.returnTime === last ? { ...one, output: null, returnTime: Infinity } : one,
  );
}

/** Runs the seeds, and fails also if the damaged histories are nearly all good, or all bad. */
function runSeeds(runSeed: (random: Random, seed: number) => boolean): void {
  if (onlySeed !== undefined) {
    runSeed(new Random(Number(onlySeed)), Number(onlySeed));
    return;
  }
  let good = 0;
  for (let seed = 1; seed <= seeds; seed++) if (runSeed(new Random(seed), seed)) good++;
  assert.ok(good > seeds / 10 && good < (seeds * 9) / 10, `${good} of ${seeds} are linearizable`);
}

test("good row histories are linearizable, damaged ones as the definition says", () => {
  runSeeds((random, seed) => {
    const values = random.pick([1, 2, Infinity]);
    const history = rowHistory(random, smallShape(random), values);
    assert.ok(compare(compareAndSet, isRowLinearizable, history, seed), "made by one row");
    const worse = damaged(random, history, otherRowOutput);
    return compare(compareAndSet, isRowLinearizable, worse, seed);
  });
});

test("so are those of a register without revisions, whose model leaves all to the search", () => {
  runSeeds((random, seed) => {
    const history = plainHistory(random, smallShape(random));
    assert.ok(compare(plainRegister, isPlainLinearizable, history, seed), "made by one register");
    const worse = damaged(random, damaged(random, history, otherPlainOutput), otherPlainOutput);
    return compare(plainRegister, isPlainLinearizable, worse, seed);
  });
});

test("good counter histories are linearizable, damaged ones as the definition says", () => {
  runSeeds((random, seed) => {
    const amounts = random.pick([[1], [1, 2], [-1, 1, 3]]);
    const history = counterHistory(random, smallShape(random), amounts);
    assert.ok(compare(counter, isCounterLinearizable, history, seed), "made by one counter");
    const worse = damaged(random, damaged(random, history, otherCount), otherCount);
    return compare(counter, isCounterLinearizable, worse, seed);
  });
});

test.run();
