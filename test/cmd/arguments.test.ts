/** Words of the command line: what is a flag, what is a word, and what is refused. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  LiteralArguments,
  refuseBrokenText,
  UsageError,
  type KnownFlags,
} from "../../cmd/arguments.ts";

const flags: KnownFlags = {
  values: new Set(["data-dir", "output"]),
  bare: new Set(["no-repl", "help"]),
  short: new Map([
    ["o", "output"],
    ["h", "help"],
  ]),
};

/** What cac is given, with the texts put back. */
function given(...words: string[]): string[] {
  const literal = new LiteralArguments(words, flags);
  return literal.argv.map((word) => {
    const [, name = "", value = word] = /^(--[a-z-]+=)([\s\S]*)$/.exec(word) ?? [];
    return name + literal.text(value);
  });
}

function refusal(...words: string[]): string {
  try {
    given(...words);
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  throw new Error(`${words.join(" ")} was taken`);
}

test("values are what was typed, however they look", () => {
  assert.equal(given("--data-dir", "0123"), ["--data-dir=0123"]);
  assert.equal(given("--data-dir=--help"), ["--data-dir=--help"]);
  assert.equal(given("-o", "json"), ["--output=json"]);
  assert.equal(given("-ojson"), ["--output=json"]);
  assert.equal(given("-o=json"), ["--output=json"]);
});

test("a negative number and a dash alone are words", () => {
  assert.equal(given("put", "k", "-5"), ["put", "k", "-5"]);
  assert.equal(given("put", "-.5", "-"), ["put", "-.5", "-"]);
});

test("after two dashes every word is a word", () => {
  assert.equal(given("put", "--", "--help", "-x"), ["put", "--help", "-x"]);
});

test("an unknown flag is named as it was typed, with the way to a word that begins with a dash", () => {
  for (const word of ["-x", "-xyz", "--bogus", "--bogus=3", "--repl", "--noRepl", "--dataDir"]) {
    const told = refusal("put", "k", word);
    assert.ok(told.startsWith(`unknown flag ${word.split("=")[0]};`), told);
    assert.match(told, /after -- every word/);
  }
});

test("a flag without a value is refused one, and one with a value may be given once", () => {
  assert.is(refusal("--no-repl=foo"), "--no-repl=foo: --no-repl takes no value");
  assert.is(refusal("-hv"), "-hv: --help takes no value");
  assert.is(refusal("-o", "json", "--output", "text"), "--output is given twice; give it once");
  assert.is(refusal("--data-dir"), "--data-dir needs a value after it");
});

/** A command line as the system has it: bytes, and NUL behind every word. */
function commandLine(...words: (string | number[])[]): Uint8Array {
  return Buffer.concat(words.flatMap((word) => [Buffer.from(word as string), Buffer.of(0)]));
}

test("a word whose bytes are no UTF-8 is refused", () => {
  const raw = commandLine("node", "kv.ts", "put", [0x61, 0xff], "v");
  assert.throws(
    () => refuseBrokenText(["put", "a\ufffd", "v"], raw),
    (error: unknown) => error instanceof UsageError && error.message.startsWith('"a\ufffd" is not'),
  );
});

test("U+FFFD itself is text like any other", () => {
  refuseBrokenText(["put", "a\ufffd", ""], commandLine("kv", "put", "a\ufffd", ""));
  refuseBrokenText(["put", "a\ufffd"], null);
});

test.run();
