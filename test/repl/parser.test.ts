/** What lines mean at the prompt, and what is said about those that mean nothing. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseLine } from "../../repl/parser.ts";
import type { Problem } from "../../repl/words.ts";
import { lineBytesMax } from "../../repl/words.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

function commandOf(line: string): unknown {
  const parsed = parseLine(line);
  assert.ok(parsed.ok, `${line}: ${parsed.ok ? "" : parsed.detail}`);
  return parsed.ok ? parsed.command : null;
}

function problemOf(line: string): Problem {
  const parsed = parseLine(line);
  if (parsed.ok) throw new Error(`this line is no error: ${line}`);
  return parsed;
}

const puts: [line: string, key: string, value: string][] = [
  ["put k v", "k", "v"],
  ["  put\tk   v  ", "k", "v"],
  ['put k ""', "k", ""],
  ["put k ''", "k", ""],
  ['put k "a b"', "k", "a b"],
  ["put k 'a \"b\" \\n'", "k", 'a "b" \\n'],
  ['put k a" b "c', "k", "a b c"],
  ["put k it\\'s", "k", "it's"],
  ["put k a\\ b", "k", "a b"],
  ["put k \\😀", "k", "😀"],
  ['put k "\\n\\t\\r\\\\\\"\\x41\\u{1f600}"', "k", '\n\t\r\\"A😀'],
  ['put k "\\$\\\'"', "k", "$'"],
  ["put -k --value", "-k", "--value"],
  ["put k #v", "k", "#v"],
  ["put k {}", "k", "{}"],
  ["put __proto__ constructor", "__proto__", "constructor"],
  ["put k \ufeffv", "k", "\ufeffv"],
];

for (const [line, key, value] of puts) {
  test(`${JSON.stringify(line)} is a put`, () => {
    assert.equal(commandOf(line), { name: "put", key, value: text(value), options: {} });
  });
}

test("\\xHH writes bytes that are no text", () => {
  const value = Uint8Array.from([0xff, 0x00, 0x61]);
  const put = { name: "put", key: "k", value, options: {} };
  assert.equal(commandOf('put k "\\xff\\x00a"'), put);
});

const others: [line: string, command: unknown][] = [
  ["", null],
  [" \t ", null],
  ["get k", { name: "get", key: "k", options: {} }],
  ['del "a b"', { name: "del", key: "a b", options: {} }],
  ["list", { name: "list", options: { prefix: "" } }],
  ["list user/", { name: "list", options: { prefix: "user/" } }],
  ["list --x", { name: "list", options: { prefix: "--x" } }],
  [
    "get k --max-stale 2s",
    { name: "get", key: "k", options: { level: "local", maxStaleMs: 2_000 } },
  ],
  ["get k --level=lease", { name: "get", key: "k", options: { level: "linearizable" } }],
  ["watch --key k --prev", { name: "watch", options: { key: "k", before: true } }],
  ["watch --since 7 a", { name: "watch", options: { prefix: "a", since: 7 } }],
  ["status", { name: "status" }],
  ["help", { name: "help", command: null }],
  ["help put", { name: "help", command: "put" }],
  ["exit", { name: "exit" }],
  ["quit", { name: "exit" }],
];

for (const [line, command] of others) {
  test(`${JSON.stringify(line)} is understood`, () => {
    assert.equal(commandOf(line), command);
  });
}

const wrongs: [line: string, column: number, says: RegExp][] = [
  ["put", 4, /needs a key and a value/],
  ["put k", 6, /needs a value/],
  ["put k a b", 9, /nothing was stored.*quotes/s],
  ["put k a b c d 'e", 15, /quote/],
  ["put k v --if-match 1 --if-match 2", 22, /twice/],
  ["get k --level", 7, /needs a value.*--level LEVEL/],
  ["list --reverse=1", 6, /takes no value/],
  ["list a --limit 10001", 8, /no value of --limit.*10000/],
  ["get k --limit 1", 7, /no flag --limit.*--level/],
  ["watch a --key b", 7, /does not go with --key/],
  ['put "" v', 5, /cannot be empty/],
  ['put k "v', 7, /double quote is never closed/],
  ['put k "v\\"', 7, /double quote is never closed/],
  ['put k "v\\', 7, /double quote is never closed/],
  ["put k 'v", 7, /single quote is never closed/],
  ["put k v\\", 8, /ends with a backslash/],
  ['put k "\\q"', 8, /no escape/],
  ['put k "\\x4"', 8, /two hexadecimal digits/],
  ['put k "\\u{110000}"', 8, /code point/],
  ['put k "\\u{d800}"', 8, /code point/],
  ['put k "\\u0041"', 8, /code point/],
  ['get "\\xff"', 5, /not valid UTF-8/],
  ['get "a\\x00"', 5, /NUL/],
  [`get ${"k".repeat(2049)}`, 5, /2049 bytes.*2048/],
  ["get", 4, /needs a key/],
  ["get a b", 7, /one too many/],
  ["status now", 8, /takes no words/],
  ["help me", 6, /no such command/],
  ["pt k v", 1, /did you mean put/],
  ["PUT k v", 1, /did you mean put/],
  ["delete k", 1, /did you mean del/],
  ["backup f", 1, /in a shell: kv backup --help/],
  ["liat", 1, /did you mean list/],
  ["frobnicate", 1, /help lists the commands/],
  ["😀 k", 1, /no command/],
  ['put 😀 "v', 7, /never closed/],
];

for (const [line, column, says] of wrongs) {
  test(`${JSON.stringify(line.slice(0, 30))} is an error at column ${column}`, () => {
    const problem = problemOf(line);
    assert.is(problem.column, column);
    assert.match(`${problem.detail} ${problem.advice}`, says);
  });
}

test("a key of exactly 2048 bytes is taken", () => {
  const key = "é".repeat(1024);
  assert.equal(commandOf(`get ${key}`), { name: "get", key, options: {} });
});

test("a value of exactly the greatest size is taken, with every byte escaped", () => {
  const parsed = parseLine(`put k "${"\\x00".repeat(1_048_576)}"`);
  assert.ok(parsed.ok && parsed.command?.name === "put");
  assert.is(parsed.ok && parsed.command?.name === "put" && parsed.command.value.length, 1_048_576);
});

test("a value of one byte more is refused with its size", () => {
  assert.match(problemOf(`put k ${"v".repeat(1_048_577)}`).detail, /1048577 bytes.*1048576/);
});

test("a megabyte of garbage is one short error", () => {
  for (const garbage of ["x", "x ", '"', "\\", "'a' ", "😀"]) {
    const problem = problemOf(garbage.repeat(1_000_000 / garbage.length));
    assert.ok(problem.detail.length + problem.advice.length < 200, problem.detail);
  }
});

test("a line over the maximum is refused as a whole", () => {
  assert.is(problemOf(`put k ${"v".repeat(lineBytesMax)}`).column, null);
});

test.run();
