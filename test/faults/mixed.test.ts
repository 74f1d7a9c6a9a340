/** Faults of every kind, mixed by a seed, under clients whose history must be linearizable. */

import { randomInt } from "node:crypto";
import { test } from "uvu";
import { scenario } from "../e2e/scope.ts";
import { faultKinds } from "./kinds.ts";
import { playRound } from "./round.ts";

const seed = Number(process.env["KV_SEED"] ?? randomInt(2 ** 31));

scenario(`faults of every kind, seed ${seed}`, async (scope) => {
  console.log(`seed ${seed}; again with KV_SEED=${seed}`);
  for (const kind of faultKinds) {
    const why = kind.whyNot();
    if (why !== null) console.log(`without ${kind.name}: ${why}`);
  }
  const kinds = faultKinds.filter((kind) => kind.whyNot() === null);
  await playRound(scope, { seed, kinds, tell: console.log });
});

test.run();
