/** The loop: what happens to reads and writes when leaders, links and disks come and go. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { PeerMessage } from "../../server/peer-message.ts";
import { index, nodeId, term, type NodeId } from "../../server/raft/entry.ts";
import { DiskError } from "../../storage/disk.ts";
import { SimulatedNodes } from "./simulated-nodes.ts";

const others = (nodes: SimulatedNodes, id: NodeId): NodeId[] =>
  nodes.ids.filter((other) => other !== id);

function follower(nodes: SimulatedNodes, leader: NodeId): NodeId {
  return others(nodes, leader)[0] ?? nodeId(0);
}

/** Nothing passes to or from `id`. */
function isolate(nodes: SimulatedNodes, id: NodeId): void {
  nodes.onMessage = (from, to) => (from === id || to === id ? 0 : 1);
}

function heal(nodes: SimulatedNodes): void {
  nodes.onMessage = () => 1;
}

test("a write through the leader is applied and answered", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const call = nodes.put(leader, "k", "v");
  nodes.time.until(() => call.answer !== null, 1_000);
  assert.ok(call.answer?.ok && call.answer.result.op === "put" && call.answer.result.created);
});

test("a write through a follower is forwarded and answered there", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const call = nodes.put(follower(nodes, leader), "k", "v");
  nodes.time.until(() => call.answer !== null, 1_000);
  assert.ok(call.answer?.ok);
});

test("a read on every node sees a write acknowledged on another", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const call = nodes.put(follower(nodes, leader), "k", "v");
  nodes.time.until(() => call.answer !== null, 1_000);
  for (const id of nodes.ids) {
    const read = nodes.get(id, "k");
    nodes.time.until(() => read.answer !== null, 1_000);
    assert.is(read.answer, "v");
  }
});

test("one node alone forms a cluster and serves", () => {
  const nodes = new SimulatedNodes({ count: 1 });
  const leader = nodes.awaitLeader();
  const call = nodes.put(leader, "k", "v");
  nodes.time.until(() => call.answer !== null, 1_000);
  const read = nodes.get(leader, "k");
  nodes.time.until(() => read.answer !== null, 1_000);
  assert.is(read.answer, "v");
});

test("all writes of a drain share one sync", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  nodes.time.run(500);
  let syncs = 0;
  const { log } = nodes.host(leader);
  const sync = log.sync.bind(log);
  log.sync = () => {
    syncs++;
    sync();
  };
  const calls = Array.from({ length: 100 }, (_, i) => nodes.put(leader, `k${i}`, "v"));
  nodes.time.until(() => calls.every((call) => call.answer !== null), 1_000);
  assert.is(syncs, 1);
});

test("a write without a leader is refused as not applied after two election timeouts", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  for (const id of others(nodes, leader)) nodes.crash(id);
  nodes.time.until(() => nodes.leader === null, 5_000);
  const startMs = nodes.time.nowMs;
  const call = nodes.put(leader, "k", "v");
  nodes.time.until(() => call.answer !== null, 2_100);
  assert.equal(call.answer, { ok: false, error: "noLeader", outcome: "not_applied" });
  assert.ok(nodes.time.nowMs - startMs >= 2_000);
});

test("a read without a quorum is refused within two election timeouts", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  for (const id of others(nodes, leader)) nodes.crash(id);
  const read = nodes.get(leader, "k");
  nodes.time.until(() => read.answer !== null, 2_100);
  assert.is(read.answer, "error: noLeader");
});

test("a write that waits for a leader is done once there is one", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const call = nodes.put(nodeId(1), "k", "v");
  nodes.time.until(() => call.answer !== null, 2_500);
  assert.ok(call.answer?.ok);
});

test("a write proposed by a leader that is cut off is unknown, or surely not applied", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const old = nodes.awaitLeader();
  isolate(nodes, old);
  const call = nodes.put(old, "k", "lost");
  nodes.time.until(() => nodes.leader !== null && nodes.leader !== old, 10_000);
  nodes.time.until(() => call.answer !== null, 6_000);
  assert.equal(call.answer, { ok: false, error: "timeout", outcome: "unknown" });
});

test("a write whose entry was replaced is proposed again and done once", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const old = nodes.awaitLeader();
  isolate(nodes, old);
  const call = nodes.put(old, "k", "again");
  nodes.time.until(() => {
    const now = nodes.running.filter((id) => nodes.node(id).leadership.role === "leader");
    return now.some((id) => id !== old);
  }, 4_500);
  heal(nodes);
  nodes.time.until(() => call.answer !== null, 3_000);
  assert.ok(call.answer?.ok);
  nodes.time.run(1_000);
  for (const id of nodes.ids) {
    assert.equal(nodes.host(id).machine.history, ["put k"], `on node ${id}`);
  }
});

