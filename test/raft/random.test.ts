/**
 * Random walks with the invariants checked at every step, and a cluster of use at the end of each.
 * KV_SEED=n walks that seed alone and prints what happened; KV_SEEDS=n walks that many.
 */

import { test } from "uvu";
import { shared } from "../harness/share.ts";
import { RandomWalk } from "./random-walk.ts";
import { Random } from "./random.ts";

const seeds = Number(process.env["KV_SEEDS"] ?? 600);
const onlySeed = process.env["KV_SEED"];
const stepsPerSeed = 1000;

/** Also returns what went wrong, or null. An assertion of the core is a failure too. */
function walkSeed(seed: number, isTraced: boolean): { walk: RandomWalk; error: Error | null } {
  const walk = new RandomWalk(new Random(seed), isTraced);
  try {
    for (let step = 0; step < stepsPerSeed; step++) walk.step();
    walk.recover();
    return { walk, error: null };
  } catch (error) {
    return {
      walk,
      error: error instanceof Error ? error : new Error("not an error", { cause: error }),
    };
  }
}

if (onlySeed !== undefined) {
  test(`seed ${onlySeed}`, () => {
    const { walk, error } = walkSeed(Number(onlySeed), true);
    console.log(walk.cluster.takeTrace().join("\n"));
    if (error) throw error;
  });
} else {
  test(`${seeds} random walks keep the invariants and recover`, () => {
    for (const seed of shared(seeds, 1)) {
      const { error } = walkSeed(seed, false);
      if (error) throw new Error(`KV_SEED=${seed} repeats it: ${String(error)}`, { cause: error });
    }
  });
}

test.run();
