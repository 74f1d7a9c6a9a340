/** Counters, ranges and transactions at the prompt; a transaction may take several lines. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Session } from "../../repl/session.ts";
import { MemoryStore } from "./memory-store.ts";

/** For no terminal, and for nobody who gives up. */
const plain = { columns: null };

async function run(
  lines: readonly string[],
  store = new MemoryStore(),
): Promise<(string | null)[]> {
  const session = new Session(store);
  const texts: (string | null)[] = [];
  for (const line of lines) texts.push((await session.execute(line, plain)).text);
  texts.push((await session.end(plain)).text);
  return texts;
}

test("incr counts by one or by so many", async () => {
  assert.equal(await run(["incr c", "incr c 5", "incr c -7"]), ["1", "6", "-1", null]);
  const [odd, many] = await run(["incr c x", "incr c 1 2"]);
  assert.match(String(odd), /^error: .*integer of 64 bits at column 8/);
  assert.match(String(many), /one too many/);
});

test("delrange deletes what begins so, and needs a prefix", async () => {
  const texts = await run(["put a/1 x", "put a/2 x", "put b x", "delrange a/", "list", "delrange"]);
  assert.equal(texts.slice(3, 5), ["deleted 2, revision 4", "b = x\n(1 key)"]);
  assert.match(String(texts[5]), /needs a prefix/);
});

test("a transaction on one line runs at once", async () => {
  const [text] = await run([
    'txn {"then": [{"op": "put", "key": "k", "value": "a { b"}, {"op": "get", "key": "k"}]}',
  ]);
  assert.is(text, "then, revision 1\nput\na { b");
});

test("a transaction goes on over lines until its braces are closed", async () => {
  const lines = [
    "txn",
    '{"if": [{"key": "k", "exists": true}],',
    ' "else": [{"op": "incr",',
    ' "key": "}"}]}',
    "get }",
  ];
  assert.equal(await run(lines), [null, null, null, "else, revision 1\n1", "1", null]);
});

test("an empty line and the end of the input end a transaction that is not whole", async () => {
  const store = new MemoryStore();
  const [, cut, next] = await run(['txn {"then": [', "", "put k v"], store);
  assert.match(String(cut), /^error: this is not JSON/);
  assert.is(next, "created, revision 1");
  assert.match(String((await run(['txn {"then":'])).at(-1)), /^error: this is not JSON/);
});

test("what is wrong in a transaction is named, and nothing is done", async () => {
  const store = new MemoryStore();
  const [unknown, word] = await run(['txn {"then": [{"op": "fly"}]}', "txn fly"], store);
  assert.match(String(unknown), /`then\[0\]\.op` is one of put, get/);
  assert.match(String(word), /^error: this is not JSON/);
  assert.is(store.rows.size, 0);
});

test("a dropped transaction is forgotten", async () => {
  const session = new Session(new MemoryStore());
  await session.execute("txn {", plain);
  assert.is(session.isOpen, true);
  assert.is(session.drop(), true);
  assert.is((await session.execute("get k", plain)).text, "not found");
  assert.is(session.drop(), false);
});

test.run();
