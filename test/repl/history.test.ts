/** The history file, sound and damaged. */

import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test as register } from "uvu";
import * as assert from "uvu/assert";
import { History, historyLineLengthMax, historyLinesMax } from "../../repl/history.ts";

/** Runs a test in a directory of its own. */
function test(name: string, run: (context: { path: string; directory: string }) => void): void {
  register(name, () => {
    const directory = mkdtempSync(join(tmpdir(), "kv-history-"));
    try {
      run({ path: join(directory, "history"), directory });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
}

test("lines are there again in the next run", ({ path }) => {
  const history = History.open(path);
  history.add("get a");
  history.add("get b");
  assert.equal(History.open(path).lines, ["get a", "get b"]);
});

test("the file is for its owner alone", ({ path }) => {
  History.open(path).add("get a");
  assert.is(statSync(path).mode & 0o777, 0o600);
});

test("a file that others could read is closed to them", ({ path }) => {
  writeFileSync(path, "get a\n");
  chmodSync(path, 0o644);
  History.open(path);
  assert.is(statSync(path).mode & 0o777, 0o600);
});

test("blank lines, repetitions and very long lines are not kept", ({ path }) => {
  const history = History.open(path);
  for (const line of ["a", "a", " ", "x".repeat(historyLineLengthMax + 1), "b"]) history.add(line);
  assert.equal(History.open(path).lines, ["a", "b"]);
});

test("memory and file stay bounded", ({ path }) => {
  const history = History.open(path);
  for (let count = 0; count < 2 * historyLinesMax + 5; count++) history.add(`get ${count}`);
  assert.is(history.lines.length, historyLinesMax);
  assert.ok(readFileSync(path, "utf8").split("\n").length <= 2 * historyLinesMax);
  assert.is(History.open(path).lines.at(-1), `get ${2 * historyLinesMax + 4}`);
});

test("sound lines survive damage around them, and the file is mended", ({ path }) => {
  const damaged = ["get a\n", "\0\0\0\n", Uint8Array.from([0xff, 0xfe, 0x0a]), "get b\n", "get c"];
  writeFileSync(path, Buffer.concat(damaged.map((part) => Buffer.from(part))));
  const history = History.open(path);
  assert.equal(history.lines, ["get a", "get b", "get c"]);
  history.add("get d");
  assert.is(readFileSync(path, "utf8"), "get a\nget b\nget c\nget d\n");
});

test("of a huge file the end is kept", ({ path }) => {
  writeFileSync(path, `${"x".repeat(3_000_000)}\nget a\n`);
  assert.equal(History.open(path).lines, ["get a"]);
});

test("a directory in its place costs only the file", ({ path }) => {
  mkdirSync(path);
  const history = History.open(path);
  history.add("get a");
  assert.equal(history.lines, ["get a"]);
});

register.run();
