/** Disks that fill up under running nodes: nothing ends, nothing is lost, and it goes on by itself. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { defaultLimits } from "../../server/limits.ts";
import type { WriteAnswer } from "../../server/pending-writes.ts";
import { index, nodeId, type NodeId } from "../../server/raft/entry.ts";
import { encodeCommand } from "../../server/state-machine/codec.ts";
import { SimulatedNodes } from "./simulated-nodes.ts";

type Call = { answer: WriteAnswer | null };

const refused: WriteAnswer = { ok: false, error: "noSpace", outcome: "not_applied" };
/** Longer than a disk is looked at, and its word is carried to the leader. */
const reportMs = 2 * defaultLimits.diskCheckMs;
/** Free for one record and no more. */
const crumbs = 100;

const other = (nodes: SimulatedNodes, ...not: NodeId[]): NodeId =>
  nodes.ids.find((id) => !not.includes(id)) ?? nodeId(0);

/** Of `id`'s disk `bytes` stay free. */
function fill(nodes: SimulatedNodes, id: NodeId, bytes: number): void {
  const { disk } = nodes.host(id);
  disk.capacityBytes = 1 << 20;
  disk.capacityBytes -= disk.space().freeBytes - bytes;
}

function empty(nodes: SimulatedNodes, ...ids: NodeId[]): void {
  for (const id of ids) nodes.host(id).disk.capacityBytes = Infinity;
}

function remove(nodes: SimulatedNodes, id: NodeId, key: string): Call {
  const call: Call = { answer: null };
  nodes.node(id).write(encodeCommand({ op: "delete", key }), (answer) => {
    call.answer = answer;
  });
  return call;
}

function answered(nodes: SimulatedNodes, call: Call, limitMs = 1_000): WriteAnswer | null {
  nodes.time.until(() => call.answer !== null, limitMs);
  return call.answer;
}

function read(nodes: SimulatedNodes, id: NodeId, key: string): string | undefined | null {
  const call = nodes.get(id, key);
  nodes.time.until(() => call.answer !== null, 1_000);
  return call.answer;
}

function started(limits: { diskFreeBytesMin?: number; diskReserveBytes?: number } = {}): {
  nodes: SimulatedNodes;
  leader: NodeId;
} {
  const nodes = new SimulatedNodes({ count: 3, limits: { diskFreeBytesMin: 0, ...limits } });
  const leader = nodes.awaitLeader();
  assert.ok(answered(nodes, nodes.put(leader, "a", "1"))?.ok);
  return { nodes, leader };
}

function assertAlive(nodes: SimulatedNodes): void {
  for (const id of nodes.ids) assert.is(nodes.host(id).died, null, `node ${id}`);
}

test("little room on any voter's disk refuses puts on every node; deletes and reads go on", () => {
  for (const poor of ["leader", "follower"]) {
    const { nodes, leader } = started({ diskFreeBytesMin: 1_000 });
    const low = poor === "leader" ? leader : other(nodes, leader);
    fill(nodes, low, 500);
    nodes.time.run(reportMs);
    assert.is(nodes.node(low).disk.room, "low");
    for (const id of nodes.ids) {
      assert.equal(answered(nodes, nodes.put(id, "b", "2")), refused);
      assert.is(read(nodes, id, "a"), "1");
    }
    assert.ok(answered(nodes, remove(nodes, other(nodes, leader, low), "a"))?.ok);
    const { commitIndex } = nodes.node(leader);
    assert.equal(answered(nodes, nodes.put(leader, "b", "2")), refused);
    assert.is(nodes.node(leader).lastLogIndex, commitIndex, "it never entered the log");
    empty(nodes, low);
    nodes.time.run(reportMs + defaultLimits.leaderlessHoldMs);
    assert.ok(answered(nodes, nodes.put(low, "b", "2"))?.ok);
  }
});

test("a voter whose disk is low and that is not heard any more does not stand in the way", () => {
  const { nodes, leader } = started({ diskFreeBytesMin: 1_000 });
  const low = other(nodes, leader);
  fill(nodes, low, 500);
  nodes.time.run(reportMs);
  assert.equal(answered(nodes, nodes.put(leader, "b", "2")), refused);
  nodes.crash(low);
  nodes.time.run(defaultLimits.leaderlessHoldMs);
  assert.ok(answered(nodes, nodes.put(leader, "b", "2"))?.ok);
});

test("a follower's full log acknowledges nothing, and is filled when there is room", () => {
  const { nodes, leader } = started();
  const full = other(nodes, leader);
  const healthy = other(nodes, leader, full);
  fill(nodes, full, crumbs);
  // What the disk refuses is committed by the others, until its word is out.
  assert.ok(answered(nodes, nodes.put(leader, "b", "2".repeat(3_000)))?.ok);
  nodes.time.run(reportMs);
  assert.is(nodes.node(full).disk.room, "full");
  assert.equal(answered(nodes, nodes.put(healthy, "c", "3")), refused);
  assert.equal(answered(nodes, remove(nodes, healthy, "a")), refused);
  nodes.time.run(2_000);
  assert.ok((nodes.node(leader).matchIndex(full) ?? 0) < nodes.node(leader).commitIndex);
  assert.is(read(nodes, leader, "b")?.length, 3_000);
  // Were its acknowledgement taken for granted, the write would be lost with the healthy one.
  nodes.crash(full);
  assert.ok(nodes.host(full).disk.list("group/log").length > 0);
  empty(nodes, full);
  nodes.start(full);
  nodes.time.until(
    () => nodes.node(leader).matchIndex(full) === nodes.node(leader).commitIndex,
    5_000,
  );
  assert.is(read(nodes, full, "b")?.length, 3_000);
  assertAlive(nodes);
});