test("a leader cut off from the others answers no read", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const old = nodes.awaitLeader();
  const first = nodes.put(old, "k", "old");
  nodes.time.until(() => first.answer !== null, 1_000);
  isolate(nodes, old);
  const read = nodes.get(old, "k");
  nodes.time.until(() => read.answer !== null, 3_000);
  assert.is(read.answer, "error: noLeader");
});

test("a forwarded write delivered twice is done once", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  nodes.onMessage = (_from, _to, message) => (message.type === "forward" ? 2 : 1);
  const call = nodes.put(follower(nodes, leader), "k", "v");
  nodes.time.until(() => call.answer !== null, 1_000);
  nodes.time.run(1_000);
  assert.equal(nodes.host(leader).machine.history, ["put k"]);
});

test("a forwarded write that is lost is unknown, never failed", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  // The sender believes that it left.
  let lost = 0;
  nodes.onMessage = (_from, _to, message) => {
    if (message.type !== "forward") return 1;
    lost++;
    return 0;
  };
  const id = follower(nodes, leader);
  const send = nodes.put(id, "k", "v");
  nodes.time.until(() => lost > 0, 1_000);
  nodes.time.until(() => send.answer !== null, 6_000);
  assert.not.ok(send.answer?.ok);
});

test("a forward to a node that does not lead is returned and finds the leader", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const old = nodes.awaitLeader();
  const id = follower(nodes, old);
  assert.ok(nodes.node(old).handOver() !== null);
  const call = nodes.put(id, "k", "v");
  nodes.time.until(() => call.answer !== null, 3_000);
  assert.ok(call.answer?.ok);
});

test("handing over makes another node lead within an election timeout", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const old = nodes.awaitLeader();
  const successor = nodes.node(old).handOver();
  nodes.time.until(() => nodes.leader === successor, 1_000);
});

test("a failed sync ends the node and answers nothing", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  nodes.host(leader).disk.beforeOperation = (operation, path) => {
    if (operation === "sync") throw new DiskError(path, operation, "EIO", "injected");
  };
  const call = nodes.put(leader, "k", "v");
  nodes.time.until(() => nodes.host(leader).died !== null, 1_000);
  assert.not.ok(call.answer?.ok);
});

test("all nodes crash and come back with every acknowledged write", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const calls = Array.from({ length: 20 }, (_, i) => nodes.put(leader, `k${i}`, `v${i}`));
  nodes.time.until(() => calls.every((call) => call.answer?.ok), 1_000);
  for (const id of nodes.ids) nodes.crash(id);
  for (const id of nodes.ids) nodes.start(id);
  const next = nodes.awaitLeader();
  for (let i = 0; i < 20; i++) {
    const read = nodes.get(next, `k${i}`);
    nodes.time.until(() => read.answer !== null, 1_000);
    assert.is(read.answer, `v${i}`);
  }
});

test("a late answer to a read of an earlier life answers no read of this one", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const id = follower(nodes, leader);
  const answers: PeerMessage[] = [];
  nodes.onMessage = (_from, to, message) => {
    if (message.type !== "readIndexResponse" || to !== id) return 1;
    answers.push(message);
    return 0;
  };
  nodes.get(id, "k");
  nodes.time.until(() => answers.length > 0, 1_000);
  nodes.crash(id);
  const write = nodes.put(leader, "k", "new");
  nodes.time.until(() => write.answer?.ok === true, 1_000);
  // Cut off from all but that answer, the new life may know nothing newer.
  nodes.onMessage = (from, to, message) =>
    to === id && message.type !== "heartbeat"
      ? 0
      : from === id && message.type === "readIndex"
        ? 0
        : 1;
  nodes.start(id);
  nodes.time.until(() => nodes.node(id).leadership.leaderId === leader, 5_000);
  const read = nodes.get(id, "k");
  const stale = answers[0];
  assert.ok(stale);
  nodes.time.run(50);
  nodes.deliver(id, leader, stale);
  nodes.time.until(() => read.answer !== null, 6_000);
  assert.is(read.answer, "error: noLeader");
});

test("a term from nowhere is not taken up", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const { term: before } = nodes.node(leader).leadership;
  const far = term(2 ** 40);
  nodes.deliver(leader, follower(nodes, leader), {
    type: "heartbeatResponse",
    term: far,
    readRound: 0,
  });
  nodes.time.run(100);
  assert.is(nodes.node(leader).leadership.term, before);
});

