/** What `kv --help` says of single commands, where the words alone would mislead. */

import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { helpText } from "../../cmd/commands.ts";

test("touch says that its time is needed, in either place", () => {
  assert.match(helpText("touch"), /a word, or --ttl; one of them is needed/);
});

test("a read that waits, and a transaction to be done once, have their flags", () => {
  assert.match(helpText("get"), /--wait <TIME>.*\n.*--after <REVISION>/);
  assert.match(helpText("txn"), /--idempotency-key <KEY>/);
});

test("the README knows every flag of a node, and every command", () => {
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const help = helpText("");
  const flags = [...help.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map(([, flag = ""]) => flag);
  const [, listed = ""] = /Commands:\n((?: {2}.*\n)+)/.exec(help) ?? [];
  const words = [...listed.matchAll(/^ {2}([a-z]+)/gm)].map(([, word = ""]) => word);
  assert.ok(
    flags.length > 15 && words.length > 20,
    `${flags.length} flags, ${words.length} commands`,
  );
  const unknown = [
    ...flags.filter((flag) => !new RegExp(`${flag}(?![a-z-])`).test(readme)),
    ...words.filter((word) => !new RegExp(`\\b${word}\\b`).test(readme)),
  ];
  assert.equal(unknown, []);
});

test.run();
