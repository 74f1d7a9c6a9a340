/** What Tab offers. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { completer, completionKeysMax } from "../../repl/completion.ts";
import { commandNames } from "../../repl/help.ts";
import type { ListAnswer } from "../../server/client-port.ts";
import { MemoryStore } from "./memory-store.ts";

function storeWith(...keys: string[]): MemoryStore {
  const store = new MemoryStore();
  for (const key of keys) store.values.set(key, new Uint8Array());
  return store;
}

/** The line after Tab at its end. */
async function completed(store: MemoryStore, before: string): Promise<string> {
  const completion = await completer(store)(before);
  return completion === null ? before : before.slice(0, completion.start) + completion.text;
}

const cases: [name: string, keys: string[], before: string, after: string][] = [
  ["a command's name", [], "sta", "status "],
  ["a command's name after blanks", [], "  pu", "  put "],
  ["a command that another begins with", [], "ge", "get "],
  ["the other one by a letter more", [], "getd", "getdel "],
  ["the topic of help", [], "help ex", "help exit "],
  ["nothing for an unknown command", ["k1"], "frob k", "frob k"],
  ["a key", ["greeting"], "get gr", "get greeting "],
  ["the common beginning of keys", ["user/1", "user/2"], "del u", "del user/"],
  ["a key with blanks, in quotes", ["a key"], "get a", 'get "a key" '],
  ["a key in an open double quote", ["a key"], 'get "a k', 'get "a key" '],
  ["a key in an open single quote", ["a key"], "get 'a k", 'get "a key" '],
  ["a common beginning with blanks, the quote open", ["a b1", "a b2"], "get a", 'get "a b'],
  ["a key with escape codes, escaped", ["\x1b[2J"], "get ", 'get "\\x1b[2J" '],
  ["the common beginning in whole characters", ["😀", "😁"], "get ", "get "],
  ["a prefix for list", ["user/1"], "list us", "list user/1 "],
  ["no value", ["k", "v1"], "put k v", "put k v"],
  ["a key for a counter", ["visits"], "incr v", "incr visits "],
  ["a flag", [], "put k v --if-m", "put k v --if-match "],
  ["a flag in the place of a prefix", ["--k"], "list --rev", "list --reverse "],
  ["a key that looks like a flag where one is needed", ["--k"], "get --", 'get "--k" '],
  ["no flag that is there", [], "list --reverse --rev", "list --reverse --rev"],
  ["a key as a flag's value", ["user/1"], "list --start us", "list --start user/1 "],
  ["no key where a revision is meant", ["k1"], "get k --after ", "get k --after "],
  ["the flags of a read that waits", [], "get k --wa", "get k --wait "],
  ["the flag of a transaction", [], "txn {} --i", "txn {} --idempotency-key "],
  ["a level", [], "get k --level lo", "get k --level local "],
  ["what is done with a lock", [], "lock ac", "lock acquire "],
  ["a flag of what takes flags", [], "lock acquire a --wa", "lock acquire a --wait "],
  ["no flag of what takes none", [], "lock show a --wa", "lock show a --wa"],
  ["a mode", [], ".mode ta", ".mode table "],
  ["a setting", [], ".ti", ".timing "],
];

for (const [name, keys, before, after] of cases) {
  test(`completes ${name}`, async () => {
    assert.is(await completed(storeWith(...keys), before), after);
  });
}

test("an empty line offers every command", async () => {
  const completion = await completer(storeWith())("");
  assert.is(completion?.candidates.length, commandNames.length);
});

test("what can be done with members is offered behind the word", async () => {
  assert.is((await completer(storeWith())("member "))?.candidates.length, 5);
  assert.is(await completed(storeWith(), "member re"), "member re");
  assert.is(await completed(storeWith(), "member rem"), "member remove ");
});

test("nothing is taken for common when not all keys were seen", async () => {
  const keys = Array.from({ length: completionKeysMax + 1 }, (_, number) => `k1${1000 + number}`);
  const completion = await completer(storeWith(...keys))("get k");
  assert.is(completion?.text, "k");
  assert.is(completion?.more, true);
});

test("a store that fails offers nothing", async () => {
  const store = storeWith("k1");
  store.failure = { ok: false, code: "no_leader", detail: "no leader" };
  assert.is(await completed(store, "get k"), "get k");
});

test("a store that does not answer is not waited for", async () => {
  const store = storeWith("k1");
  store.list = () => new Promise<ListAnswer>(() => {});
  const deadline = new AbortController();
  const completion = completer(store, () => deadline.signal)("get k");
  deadline.abort();
  assert.is(await completion, null);
});

test.run();