test("what the leader refuses is not sent again before the next tick", () => {
  const nodes = new SimulatedNodes({ count: 3, limits: { uncommittedBytesMax: 0 } });
  const leader = nodes.awaitLeader();
  let forwards = 0;
  nodes.onMessage = (_from, _to, message) => {
    if (message.type === "forward") forwards++;
    return 1;
  };
  const call = nodes.put(follower(nodes, leader), "k", "v");
  nodes.time.until(() => call.answer !== null, 3_000);
  assert.equal(call.answer, { ok: false, error: "overloaded", outcome: "not_applied" });
  assert.ok(forwards <= 2_000 / 25 + 1, `${forwards} forwards in two seconds`);
});

test("more writes than may wait are refused at once and surely not applied", () => {
  const nodes = new SimulatedNodes({ count: 3, limits: { pendingWritesMax: 2 } });
  nodes.awaitLeader();
  const calls = [1, 2, 3].map((i) => nodes.put(nodeId(1), `k${i}`, "v"));
  nodes.time.until(() => calls.every((call) => call.answer !== null), 1_000);
  assert.equal(calls[2]?.answer, { ok: false, error: "overloaded", outcome: "not_applied" });
  assert.ok(calls[0]?.answer?.ok && calls[1]?.answer?.ok);
});

test("a message that cannot be true is refused and told once, and the node goes on", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const { term: current } = nodes.node(leader).leadership;
  const liar = follower(nodes, leader);
  for (let time = 0; time < 3; time++) {
    const matchIndex = index(2 ** 40);
    const message: PeerMessage = { type: "appendAccepted", term: term(current), matchIndex };
    nodes.deliver(leader, liar, message);
    nodes.time.run(30);
  }
  assert.equal(nodes.warnings, [
    `refused a message of node ${liar}: its appendAccepted contradicts that ` +
      "nobody has more of our log than we do",
  ]);
  assert.is(nodes.host(leader).died, null);
  const call = nodes.put(leader, "k", "v");
  nodes.time.until(() => call.answer !== null, 1_000);
  assert.ok(call.answer?.ok);
});

test("what reaches a node late does not make its state look newer than it is", () => {
  for (const isLeader of [true, false]) {
    const nodes = new SimulatedNodes({ count: 3 });
    const leader = nodes.awaitLeader();
    const late = isLeader ? leader : follower(nodes, leader);
    // Who asks for it has it kept small from then on.
    for (const id of nodes.ids) void nodes.node(id).ageMs;
    nodes.time.run(500);
    assert.ok((nodes.node(late).ageMs ?? Infinity) < 500);
    const held: { from: NodeId; message: PeerMessage }[] = [];
    const heldSinceMs = nodes.time.nowMs;
    nodes.onMessage = (from, to, message) => {
      if (to === late) held.push({ from, message });
      return from === late || to === late ? "lost" : 1;
    };
    // Shorter than its patience: it goes on leading, or following.
    nodes.time.run(400);
    assert.ok(held.length > 0);
    for (const { from, message } of held) nodes.deliver(late, from, message);
    nodes.time.run(1);
    const ageMs = nodes.node(late).ageMs ?? 0;
    assert.ok(ageMs >= nodes.time.nowMs - heldSinceMs - 5, `${ageMs} ms`);
  }
});

test("a read is answered by what lay there while the node stood still", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const asking = nodeId(1 + (leader % 3));
  let isAsked = false;
  nodes.onMessage = (_from, to, { type }) => {
    // The answer is on its way, and the loop of who asked stands still for longer than a read waits.
    if (isAsked && to === asking && type === "readIndexResponse") {
      isAsked = false;
      nodes.time.nowMs += 3_000;
    }
    return 1;
  };
  nodes.time.run(50);
  isAsked = true;
  const read = nodes.get(asking, "k");
  nodes.time.until(() => read.answer !== null, 10_000);
  assert.is(read.answer, undefined, "there is no such row");
});

test("a read waits for a leader that is there and late, and not for one that is not", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const asking = nodeId(1 + (leader % 3));
  nodes.onMessage = (_from, to, { type }) =>
    to === asking && type === "readIndexResponse" ? "lost" : 1;
  const read = nodes.get(asking, "k");
  nodes.time.run(3_000);
  assert.is(read.answer, null, "it waits");
  nodes.onMessage = () => 1;
  nodes.time.until(() => read.answer !== null, 1_000);
  assert.is(read.answer, undefined, "there is no such row");
});

test.run();
