/**
 * The long form, `npm run faults -- --minutes M [--seed N]`: first every directed scenario with its
 * long timings, then round after round of mixed faults, each with a cluster and a seed of its own. The
 * first failure ends it; `--rounds 1 --seed N` plays the round of that seed again, and nothing else.
 */

import { spawnSync } from "node:child_process";
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

function number(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  console.error(`--${name} ${text} is not a positive integer`);
  process.exit(2);
}

/** Whether all of them passed. */
function playDirected(): boolean {
  console.log("--- directed scenarios");
  const { status } = spawnSync(process.execPath, ["test/harness.ts", "test/faults"], {
    stdio: "inherit",
    env: { ...process.env, KV_FAULTS: "long" },
  });
  return status === 0;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "10" },
      rounds: { type: "string" },
      seed: { type: "string", default: String(randomInt(seedsMax)) },
    },
  });
  const minutes = number("minutes", values.minutes);
  const seed = number("seed", values.seed);
  const rounds = values.rounds === undefined ? Infinity : number("rounds", values.rounds);
  const kinds = faultKinds.filter((kind) => {
    const why = kind.whyNot();
    if (why !== null) console.log(`without ${kind.name}: ${why}`);
    return why === null;
  });
  const end = performance.now() + minutes * 60_000;
  const total = new Map<string, number>();
  let played = 0;
  let isSound = values.rounds !== undefined || playDirected();
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
