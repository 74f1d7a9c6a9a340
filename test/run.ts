/**
 * The plan of `npm test`: checks of the text, the build, the unit tests on every runtime (those that
 * know none on one of them; what is drawn is shared), then the end-to-end tests of the executable.
 * `--quick` is `npm run check`: the checks and the unit tests on one runtime. The last line is
 * `N passed, N failed`; each check counts as one.
 */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import {
  endChildrenOnSignals,
  endToEndTests,
  runSelected,
  unitTests,
  unitTestsOn,
} from "./harness.ts";
import { runtimes } from "./harness/run-file.ts";
import { add, closingLine, seconds, type Tally } from "./harness/run-files.ts";
import { shareOf } from "./harness/share.ts";

/** As many as two cores can feed. */
const jobs = 2;

const checks: Record<string, string[]> = {
  types: ["tsc", "--project", "tsconfig.json"],
  lint: ["oxlint", "--type-aware", "--deny-warnings"],
  format: ["oxfmt", "--check"],
};

const tally: Tally = { passed: 0, failed: 0, skipped: 0 };
const times: string[] = [];

/** Runs one part of the plan and notes how long it took. */
async function part(name: string, run: () => Tally | Promise<Tally>): Promise<void> {
  console.log(`--- ${name}`);
  const started = performance.now();
  add(tally, await run());
  times.push(`${name} ${seconds(performance.now() - started)}`);
}

function command(name: string, program: string, args: readonly string[]): Tally {
  const result = spawnSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  const passed = result.status === 0;
  console.log(passed ? `ok   ${name}` : `FAIL ${name}`);
  if (!passed) console.log(result.stdout + result.stderr + (result.error?.message ?? ""));
  return { passed: passed ? 1 : 0, failed: passed ? 0 : 1, skipped: 0 };
}

async function main(): Promise<void> {
  const quick = process.argv.includes("--quick");
  process.chdir(fileURLToPath(new URL("..", import.meta.url)));
  endChildrenOnSignals();
  for (const [name, [tool = "", ...args]] of Object.entries(checks)) {
    await part(name, () => command(name, `node_modules/.bin/${tool}`, args));
  }
  if (!quick) await part("build", () => command("build", "npm", ["run", "--silent", "build"]));
  if (quick) {
    await part("unit tests on bun", () => runSelected(unitTests(), { runtime: "bun", jobs }));
  } else {
    for (const [position, runtime] of runtimes.entries()) {
      const environment = shareOf(position, runtimes.length);
      await part(`unit tests on ${runtime}`, () => {
        return runSelected(unitTestsOn(runtime), { runtime, jobs, environment });
      });
    }
    await part("end-to-end tests", () => runSelected(endToEndTests(), { runtime: "node", jobs }));
  }
  console.log(`--- times: ${times.join(", ")}`);
  console.log(closingLine(tally));
  process.exitCode = tally.failed === 0 ? 0 : 1;
}

await main();
