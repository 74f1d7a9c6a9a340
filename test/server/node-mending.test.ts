/** Nodes whose files are damaged between two lives: they come back whole, and nothing is lost. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { defaultLimits } from "../../server/limits.ts";
import { must } from "../../server/raft/assert.ts";
import type { NodeId } from "../../server/raft/entry.ts";
import { DiskError } from "../../storage/disk.ts";
import { SimulatedNodes } from "./simulated-nodes.ts";

const logDirectory = "group/log";

function others(nodes: SimulatedNodes, id: NodeId): [NodeId, NodeId] {
  const [a, b] = nodes.ids.filter((other) => other !== id);
  return [must(a, "there are three"), must(b, "there are three")];
}

function put(nodes: SimulatedNodes, id: NodeId, key: string): void {
  const call = nodes.put(id, key, `value of ${key}`);
  nodes.time.until(() => call.answer !== null, 2_000);
  assert.ok(call.answer?.ok, `${key} is written`);
}

function assertReads(nodes: SimulatedNodes, id: NodeId, key: string): void {
  const read = nodes.get(id, key);
  nodes.time.until(() => read.answer !== null, 3_000);
  assert.is(read.answer, `value of ${key}`);
}

const isMending = (nodes: SimulatedNodes, id: NodeId): boolean => nodes.node(id).mending !== null;

/** Damages a byte at so many parts of the used bytes of the newest file of the log. */
function damageLog(nodes: SimulatedNodes, id: NodeId, part: number): void {
  const { disk } = nodes.host(id);
  const name = must(disk.list(logDirectory).at(-1), "there is a log");
  disk.edit(`${logDirectory}/${name}`, (bytes) => {
    const used = bytes.findLastIndex((byte) => byte !== 0);
    const at = Math.floor(used * part);
    bytes[at] = (bytes[at] ?? 0) ^ 0x10;
  });
}

/** The state machine is as old as it may be: everything is to be applied from the log. */
function forgetApplied(nodes: SimulatedNodes, id: NodeId): void {
  nodes.host(id).machine.wipe();
}

test("a node with a damaged log is refilled while the others serve, and votes again", () => {
  for (const isStateOld of [false, true]) {
    const nodes = new SimulatedNodes({ count: 3 });
    const leader = nodes.awaitLeader();
    const [damaged, other] = others(nodes, leader);
    for (let i = 0; i < 20; i++) put(nodes, leader, `k${i}`);
    nodes.crash(damaged);
    damageLog(nodes, damaged, 0.5);
    if (isStateOld) forgetApplied(nodes, damaged);
    nodes.start(damaged);
    assert.ok(isMending(nodes, damaged));
    put(nodes, other, "meanwhile");
    nodes.time.until(() => !isMending(nodes, damaged), 3_000);
    // Only with its vote is there a leader now.
    nodes.crash(leader);
    nodes.time.until(() => nodes.leader !== null, 10_000);
    for (let i = 0; i < 20; i++) assertReads(nodes, damaged, `k${i}`);
    assertReads(nodes, damaged, "meanwhile");
  }
});

test("a leader whose log is damaged comes back as a follower", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  for (let i = 0; i < 20; i++) put(nodes, leader, `k${i}`);
  nodes.crash(leader);
  damageLog(nodes, leader, 0.3);
  nodes.start(leader);
  nodes.time.until(() => nodes.leader !== null, 10_000);
  assert.is.not(nodes.leader, leader);
  nodes.time.until(() => !isMending(nodes, leader), 3_000);
  assertReads(nodes, leader, "k19");
});

test("a write that one other node has survives damage on the second and the leader's absence", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const [damaged, absent] = others(nodes, leader);
  nodes.crash(absent);
  put(nodes, leader, "acknowledged");
  nodes.crash(leader);
  nodes.crash(damaged);
  damageLog(nodes, damaged, 0.9);
  forgetApplied(nodes, damaged);
  nodes.start(damaged);
  nodes.start(absent);
  nodes.time.run(20_000);
  assert.is(nodes.leader, null);
  assert.ok(isMending(nodes, damaged));
  nodes.start(leader);
  nodes.time.until(() => nodes.leader !== null && !isMending(nodes, damaged), 20_000);
  for (const id of nodes.ids) assertReads(nodes, id, "acknowledged");
});

test("with all logs damaged nobody leads, and nothing is invented", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  put(nodes, leader, "k");
  nodes.time.run(500);
  for (const id of nodes.ids) {
    nodes.crash(id);
    damageLog(nodes, id, 0.9);
  }
  for (const id of nodes.ids) nodes.start(id);
  nodes.time.run(20_000);
  assert.is(nodes.leader, null);
  for (const id of nodes.ids) assert.ok(isMending(nodes, id));
});

