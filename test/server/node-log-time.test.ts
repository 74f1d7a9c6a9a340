/** The log's time where its entries are gone, and a snapshot stands for them. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { must } from "../../server/raft/assert.ts";
import { awaitEqual, cluster, lagging, other, write } from "./snapshot-scene.ts";

test("log time does not go back with a leader whose log is empty and whose clock is behind", () => {
  const nodes = cluster();
  nodes.time.wallOffsetMs = 1_000_000;
  const down = lagging(nodes);
  nodes.start(down);
  awaitEqual(nodes);
  const { appliedTimeMs } = nodes.host(down).machine.applied;
  assert.ok(appliedTimeMs >= 1_000_000);
  const { firstLogIndex, lastLogIndex } = nodes.node(down);
  assert.is(firstLogIndex, lastLogIndex + 1, "its log is empty");
  nodes.time.wallOffsetMs = 0;
  // Straight to the one with the empty log: the third would write an entry before it.
  const leader = nodes.awaitLeader();
  nodes.crash(other(nodes, leader, down));
  nodes.node(leader).handOver();
  nodes.time.until(() => nodes.leader === down, 5_000);
  write(nodes, 1, "after");
  assert.ok(nodes.host(down).machine.applied.appliedTimeMs >= appliedTimeMs);
});

test("who was sent a snapshot leads by the clock that made it, and lets nothing go early", () => {
  const nodes = cluster();
  write(nodes, 10);
  const cutOff = other(nodes, nodes.awaitLeader());
  nodes.onMessage = (from, to) => (from === cutOff || to === cutOff ? 0 : 1);
  // The log's time stands still while the others are down; who is cut off still counts.
  const others = nodes.ids.filter((id) => id !== cutOff);
  for (const id of others) nodes.crash(id);
  nodes.time.run(10_000);
  for (const id of others) nodes.start(id);
  nodes.time.until(() => others.some((id) => nodes.node(id).leadership.role === "leader"), 10_000);
  const written = nodes.time.nowMs;
  for (let i = 0; i < 250; i++) {
    const call = nodes.put(must(nodes.leader, "one leads"), "k", `${i} ${"x".repeat(40)}`);
    nodes.time.until(() => call.answer !== null, 5_000);
  }
  nodes.onMessage = () => 1;
  awaitEqual(nodes);
  assert.ok(nodes.node(cutOff).firstLogIndex > 20, "it was sent a snapshot");
  const { appliedTimeMs } = nodes.host(cutOff).machine.applied;
  const leader = nodes.awaitLeader();
  nodes.crash(other(nodes, leader, cutOff));
  nodes.node(leader).handOver();
  nodes.time.until(() => nodes.leader === cutOff, 5_000);
  write(nodes, 1, "after");
  const passed = nodes.host(cutOff).machine.applied.appliedTimeMs - appliedTimeMs;
  assert.ok(passed <= nodes.time.nowMs - written, `${passed} ms have passed`);
});

test.run();
