/** Every fuzz target for a moment, with one seed that stays and one that is new each time. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { shared } from "../harness/share.ts";
import { fuzz, type Target } from "./target.ts";
import { targets } from "./targets.ts";

const fixedSeed = 20_261_121;
const freshSeed = Date.now() % 2 ** 32;
/** For each target, with the fresh seed. */
const freshMs = 60;

async function run(target: Target, seed: number, isOver: (runs: number) => boolean): Promise<void> {
  const { finding, runs } = await fuzz(target, { seed, isOver });
  if (finding === null) {
    assert.ok(runs > 0, "something was tried");
    return;
  }
  const base64 = Buffer.from(finding.input).toString("base64");
  const again = `npm run fuzz -- --target ${target.name} --input '${base64}'`;
  throw new Error(`seed ${seed}; ${again}`, { cause: finding.error });
}

for (const target of targets) {
  test(`${target.name} with the fixed seed, then with ${freshSeed}`, async () => {
    await target.open?.();
    try {
      const share = [...shared(target.testRuns)];
      await run(target, fixedSeed + (share[0] ?? 0), (runs) => runs >= Math.max(1, share.length));
      const endMs = performance.now() + freshMs;
      await run(target, freshSeed, () => performance.now() >= endMs);
    } finally {
      await target.close?.();
    }
  });
}

test("a fault is found and made small", async () => {
  const target: Target = {
    name: "needle",
    tapeBytesMax: 256,
    testRuns: 1,
    check: (input) => {
      const at = input.indexOf(7);
      if (at >= 0 && (input[at + 1] ?? 0) > 100) throw new Error("found");
    },
  };
  const { finding } = await fuzz(target, { seed: fixedSeed, isOver: (runs) => runs >= 10_000 });
  assert.ok(finding !== null);
  assert.is(finding?.input.byteLength, 2);
  assert.is(finding?.input[0], 7);
});

test.run();
