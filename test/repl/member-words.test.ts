/** The commands about members at the prompt: what they mean, and what is said of wrong ones. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { execute } from "../../repl/execute.ts";
import { MemoryStore } from "./memory-store.ts";

async function said(line: string, store = new MemoryStore()): Promise<string> {
  return (await execute(store, line, { columns: null })).text ?? "";
}

test("members are listed with what is known of each", async () => {
  const text = await said("member list");
  assert.match(text, /member +1, voter, raft 127\.0\.0\.1:63001, http 127\.0\.0\.1:8001\n/);
  assert.match(text, /member +4, learner.*its machine has not come yet\n/);
  assert.match(text, /\(2 members, revision 7\)$/);
  assert.is(await said("member"), text);
});

test("each action asks for its change of the members as they are", async () => {
  const store = new MemoryStore();
  await said("member add 4=127.0.0.1:63004/127.0.0.1:8004", store);
  await said("member promote 4", store);
  await said("member replace 4=[::1]:63004/localhost:8004", store);
  await said("member remove 4", store);
  const kinds = ["add", "promote", "replace", "remove"];
  assert.equal(
    store.calls,
    kinds.map((kind) => `${kind} 4 at now`),
  );
  assert.is(await said("transfer 2", store), "node 2 leads");
  const compacted = "node 1: the log begins at 3, watches can begin behind";
  assert.is(await said("compact 5", store), `${compacted} 5`);
  assert.is(await said("compact", store), `${compacted} 7`);
  assert.match(await said("compact five", store), /a revision is a number from 1 on/);
  assert.match(await said("compact 5 6", store), /too many|6/);
});

for (const line of [
  "member shrink 3",
  "member add",
  "member add 4",
  "member add 4=127.0.0.1:63004",
  "member add 0=a:1/b:2",
  "member add 4294967296=a:1/b:2",
  "member add 4=a:0/b:2",
  "member add 4=a:65536/b:2",
  "member promote",
  "member promote four",
  "member remove 3 4",
  "member list 3",
  "transfer",
  "transfer -1",
  "transfer 1 2",
]) {
  test(`"${line}" is wrong, and nothing is asked`, async () => {
    const store = new MemoryStore();
    assert.match(await said(line, store), /^error: .*column \d+ \(/);
    assert.equal(store.calls, []);
  });
}

test("a change that failed says what became of it", async () => {
  const store = new MemoryStore();
  store.failure = { ok: false, code: "conflict", detail: "no", outcome: "not_applied" };
  assert.is(await said("member remove 3", store), "error: no; nothing was changed");
  store.failure = { ok: false, code: "timeout", detail: "no", outcome: "unknown" };
  assert.match(await said("transfer 3", store), /; it may have happened: member list and status/);
});

test.run();
