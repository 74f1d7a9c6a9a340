/** What a process says when it ends: one line, whatever it has to repeat. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { UsageError } from "../../cmd/arguments.ts";
import { StartError } from "../../cmd/exit.ts";
import { lastWords } from "../../cmd/last-words.ts";
import { DiskError } from "../../storage/disk.ts";

test("a word that was typed can neither break the line nor drive the terminal", () => {
  const typed = "a\nb\x1b[2J\u202e";
  const shown = "a\\nb\\x1b[2J\\u{202e}";
  assert.equal(lastWords(new UsageError(typed)), { line: `kv: ${shown}`, code: 2 });
  assert.equal(lastWords(new StartError(typed)), { line: `kv: ${shown}`, code: 1 });
  const { line } = lastWords(new DiskError(typed, "open", "EIO", "it failed"));
  assert.match(line, /^kv: the disk failed[ -~]*$/);
});

test("a full disk is told apart from one that failed", () => {
  const { line } = lastWords(new DiskError("group/mending-new", "write", "ENOSPC", "no space"));
  assert.match(line, /^kv: the disk is full: .*mending-new.*make room/);
});

test.run();
