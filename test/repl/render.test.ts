/** What values and answers look like, and that no byte of theirs can drive a terminal. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  renderDelete,
  renderFailure,
  renderGet,
  renderList,
  renderPut,
  renderStatus,
} from "../../repl/answers.ts";
import { parseLine } from "../../repl/parser.ts";
import {
  listedValueLengthMax,
  renderKey,
  renderListedValue,
  renderValue,
} from "../../repl/render.ts";
import type { Row } from "../../server/state-machine/command.ts";
import { index } from "../../server/raft/entry.ts";
import { exampleStatus } from "./memory-store.ts";

const encoder = new TextEncoder();
const bytes = (value: string): Uint8Array => encoder.encode(value);
// oxlint-disable-next-line no-control-regex
const unsafe = /[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\u200e\u200f\ufeff]/;

const shown: [value: string, form: string][] = [
  ["hello", "hello"],
  ["hello world", "hello world"],
  ['{"a": "b\\n"}', '{"a": "b\\n"}'],
  ["日本語 é 👨‍👩‍👧", "日本語 é 👨‍👩‍👧"],
  ['say "hi"', 'say "hi"'],
  ['"text"', '"text"'],
  ["", '""'],
  [" a", '" a"'],
  ["a\n", '"a\\n"'],
  ["a\rb\tc", '"a\\rb\\tc"'],
  ["\x1b[31m\\", '"\\x1b[31m\\\\"'],
  ["a\u202eb\u0085\ufeff", '"a\\u{202e}b\\u{85}\\u{feff}"'],
  ["not found", '"not found"'],
  ["error: no", '"error: no"'],
  ['"a\\n"', '"\\"a\\\\n\\""'],
  ['""', '"\\"\\""'],
];

for (const [value, form] of shown) {
  test(`the value ${JSON.stringify(value)} is shown as ${form}`, () => {
    assert.is(renderValue(bytes(value)), form);
  });
}

const broken: [value: number[], form: string][] = [
  [[0xff, 0x61, 0xfe], '"\\xffa\\xfe"'],
  [[0xc3, 0xa9, 0xc3], '"é\\xc3"'],
  [[0xc0, 0x80], '"\\xc0\\x80"'],
  [[0xed, 0xa0, 0x80], '"\\xed\\xa0\\x80"'],
  [[0xf4, 0x90, 0x80, 0x80], '"\\xf4\\x90\\x80\\x80"'],
  [[0xe2, 0x82, 0x61], '"\\xe2\\x82a"'],
];

for (const [value, form] of broken) {
  test(`the bytes ${value.join(" ")} are shown as ${form}`, () => {
    assert.is(renderValue(Uint8Array.from(value)), form);
  });
}

/** A generator of 32-bit numbers (xorshift), so that a failure comes again. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

const pieces = ['"', "\\", "'", " ", "\n", "\x1b", "é", "😀", "\u202e", "a", "error: ", "\ufeff"];

function randomBytes(next: () => number): Uint8Array {
  const parts: number[] = [];
  for (let count = next() % 12; count > 0; count--) {
    if (next() % 3 === 0) parts.push(next() % 256);
    else parts.push(...bytes(pieces[next() % pieces.length] ?? ""));
  }
  return Uint8Array.from(parts);
}

function putBack(form: string): Uint8Array | null {
  const parsed = parseLine(`put k ${form}`);
  return parsed.ok && parsed.command?.name === "put" ? parsed.command.value : null;
}

test("a quoted form read back by put gives the same bytes, and all others are the text itself", () => {
  const next = numbers(0x5eed);
  for (let round = 0; round < 5_000; round++) {
    const value = randomBytes(next);
    const form = renderValue(value);
    assert.not.match(form, unsafe);
    const isText = Buffer.from(form).equals(value);
    if (!isText) assert.equal(putBack(form), value, form);
  }
});

test("different values never look the same", () => {
  const next = numbers(0xcafe);
  const seen = new Map<string, string>();
  for (let round = 0; round < 20_000; round++) {
    const value = randomBytes(next);
    const hex = Buffer.from(value).toString("hex");
    const form = renderValue(value);
    assert.is(seen.get(form) ?? hex, hex, form);
    seen.set(form, hex);
  }
});

test("a key read back as a word gives the same key", () => {
  for (const key of ["a", "a b", 'a"b', "it's", "a\\b", "\x1b[2J", "-x", "日本", "a\u00a0b"]) {
    const parsed = parseLine(`get ${renderKey(key)}`);
    assert.equal(parsed.ok && parsed.command, { name: "get", key, options: {} });
    assert.not.match(renderKey(key), unsafe);
  }
});

test("a long value is cut in a listing and its size is given", () => {
  const listed = renderListedValue(bytes("x".repeat(100_000)));
  assert.is(listed, `${"x".repeat(listedValueLengthMax)}… (100000 bytes)`);
});

test("a long value of characters of two units is cut in a listing as well", () => {
  const line = renderListedValue(bytes("😀".repeat(1_000)));
  assert.is(line, `${"😀".repeat(listedValueLengthMax)}… (4000 bytes)`);
});

test("a long value of escape codes is cut in a listing and escaped", () => {
  const listed = renderListedValue(bytes("\x1b[2J".repeat(1_000)));
  assert.not.match(listed, unsafe);
  assert.ok(listed.length < 1_000);
});

const row = (key: string, value: string): Row => ({
  key,
  value: bytes(value),
  contentType: null,
  revision: index(1),
  createRevision: index(1),
});

test("answers to writes give the revision", () => {
  assert.is(renderPut({ ok: true, created: true, revision: index(7) }), "created, revision 7");
  assert.is(renderPut({ ok: true, created: false, revision: index(8) }), "replaced, revision 8");
  assert.is(renderDelete({ ok: true, deleted: 1, revision: index(9) }), "deleted, revision 9");
  assert.is(renderDelete({ ok: true, deleted: 0, revision: index(9) }), "not found");
});

test("a get without a row says not found", () => {
  assert.is(renderGet({ ok: true, level: "linearizable", row: null }), "not found");
});

test("a listing shows rows, the count, and that more follow", () => {
  const rows = [row("a b", "1"), row("c", "x\x1by")];
  const common = { ok: true, level: "linearizable", revision: index(1) } as const;
  const meta = { ...common, prefixes: [], last: "c" };
  assert.is(
    renderList({ ...meta, rows, more: false }, { columns: null }),
    '"a b" = 1\nc = "x\\x1by"\n(2 keys)',
  );
  assert.match(
    renderList({ ...meta, rows, more: true }, { columns: null }),
    /\(2 keys, and more follow: --after c\)$/,
  );
});

test("on a terminal a long key of a listing takes half a row, elsewhere it is whole", () => {
  const key = "k".repeat(2_048);
  const common = { ok: true, level: "linearizable", revision: index(1), more: false } as const;
  const answer = { ...common, prefixes: [], last: null };
  const rows = [row(key, "v"), row("日".repeat(100), "v")];
  const [first, second] = renderList({ ...answer, rows }, { columns: 80 }).split("\n");
  assert.is(first, `${"k".repeat(39)}… = v`);
  assert.is(second, `${"日".repeat(19)}… = v`);
  assert.ok(renderList({ ...answer, rows }, { columns: null }).startsWith(`${key} = v\n`));
});

test("a failed write says what became of it", () => {
  const failure = { ok: false, code: "timeout", detail: "no answer in 5 s." } as const;
  assert.match(
    renderFailure({ ...failure, outcome: "unknown" }),
    /^error: no answer in 5 s; the write may have happened$/,
  );
  assert.match(renderFailure({ ...failure, outcome: "not_applied" }), /; nothing was written$/);
  assert.not.match(renderFailure(failure), /writ/);
});

test("an error's detail cannot drive the terminal", () => {
  const text = renderFailure({ ok: false, code: "internal", detail: "a\x1b[2Jb\nc" });
  assert.is(text, "error: a\\x1b[2Jb\\nc");
});

test("the status names role, leader, log and members", () => {
  const text = renderStatus({ ok: true, status: exampleStatus });
  assert.match(text, /1, leader in term 3/);
  assert.match(text, /applied +8 of 9/);
  assert.match(text, /member +2, voter, .*not connected, has entries to 7/);
  assert.match(text, /disk +1024 MiB free$/m);
  const low = { ...exampleStatus, disk: { freeBytes: 3 << 20, state: "low" } } as const;
  assert.match(renderStatus({ ok: true, status: low }), /disk +3 MiB free: .*refuses writes$/m);
});

test.run();