test("what a leader's full log refused is committed by the others and written when there is room", () => {
  const { nodes, leader } = started();
  fill(nodes, leader, crumbs);
  const call = nodes.put(leader, "b", "2".repeat(3_000));
  nodes.time.run(1_000);
  assert.is(call.answer, null);
  assert.is(nodes.leader, leader);
  assert.equal(answered(nodes, nodes.put(leader, "c", "3")), refused);
  assert.equal(answered(nodes, nodes.put(other(nodes, leader), "c", "3")), refused);
  assert.is(read(nodes, other(nodes, leader), "b")?.length, 3_000);
  empty(nodes, leader);
  assert.ok(answered(nodes, call)?.ok);
  assert.ok(answered(nodes, nodes.put(leader, "c", "3"))?.ok);
  assertAlive(nodes);
});

test("a full database stops applying; what is applied can be read, and it goes on by itself", () => {
  const { nodes, leader } = started();
  const { machine } = nodes.host(leader);
  machine.isFull = true;
  nodes.time.run(reportMs);
  assert.is(nodes.node(leader).disk.room, "full");
  assert.is(read(nodes, leader, "a"), "1");
  for (const id of nodes.ids) assert.equal(answered(nodes, nodes.put(id, "b", "2")), refused);
  machine.isFull = false;
  nodes.time.run(reportMs);
  assert.ok(answered(nodes, nodes.put(leader, "b", "2"))?.ok);
  assertAlive(nodes);
});

test("a checkpoint that found no room is owed, whoever makes the next one", () => {
  const limits = { diskFreeBytesMin: 0, checkpointBytes: 1_000, checkpointIdleMs: 10 };
  const nodes = new SimulatedNodes({ count: 3, limits });
  const leader = nodes.awaitLeader();
  const { machine } = nodes.host(leader);
  const sync = machine.sync.bind(machine);
  machine.sync = () => index(0);
  assert.ok(answered(nodes, nodes.put(leader, "a", "1".repeat(2_000)))?.ok);
  nodes.time.run(reportMs);
  assert.is(nodes.node(leader).disk.room, "full");
  assert.equal(answered(nodes, nodes.put(leader, "b", "2")), refused);
  machine.sync = sync;
  nodes.time.run(reportMs);
  assert.is(nodes.node(leader).disk.room, "ok");
  assert.ok(answered(nodes, nodes.put(leader, "b", "2"))?.ok);
});

test("all disks full: nodes restart as often as they like, nothing is lost, and all resumes", () => {
  const { nodes, leader } = started();
  for (const id of nodes.ids) fill(nodes, id, crumbs);
  const call = nodes.put(leader, "b", "2".repeat(3_000));
  const outcome = answered(nodes, call, 10_000);
  assert.equal(outcome, { ok: false, error: "timeout", outcome: "unknown" });
  for (let round = 0; round < 3; round++) {
    for (const id of nodes.ids) {
      nodes.crash(id);
      nodes.start(id);
    }
    nodes.time.run(3_000);
    assertAlive(nodes);
    for (const id of nodes.running) assert.is.not(nodes.node(id).disk.room, "ok");
  }
  empty(nodes, ...nodes.ids);
  const next = nodes.awaitLeader();
  nodes.time.run(reportMs + defaultLimits.leaderlessHoldMs);
  assert.is(read(nodes, next, "a"), "1");
  assert.ok(answered(nodes, nodes.put(next, "c", "3"))?.ok);
  assert.equal(
    nodes.warnings.filter((text) => text.startsWith("refused")),
    [],
  );
});

test("room that is kept lets a delete pass on a disk that others have filled", () => {
  const { nodes, leader } = started({ diskReserveBytes: 4_096 });
  nodes.time.run(reportMs);
  for (const id of nodes.ids) {
    assert.ok(nodes.host(id).disk.exists("group/reserve"));
    fill(nodes, id, 0);
  }
  nodes.time.run(reportMs);
  assert.equal(answered(nodes, nodes.put(leader, "b", "2")), refused);
  for (let i = 0; i < 30; i++) assert.ok(answered(nodes, remove(nodes, leader, "a"))?.ok);
  empty(nodes, ...nodes.ids);
  nodes.time.run(reportMs + defaultLimits.leaderlessHoldMs);
  assert.ok(answered(nodes, nodes.put(leader, "b", "2"))?.ok);
  for (const id of nodes.ids) assert.ok(nodes.host(id).disk.exists("group/reserve"), "kept again");
});

test.run();
