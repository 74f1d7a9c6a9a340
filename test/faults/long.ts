/**
 * The long form: `npm run faults -- --minutes M [--seed N]` plays round after round, each with a
 * cluster and a seed of its own. The first failure ends it; its seed alone repeats the round with
 * `--rounds 1 --seed N`.
 */

import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { Scope } from "../e2e/scope.ts";
import { Random } from "../raft/random.ts";
import type { FaultKind } from "./fault.ts";
import { faultKinds } from "./kinds.ts";
import { playRound } from "./round.ts";

const seedsMax = 2 ** 31;
/** How often each kind that a round has is injected in it. */
const timesMax = 4;

/** Some kinds often, some not at all: a few at a time meet each other more often than all at once. */
function drawKinds(random: Random, kinds: readonly FaultKind[]): FaultKind[] {
  const drawn = kinds.flatMap((kind) =>
    random.float() < 0.6 ? Array.from({ length: 1 + random.below(timesMax) }, () => kind) : [],
  );
  return drawn.length > 0 ? drawn : [...kinds];
}

/** Whether the promises held. */
async function play(seed: number, kinds: readonly FaultKind[], total: Map<string, number>) {
  const scope = new Scope();
  try {
    const drawn = drawKinds(new Random(seed), kinds);
    const { injected } = await playRound(scope, { seed, kinds: drawn, tell: console.log });
    for (const [kind, count] of injected) total.set(kind, (total.get(kind) ?? 0) + count);
    return true;
  } catch (error) {
    console.log(scope.testimony);
    console.log(error);
    console.log(`FAILED; again: npm run faults -- --rounds 1 --seed ${seed}`);
    return false;
  } finally {
    await scope.end();
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "10" },
      rounds: { type: "string", default: "1000000" },
      seed: { type: "string", default: String(randomInt(seedsMax)) },
    },
  });
  const [minutes, rounds, seed] = [values.minutes, values.rounds, values.seed].map(Number);
  if (!minutes || !rounds || seed === undefined || Number.isNaN(seed)) {
    throw new Error("use: --minutes M [--rounds N] [--seed N]");
  }
  const kinds = faultKinds.filter((kind) => {
    const why = kind.whyNot();
    if (why !== null) console.log(`without ${kind.name}: ${why}`);
    return why === null;
  });
  const end = performance.now() + minutes * 60_000;
  const total = new Map<string, number>();
  let played = 0;
  let isSound = true;
  while (isSound && played < rounds && performance.now() < end) {
    const own = (seed + played) % seedsMax;
    console.log(`--- round ${++played}, seed ${own}`);
    isSound = await play(own, kinds, total);
  }
  for (const [kind, count] of total) console.log(`${String(count).padStart(6)}  ${kind}`);
  console.log(
    `${played} rounds from seed ${seed}: ${isSound ? "all sound" : "the last one failed"}`,
  );
  process.exitCode = isSound ? 0 : 1;
}

await main();
