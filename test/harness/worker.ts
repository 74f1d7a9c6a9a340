/**
 * Runs one test file in a process of its own and writes what became of it, line by line, to a report
 * file. uvu keeps some errors to itself: it returns from a `finally`, so a throwing `before`, or a
 * throwing `after.each` behind a failing test, ends with no error at all. Here every hook is wrapped,
 * so its error is known, and a report without its last line tells of a process that ended too early.
 */

import { appendFileSync, readFileSync } from "node:fs";
import nodeModule from "node:module";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import type { Callback, Test } from "uvu";
import type { ReportLine } from "./report.ts";

/** What uvu gives back for one `run()`: errors or true, passed, skipped or hidden by `only`, total. */
type RunResult = [errors: string | true, passed: number, hidden: number, total: number];

// It is on by now; what the tests start is started as users start it.
delete process.env["NODE_COMPILE_CACHE"];

const collected: (() => Promise<RunResult>)[] = [];
const fileUrl = process.argv[2] ?? "";
const reportPath = process.argv[3] ?? "";
const isNode = !("bun" in process.versions || "deno" in process.versions);
let currentTest = "";
let finished = false;
let failures = 0;

function report(line: ReportLine): void {
  appendFileSync(reportPath, `${JSON.stringify(line)}\n`);
}

function fail(what: string, error?: unknown): void {
  failures += 1;
  const detail = typeof error === "string" ? error : inspect(error);
  report({ kind: "failure", text: error === undefined ? what : `${what}: ${detail}` });
}

function finish(total: number, passed: number): never {
  finished = true;
  report({ kind: "counts", total, passed });
  const code = failures === 0 ? 0 : 1;
  if (isNode) {
    // Its `process.exit` may wait for ever for a compiler that waits for the collector (nodejs/node#54918).
    process.exitCode = code;
    process.emit("exit", code);
    nodeModule.flushCompileCache();
    if (process.exitCode === 0) process.kill(process.pid, "SIGKILL");
  }
  process.exit(code);
}

/** Has the hooks that uvu may swallow tell their errors, and notes each test as it begins. */
function tellErrors(test: Test): void {
  const { before, after } = test;
  const guarded = (name: string, handler: Callback): Callback => {
    return async (context) => {
      try {
        await handler(context);
      } catch (error) {
        fail(currentTest === "" ? `${name} threw` : `${name} threw after "${currentTest}"`, error);
        // The tests must not run after a failed `before`; behind the others uvu would lose errors.
        if (name === "before") throw error;
      }
    };
  };
  test.before = Object.assign((hook: Callback) => before(guarded("before", hook)), {
    each: (hook: Callback) => before.each(hook),
  });
  test.after = Object.assign((hook: Callback) => after(guarded("after", hook)), {
    each: (hook: Callback) => after.each(guarded("after.each", hook)),
  });
  before.each((context) => {
    currentTest = context.__test__;
    report({ kind: "started", test: currentTest });
  });
}

/** A suite other than the default one cannot be asked whether its `run()` was forgotten. */
function refuseSuites(): void {
  const source = readFileSync(fileURLToPath(fileUrl), "utf8");
  const imports = /import\s*\{([^}]*)\}\s*from\s*["'](?:[^"']*\/)?uvu(?:\/dist\/index\.mjs)?["']/g;
  const names = source.matchAll(imports).map((match) => match[1] ?? "");
  if (names.some((list) => /\bsuite\b/.test(list))) {
    fail("uses uvu's `suite`; use `test`, whose forgotten `run()` can be noticed");
  }
}

async function runAll(test: Test): Promise<void> {
  let total = 0;
  let passed = 0;
  let asked = false;
  for (let position = 0; position < collected.length || !asked; position += 1) {
    if (position === collected.length) {
      // What is still registered now is what no `run()` took.
      asked = true;
      test.run();
    }
    const run = collected[position];
    if (run === undefined) break;
    const [errors, runPassed, hidden, runTotal] = await run();
    currentTest = "";
    if (asked && runTotal > 0) fail(`${runTotal} tests registered without a test.run() after them`);
    if (typeof errors === "string") fail("tests failed", errors);
    if (hidden > 0) fail("test.only or test.skip is left in; say skipped(why) inside the test");
    if (runPassed < runTotal && failures === 0) fail("uvu lost the error of a hook");
    total += runTotal;
    passed += runPassed;
  }
  // A rejection nobody handles is known only a turn of the event loop later.
  await new Promise((resolve) => setTimeout(resolve, 1));
  if (total === 0) fail("registered no test");
  finish(total, passed);
}

process.on("unhandledRejection", (error) => fail(`unhandled rejection at "${currentTest}"`, error));
process.on("uncaughtException", (error) => {
  fail(`uncaught exception at "${currentTest}"`, error);
  finish(0, 0);
});
process.on("exit", (code) => {
  if (finished) return;
  fail(`the process ended with ${code} before its tests, at "${currentTest}"`);
  // An exit code of 0 in the middle must not look like a success.
  process.exitCode = 1;
});

Object.assign(globalThis, { UVU_DEFER: true, UVU_QUEUE: [collected] });
const { test } = await import("uvu");
tellErrors(test);
refuseSuites();
let loaded = false;
try {
  await import(fileUrl);
  loaded = true;
} catch (error) {
  fail("could not be loaded", error);
}
if (loaded) await runAll(test);
else finish(0, 0);
