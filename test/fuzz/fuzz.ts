/**
 * The fuzzer: `npm run fuzz -- [--target NAME] [--seed N] [--minutes M]` tries targets whose name begins
 * with NAME (all without it), in turns, with fresh seeds that are printed. Of a failure it prints the
 * smallest input it finds; `--target NAME --input BASE64` tries that one alone.
 */

import { parseArgs } from "node:util";
import { fuzz, tryInput, type Finding, type Target } from "./target.ts";
import { targets } from "./targets.ts";

/** How long a target runs before the next one has its turn. */
const turnMs = 5_000;

const { values } = parseArgs({
  options: {
    target: { type: "string", default: "" },
    seed: { type: "string" },
    minutes: { type: "string", default: "1" },
    input: { type: "string" },
  },
});

function usage(problem: string): never {
  console.error(`${problem}; targets: ${targets.map(({ name }) => name).join(", ")}`);
  process.exit(2);
}

function report(target: Target, { input, error }: Finding): void {
  const base64 = Buffer.from(input).toString("base64");
  console.log(
    `FAIL ${target.name}, ${input.byteLength} bytes: ${Buffer.from(input).toString("hex")}`,
  );
  console.log(`  npm run fuzz -- --target ${target.name} --input '${base64}'`);
  console.log(error);
  process.exitCode = 1;
}

async function replay(target: Target, base64: string): Promise<void> {
  const input = new Uint8Array(Buffer.from(base64, "base64"));
  const failed = await tryInput(target, input);
  if (failed === null) console.log(`ok   ${target.name}`);
  else report(target, { input, error: failed.reason });
}

async function turn(target: Target, seed: number, endMs: number): Promise<boolean> {
  const end = Math.min(endMs, performance.now() + turnMs);
  const { runs, finding } = await fuzz(target, { seed, isOver: () => performance.now() >= end });
  console.log(`${finding ? "FAIL" : "ok  "} ${target.name} --seed ${seed}: ${runs} runs`);
  if (finding) report(target, finding);
  return finding === null;
}

async function main(): Promise<void> {
  const chosen = targets.filter(({ name }) => name.startsWith(values.target));
  if (chosen.length === 0) usage(`no target "${values.target}"`);
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) usage(`--minutes ${values.minutes} is not a time`);
  const seed = values.seed === undefined ? Date.now() % 2 ** 32 : Number(values.seed);
  if (!Number.isSafeInteger(seed)) usage(`--seed ${values.seed} is not a number`);
  for (const target of chosen) await target.open?.();
  const endMs = performance.now() + minutes * 60_000;
  if (values.input !== undefined) {
    for (const target of chosen) await replay(target, values.input);
  } else {
    let going = chosen;
    for (let round = 0; going.length > 0 && performance.now() < endMs; round++) {
      const unbroken: Target[] = [];
      for (const target of going) {
        if (await turn(target, seed + round, endMs)) unbroken.push(target);
      }
      going = unbroken;
    }
  }
  for (const target of chosen) await target.close?.();
}

await main();
