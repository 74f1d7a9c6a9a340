/**
 * What writes and reads cost, in counts that no machine changes: syncs, messages, bytes. Each limit is
 * what is needed today; who needs more has to mean it.
 */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { frameHeaderBytes } from "../../server/frame.ts";
import { PeerEncoder } from "../../server/peer-codec.ts";
import type { NodeId } from "../../server/raft/entry.ts";
import { SimulatedNodes } from "./simulated-nodes.ts";

const keyBytes = 16;
const value = "x".repeat(100);
const keyOf = (number: number): string => String(number).padStart(keyBytes, "0");
/** What has to be stored and sent of each put at the least. */
const dataBytes = keyBytes + value.length;
const many = 64;

/** What the cluster did since it was looked at last. */
class Costs {
  /** By the node. */
  readonly syncs = new Map<NodeId, number>();
  readonly diskBytes = new Map<NodeId, number>();
  /** By the kind. */
  readonly messages = new Map<string, number>();
  /** Of frames, as they go over the wires. */
  wireBytes = 0;

  get messageCount(): number {
    let count = 0;
    for (const some of this.messages.values()) count += some;
    return count;
  }

  get text(): string {
    const { diskBytes, messages, syncs, wireBytes } = this;
    return JSON.stringify({
      syncs: [...syncs],
      diskBytes: [...diskBytes],
      messages: [...messages],
      wireBytes,
    });
  }
}

const add = <K>(counts: Map<K, number>, key: K, count = 1): void => {
  counts.set(key, (counts.get(key) ?? 0) + count);
};

interface Scene {
  readonly nodes: SimulatedNodes;
  readonly leader: NodeId;
  readonly follower: NodeId;
  readonly costs: Costs;
}

/**
 * A cluster that rests; whatever follows is counted. Heartbeats are not, nor the questions by which every
 * node knows how old its state is: they come with time.
 */
function counted(ignored = /^heartbeat|^readIndex/): Scene {
  const nodes = new SimulatedNodes({
    count: 3,
    logSizes: { segmentBytes: 4 << 20, preallocateBytes: 1 << 20 },
  });
  const leader = nodes.awaitLeader();
  const follower = nodes.ids.find((id) => id !== leader) ?? leader;
  const costs = new Costs();
  put(nodes, leader, 1);
  for (const id of nodes.ids) {
    const { disk } = nodes.host(id);
    disk.beforeOperation = (operation) => {
      if (operation === "sync") add(costs.syncs, id);
    };
    disk.shorten = (bytes) => {
      add(costs.diskBytes, id, bytes);
      return bytes;
    };
  }
  const encoder = new PeerEncoder();
  nodes.onMessage = (_from, _to, message) => {
    if (ignored.test(message.type)) return 1;
    add(costs.messages, message.type);
    const { head, tail } = encoder.encode(message);
    costs.wireBytes += frameHeaderBytes + head.byteLength + (tail?.byteLength ?? 0);
    return 1;
  };
  return { nodes, leader, follower, costs };
}

/** Puts that arrive together at one node, until all nodes have applied them. */
function put(nodes: SimulatedNodes, at: NodeId, count: number): void {
  const calls = Array.from({ length: count }, (_, i) => nodes.put(at, keyOf(i), value));
  nodes.time.until(() => calls.every(({ answer }) => answer !== null), 5_000);
  assert.ok(calls.every(({ answer }) => answer?.ok === true));
  nodes.time.run(500);
}

function atMost(costs: Costs, what: string, [count, limit]: readonly [number, number]): void {
  assert.ok(count > 0 && count <= limit, `${what}: ${count}, at most ${limit}; ${costs.text}`);
}

for (const count of [1, many]) {
  test(`${count} puts at once: one sync a node`, () => {
    const { nodes, leader, costs } = counted();
    put(nodes, leader, count);
    for (const id of nodes.ids) assert.is(costs.syncs.get(id), 1, `node ${id}: ${costs.text}`);
  });

  test(`${count} puts at once: one append and one acceptance a follower, and the same for the commit`, () => {
    const { nodes, leader, costs } = counted();
    put(nodes, leader, count);
    atMost(costs, "appends", [costs.messages.get("append") ?? 0, 4]);
    atMost(costs, "acceptances", [costs.messages.get("appendAccepted") ?? 0, 4]);
    atMost(costs, "messages", [costs.messageCount, 8]);
  });
}

