/** Runs the file of Vitest tests that its argument names; the counts are the last line, as JSON. */

import { startVitest } from "vitest/node";

const [path = ""] = process.argv.slice(2);
const vitest = await startVitest(
  "test",
  [],
  { include: [path], watch: false, config: false, reporters: ["default"], isolate: false },
  { cacheDir: process.env["KV_CACHE"] ?? "" },
);
const tests = vitest.state.getTestModules().flatMap((each) => [...each.children.allTests()]);
const count = (state: string): number =>
  tests.filter((each) => each.result().state === state).length;
const counts = { passed: count("passed"), failed: count("failed"), skipped: count("skipped") };
const errors = vitest.state.getUnhandledErrors().length;
await vitest.close();
console.log(JSON.stringify({ ...counts, errors }));
process.exit();