test("a restart in the middle of the mending goes on with it", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const [damaged] = others(nodes, leader);
  for (let i = 0; i < 20; i++) put(nodes, leader, `k${i}`);
  nodes.crash(damaged);
  damageLog(nodes, damaged, 0.5);
  forgetApplied(nodes, damaged);
  nodes.onMessage = (_, to) => (to === damaged ? 0 : 1);
  for (let life = 0; life < 3; life++) {
    nodes.start(damaged);
    assert.ok(isMending(nodes, damaged));
    nodes.time.run(2_000);
    nodes.crash(damaged);
  }
  nodes.onMessage = () => 1;
  nodes.start(damaged);
  nodes.time.until(() => !isMending(nodes, damaged), 5_000);
  assertReads(nodes, damaged, "k19");
});

test("a node that lost the end of its log without noticing is refilled too", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const [poor] = others(nodes, leader);
  const { disk } = nodes.host(poor);
  const path = `${logDirectory}/${must(disk.list(logDirectory)[0], "a file")}`;
  const before = disk.bytes(path).slice();
  for (let i = 0; i < 5; i++) put(nodes, leader, `k${i}`);
  nodes.time.run(500);
  nodes.crash(poor);
  disk.edit(path, () => before);
  forgetApplied(nodes, poor);
  nodes.start(poor);
  assert.not.ok(isMending(nodes, poor));
  nodes.time.until(() => isMending(nodes, poor), 1_000);
  nodes.time.until(() => !isMending(nodes, poor), 3_000);
  assertReads(nodes, poor, "k4");
});

test("a loss noticed on a full disk costs the vote at once, and is noted when there is room", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const [poor, other] = others(nodes, leader);
  const host = nodes.host(poor);
  const { disk } = host;
  const path = `${logDirectory}/${must(disk.list(logDirectory)[0], "a file")}`;
  const before = disk.bytes(path).slice();
  for (let i = 0; i < 40; i++) put(nodes, leader, `k${i}`);
  nodes.time.run(500);
  nodes.crash(poor);
  disk.edit(path, () => before);
  forgetApplied(nodes, poor);
  disk.capacityBytes = 1 << 20;
  disk.capacityBytes -= disk.space().freeBytes;
  disk.beforeOperation = (operation, name) => {
    if (operation === "create") throw new DiskError(name, "open", "ENOSPC", "the disk is full");
  };
  nodes.start(poor);
  nodes.time.run(2_000);
  assert.is(host.died, null);
  assert.is(nodes.node(poor).disk.room, "full");
  assert.not(isMending(nodes, poor), "there is no room for the note");
  nodes.crash(leader);
  nodes.time.run(5_000);
  assert.is(nodes.node(other).leadership.role === "leader", false, "there is no vote for it");
  disk.beforeOperation = () => {};
  nodes.time.until(() => isMending(nodes, poor), 2 * defaultLimits.diskCheckMs);
  disk.capacityBytes = Infinity;
  nodes.start(leader);
  nodes.time.until(() => !isMending(nodes, poor), 10_000);
  assert.is(nodes.node(poor).disk.room, "ok");
  assertReads(nodes, poor, "k39");
});

test("a state that was made anew is taken for whole once it has caught up", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const [poor] = others(nodes, leader);
  for (let i = 0; i < 20; i++) put(nodes, leader, `k${i}`);
  nodes.crash(poor);
  nodes.host(poor).stateDamage = "a page is damaged";
  nodes.start(poor);
  assert.ok(nodes.node(poor).mending?.state);
  assert.is(nodes.node(poor).mending?.log, null);
  nodes.time.until(() => !isMending(nodes, poor), 3_000);
  assert.is(nodes.node(poor).appliedIndex, nodes.node(leader).commitIndex);
});

test("a damaged state over a compacted log costs the vote until a snapshot has replaced both", () => {
  const limits = { logEntriesMax: 2, logTailBytesMin: 1, checkpointBytes: 1 };
  const nodes = new SimulatedNodes({ count: 3, limits });
  const leader = nodes.awaitLeader();
  const [poor, other] = others(nodes, leader);
  for (let i = 0; i < 200; i++) put(nodes, leader, `k${i % 20}`);
  nodes.time.run(1_000);
  const { term } = nodes.node(poor).leadership;
  nodes.crash(poor);
  nodes.crash(leader);
  nodes.host(poor).stateDamage = "a page is damaged";
  nodes.start(poor);
  assert.ok(nodes.node(poor).mending?.log && nodes.node(poor).mending?.state);
  assert.ok(nodes.node(poor).leadership.term >= term, "what it knew of terms is left");
  // What it acknowledged is not here: it helps nobody to lead who may lack it as well.
  nodes.time.run(10_000);
  assert.is(nodes.leader, null);
  assert.is(nodes.node(other).leadership.leaderId, null);
  nodes.start(leader);
  nodes.time.until(() => !isMending(nodes, poor), 20_000);
  assertReads(nodes, poor, "k19");
  nodes.crash(leader);
  nodes.time.until(() => nodes.leader !== null, 10_000);
  assertReads(nodes, poor, "k7");
});

test.run();
