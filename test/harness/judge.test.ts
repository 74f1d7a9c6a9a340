/** The verdict on a worker's report, and the line that ends a run. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { judge, type ReportLine } from "./report.ts";
import { closingLine } from "./run-files.ts";

const ended = { exitCode: 0, signal: null };

function text(...lines: ReportLine[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

test("no report at all is a failure, even with exit code 0", () => {
  assert.is(judge("", ended).failed, 1);
});

test("a report without its last line is a failure", () => {
  const outcome = judge(text({ kind: "started", test: "a" }), ended);
  assert.is(outcome.failed, 1);
  assert.match(outcome.failures.join(), /at "a"/);
});

test("an exit code other than 0 is a failure although all tests passed", () => {
  const report = text({ kind: "counts", total: 2, passed: 2 });
  assert.is(judge(report, { exitCode: 3, signal: null }).failed, 1);
});

test("a worker may end itself, but only behind its last line", () => {
  const killed = { exitCode: null, signal: "SIGKILL" };
  assert.is(judge(text({ kind: "counts", total: 2, passed: 2 }), killed).failed, 0);
  assert.is(judge(text({ kind: "started", test: "a" }), killed).failed, 1);
});

test("fewer passed than registered is a failure of each that is missing", () => {
  const outcome = judge(text({ kind: "counts", total: 5, passed: 3 }), ended);
  assert.is(outcome.passed, 3);
  assert.is(outcome.failed, 2);
  assert.ok(outcome.failures.length > 0);
});

test("no tests at all is a failure", () => {
  assert.is(judge(text({ kind: "counts", total: 0, passed: 0 }), ended).failed, 1);
});

test("a failure outside the tests is one although all of them passed", () => {
  const outcome = judge(
    text({ kind: "failure", text: "late" }, { kind: "counts", total: 2, passed: 2 }),
    ended,
  );
  assert.is(outcome.passed, 2);
  assert.is(outcome.failed, 1);
});

test("the closing line names skipped tests only where there are any", () => {
  assert.is(closingLine({ passed: 7, failed: 1, skipped: 0 }), "7 passed, 1 failed");
  assert.is(closingLine({ passed: 7, failed: 0, skipped: 2 }), "7 passed, 0 failed, 2 skipped");
});

test.run();
