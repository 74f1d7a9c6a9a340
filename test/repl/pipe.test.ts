/** Commands through a pipe. */

import { PassThrough } from "node:stream";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { LineSplitter } from "../../repl/line-splitter.ts";
import { runPipe } from "../../repl/repl.ts";
import { lineBytesMax } from "../../repl/words.ts";
import { MemoryStore } from "./memory-store.ts";

interface Ran {
  readonly how: string;
  readonly lines: string[];
  readonly store: MemoryStore;
}

async function run(...chunks: (string | Uint8Array)[]): Promise<Ran> {
  const store = new MemoryStore();
  const output = new PassThrough({ highWaterMark: 2 ** 30 });
  async function* input(): AsyncGenerator<Uint8Array> {
    for (const chunk of chunks) yield Buffer.from(chunk);
  }
  const how = await runPipe({ store, input: input(), output });
  output.end();
  const text = Buffer.concat(await output.toArray()).toString();
  return { how, store, lines: text.split("\n").slice(0, -1) };
}

test("lines run one after another and their answers are printed without prompt or echo", async () => {
  const { how, lines } = await run("put a 1\nget a\ndel a\nget a\n");
  assert.is(how, "end");
  assert.equal(lines, ["created, revision 1", "1", "deleted, revision 2", "not found"]);
});

test("a last line without a newline is executed", async () => {
  const { store } = await run("put a 1\nput b 2");
  assert.equal([...store.values.keys()], ["a", "b"]);
});

test("lines may be cut anywhere, inside a character too", async () => {
  const bytes = Buffer.from("put é 日本\r\nget é\r\n");
  const { lines } = await run(...Array.from(bytes, (byte) => Uint8Array.of(byte)));
  assert.equal(lines, ["created, revision 1", "日本"]);
});

test("a line in error is answered and the next one runs", async () => {
  const { lines, store } = await run("frob\nput a b c\n\nput d 1\n");
  assert.match(lines[0] ?? "", /^error: there is no command frob/);
  assert.match(lines[1] ?? "", /^error: .*quotes/);
  assert.is(lines[2], "created, revision 1");
  assert.equal([...store.values.keys()], ["d"]);
});

test("exit leaves the rest unread", async () => {
  const { how, store } = await run("put a 1\nexit\nput b 1\n");
  assert.is(how, "exit");
  assert.equal([...store.values.keys()], ["a"]);
});

test("a megabyte of garbage is one short error", async () => {
  const { lines } = await run("x".repeat(1_000_000), "\nput a 1\n");
  assert.ok((lines[0] ?? "").length < 200);
  assert.is(lines[1], "created, revision 1");
});

test("of an endless line nothing is kept, and the next line runs", async () => {
  const chunk = new Uint8Array(1_000_000).fill(0x78);
  const { lines } = await run(...Array.from({ length: 20 }, () => chunk), "\nput a 1\n");
  assert.equal(lines.length, 2);
  assert.match(lines[0] ?? "", new RegExp(`longer than ${lineBytesMax} bytes`));
  assert.is(lines[1], "created, revision 1");
});

test("the splitter itself gives a line up as soon as it is too long", () => {
  const splitter = new LineSplitter();
  const chunk = new Uint8Array(lineBytesMax);
  assert.equal([...splitter.push(chunk)], []);
  assert.equal([...splitter.push(Uint8Array.of(0x78, 0x0a))], [{ ok: false, reason: "tooLong" }]);
});

test("a line that is no text is refused and not stored otherwise than sent", async () => {
  const { lines, store } = await run("put a ", Uint8Array.of(0xff, 0x0a));
  assert.match(lines[0] ?? "", /not valid UTF-8/);
  assert.is(store.rows.size, 0);
});

test("a value of several lines and escape codes is one escaped line", async () => {
  const { lines } = await run('put a "1\\n\\x1b[2J"\nget a\n');
  assert.is(lines[1], '"1\\n\\x1b[2J"');
});

test("when nobody reads the answers the lines still run", async () => {
  const store = new MemoryStore();
  const output = new PassThrough();
  output.destroy(new Error("broken pipe"));
  async function* input(): AsyncGenerator<Uint8Array> {
    for (let count = 0; count < 5_000; count++) yield Buffer.from(`put k${count} v\n`);
  }
  assert.is(await runPipe({ store, input: input(), output }), "end");
  assert.is(store.rows.size, 5_000);
});

test("an output that throws costs the answers, and the lines still run", async () => {
  const store = new MemoryStore();
  async function* input(): AsyncGenerator<Uint8Array> {
    yield Buffer.from("put a 1\nput b 2\n");
  }
  const output = new PassThrough();
  output.write = () => {
    throw new Error("no space left");
  };
  assert.is(await runPipe({ store, input: input(), output }), "end");
  assert.equal([...store.values.keys()], ["a", "b"]);
});

test.run();
