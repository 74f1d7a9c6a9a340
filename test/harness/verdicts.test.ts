/** Every way in which uvu, or a test file, could look like a success without being one. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type FileRun, runFile, type Runtime } from "./run-file.ts";

const runtime: Runtime =
  "bun" in process.versions ? "bun" : "deno" in process.versions ? "deno" : "node";
const uvu = import.meta.resolve("uvu");
const skipping = import.meta.resolve("./skipped.ts");

/** Runs `body` as a test file; `test` is imported for it. */
async function verdictOn(body: string, timeoutMs = 20_000): Promise<FileRun> {
  const directory = mkdtempSync(join(tmpdir(), "kv-fixture-"));
  const path = join(directory, "fixture.test.ts");
  writeFileSync(path, `import { test } from "${uvu}";\n${body}\n`);
  try {
    return await runFile(path, { runtime, timeoutMs });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function assertFails(run: FileRun, reason: RegExp): void {
  assert.ok(run.failed > 0, "the file passes");
  assert.match(run.failures.join("\n"), reason);
}

test("a file whose tests pass passes", async () => {
  const run = await verdictOn(`test("a", () => {}); test("b", async () => {}); test.run();`);
  assert.equal(run.failures, []);
  assert.is(run.passed, 2);
  assert.is(run.failed, 0);
});

test("a failing test fails the file, and its error is told", async () => {
  const body = `test("a", () => {}); test("b", () => { throw new Error("lost"); }); test.run();`;
  const run = await verdictOn(body);
  assertFails(run, /"b"[\s\S]*lost/);
  assert.is(run.passed, 1);
  assert.is(run.failed, 1);
});

test("a throwing before fails the file", async () => {
  const body = `test.before(() => { throw new Error("lost"); });
    test("a", () => {}); test.run();`;
  assertFails(await verdictOn(body), /before threw[\s\S]*lost/);
});

test("a throwing before.each fails the file", async () => {
  const body = `test.before.each(() => { throw new Error("lost"); });
    test("a", () => {}); test.run();`;
  assertFails(await verdictOn(body), /lost/);
});

test("a throwing after.each behind a failing test hides neither error", async () => {
  const body = `test.after.each(() => { throw new Error("from the hook"); });
    test("a", () => { throw new Error("from the test"); }); test.run();`;
  const run = await verdictOn(body);
  assertFails(run, /from the hook/);
  assertFails(run, /from the test/);
});

test("a throwing after.each behind a passing test fails the file", async () => {
  const body = `test.after.each(() => { throw new Error("lost"); });
    test("a", () => {}); test.run();`;
  assertFails(await verdictOn(body), /after\.each threw[\s\S]*lost/);
});

test("a throwing after fails the file", async () => {
  const body = `test.after(() => { throw new Error("lost"); }); test("a", () => {}); test.run();`;
  assertFails(await verdictOn(body), /after threw[\s\S]*lost/);
});

test("a forgotten run() fails the file", async () => {
  assertFails(await verdictOn(`test("a", () => {});`), /without a test\.run\(\)/);
});

test("tests registered after run() fail the file", async () => {
  const body = `test("a", () => {}); test.run(); test("b", () => {});`;
  assertFails(await verdictOn(body), /1 tests registered without a test\.run\(\)/);
});

test("a suite of its own is refused, as its run() could be forgotten", async () => {
  const body = `import { suite } from "${uvu}"; const own = suite("own");
    own("a", () => {}); test("b", () => {}); test.run();`;
  assertFails(await verdictOn(body), /uses uvu's `suite`/);
});

test("a file without tests fails", async () => {
  assertFails(await verdictOn(`test.run();`), /registered no test/);
});

test("a test.only left in fails the file", async () => {
  const body = `test.only("a", () => {}); test("b", () => {}); test.run();`;
  assertFails(await verdictOn(body), /test\.only or test\.skip/);
});

test("a test.skip without a reason fails the file", async () => {
  const body = `test("a", () => {}); test.skip("b", () => {}); test.run();`;
  assertFails(await verdictOn(body), /test\.only or test\.skip/);
});

test("a skipped test is counted apart and its reason kept", async () => {
  const body = `import { skipped } from "${skipping}";
    test("a", () => skipped("no such device")); test("b", () => {}); test.run();`;
  const run = await verdictOn(body);
  assert.equal(run.skips, ["no such device"]);
  assert.is(run.passed, 1);
  assert.is(run.failed, 0);
});

test("a syntax error fails the file", async () => {
  assertFails(await verdictOn(`test("a", () => {;`), /could not be loaded|process ended/);
});

test("an error while the file is loaded fails it", async () => {
  const body = `test("a", () => {}); test.run(); throw new Error("lost");`;
  assertFails(await verdictOn(body), /could not be loaded[\s\S]*lost/);
});

test("process.exit(0) in the middle fails the file and names the test", async () => {
  const body = `test("a", () => {}); test("leaver", () => process.exit(0));
    test("b", () => {}); test.run();`;
  assertFails(await verdictOn(body), /ended with 0 before its tests, at "leaver"/);
});

test("a test that kills its process fails the file", async () => {
  const body = `test("a", () => { process.kill(process.pid, "SIGKILL"); }); test.run();`;
  assertFails(await verdictOn(body), /the process ended with SIGKILL, at "a"/);
});

test("a promise that nobody settles fails the file", async () => {
  const body = `test("stuck", () => new Promise(() => {})); test.run();`;
  assertFails(await verdictOn(body, 1_500), /"stuck"/);
});

test("a busy loop is ended at the deadline", async () => {
  const body = `test("busy", () => { for (;;); }); test.run();`;
  assertFails(await verdictOn(body, 1_500), /still running after 1\.5 s, at "busy"/);
});

test("an unhandled rejection fails the file although every test passes", async () => {
  const body = `test("a", () => { Promise.reject(new Error("lost")); }); test.run();`;
  assertFails(await verdictOn(body), /unhandled rejection[\s\S]*lost/);
});

test("an error thrown from a timer fails the file", async () => {
  const body = `test("a", async () => {
      setTimeout(() => { throw new Error("lost"); });
      await new Promise((resolve) => setTimeout(resolve, 200));
    }); test.run();`;
  assertFails(await verdictOn(body), /uncaught exception[\s\S]*lost/);
});

test("a child left behind is ended with its file and does not hold it up", async () => {
  const body = `import { spawn } from "node:child_process";
    test("a", () => {
      const child = spawn("sleep", ["60"], { stdio: "inherit" });
      console.log("child " + child.pid);
    });
    test.run();`;
  const run = await verdictOn(body);
  assert.is(run.passed, 1);
  assert.ok(run.durationMs < 15_000);
  const pid = Number(/child (\d+)/.exec(run.output)?.[1]);
  await assertGone(pid);
});

/** A killed process stays visible until its new parent has taken note. */
async function assertGone(pid: number): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (performance.now() < deadline) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.unreachable(`process ${pid} is still there`);
}

test.run();