/** Beside the data, of each put: in a log record, and in an append to one follower. */
const recordBytes = 76;
const appendedBytes = 33;
/** Beside the puts: two appends and their acceptances, twice, with the heads of their frames. */
const roundBytes = 140;

for (const count of [1, many]) {
  test(`${count} puts at once: bytes on each disk, and on the wires`, () => {
    const { nodes, leader, costs } = counted();
    put(nodes, leader, count);
    for (const id of nodes.ids) {
      atMost(costs, "disk", [costs.diskBytes.get(id) ?? 0, count * (dataBytes + recordBytes)]);
    }
    const limit = 2 * count * (dataBytes + appendedBytes) + roundBytes;
    atMost(costs, "wire", [costs.wireBytes, limit]);
  });
}

test("puts at a follower go to the leader in one message", () => {
  const { nodes, follower, costs } = counted();
  put(nodes, follower, many);
  assert.is(costs.messages.get("forward"), 1);
  for (const id of nodes.ids) assert.is(costs.syncs.get(id), 1, `node ${id}: ${costs.text}`);
  atMost(costs, "messages", [costs.messageCount, 9]);
});

// Of three, the follower that asks and the leader are a majority: no third one is asked.
for (const [place, messagesMax] of [
  ["leader", 4],
  ["follower", 2],
] as const) {
  test(`reads at once on the ${place} share one round, and nothing is synced`, () => {
    const scene = counted(/never/);
    const { nodes, costs } = scene;
    const gets = Array.from({ length: many }, () => nodes.get(scene[place], keyOf(0)));
    // Before the next heartbeat, which comes by itself.
    costs.messages.clear();
    nodes.time.until(() => gets.every(({ answer }) => answer !== null), 5_000);
    assert.ok(gets.every(({ answer }) => answer === value));
    assert.is(costs.messageCount, messagesMax, costs.text);
    assert.is(costs.syncs.size, 0, costs.text);
  });
}

test("a get on a follower right behind a put on the leader waits for no heartbeat", () => {
  const { nodes, leader, follower } = counted(/never/);
  for (let round = 0; round < 20; round++) {
    const written = nodes.put(leader, keyOf(0), `${value}${round}`);
    nodes.time.until(() => written.answer !== null, 5_000);
    const askedMs = nodes.time.nowMs;
    const get = nodes.get(follower, keyOf(0));
    nodes.time.until(() => get.answer !== null, 5_000);
    assert.is(get.answer, `${value}${round}`);
    assert.ok(nodes.time.nowMs - askedMs <= 4, `${nodes.time.nowMs - askedMs} ms`);
    nodes.time.run(7 * round);
  }
});

test("reads that come one by one while a round is on its way share the next one", () => {
  const { nodes, leader, costs } = counted(/never/);
  costs.messages.clear();
  const gets = Array.from({ length: 10 }, () => {
    const get = nodes.get(leader, keyOf(0));
    // A tenth of the way there and back.
    nodes.time.run(0.2);
    return get;
  });
  nodes.time.until(() => gets.every(({ answer }) => answer !== null), 5_000);
  assert.ok(gets.every(({ answer }) => answer === value));
  // The first one's round, and the one of those that came meanwhile.
  assert.ok(costs.messageCount <= 8, costs.text);
});

test("reads do not wait for a round whose answers are lost", () => {
  const { nodes, leader } = counted(/never/);
  nodes.onMessage = () => "lost";
  nodes.get(leader, keyOf(0));
  nodes.time.run(5);
  nodes.onMessage = () => 1;
  const get = nodes.get(leader, keyOf(0));
  nodes.time.until(() => get.answer !== null, 50);
});

test.run();
