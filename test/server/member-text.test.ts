/** Members as people write them, and which addresses may come into the log. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { addLearner } from "../../server/member-change.ts";
import { isAddressText, parseAddressText } from "../../server/member-text.ts";
import { nodeId } from "../../server/raft/entry.ts";
import { membersOf } from "../raft/message-text.ts";

test("an address is a name, an IPv4 address or a bracketed IPv6 address, and a port", () => {
  assert.equal(parseAddressText("db-1.example:63001"), { host: "db-1.example", port: 63_001 });
  assert.equal(parseAddressText("[::1]:1"), { host: "::1", port: 1 });
  assert.ok(isAddressText("[fe80::a:b]:65535"));
  assert.ok(isAddressText(`${"a".repeat(253)}:80`));
});

for (const text of [
  "[::::]:1000",
  "[:]:1",
  "[]:1",
  "[1.2.3.4]:1",
  "::1:80",
  "a",
  "a:",
  ":80",
  "a:0",
  "a:080",
  "a:65536",
  "a b:1",
  "a,b:1",
  "\u0001:1",
  "名前:1",
  `${"a".repeat(254)}:80`,
]) {
  test(`${JSON.stringify(text)} is no address`, () => {
    assert.is(parseAddressText(text), null);
  });
}

test("no member comes with an address that is none, or that is in use, for peers or for HTTP", () => {
  const before = membersOf("1,2");
  const add = (raft: string, http: string): boolean =>
    addLearner(before, { id: nodeId(3), role: "learner", raft, http, incarnation: "" }).ok;
  assert.ok(add("node-3:1", "node-3:2"));
  assert.not(add("[::::]:1", "node-3:2"));
  assert.not(add("node-3:1", "\u0001:2"));
  assert.not(add("node-3:1", "node-3:1"));
  assert.not(add("node-1:2", "node-3:2"), "that is where node 1 listens for HTTP");
  assert.not(add("node-3:1", "NODE-2:1"));
});

test.run();
