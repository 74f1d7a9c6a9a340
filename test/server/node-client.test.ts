/** What a node's own client answers: what it may say depends on what the node can know. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { defaultLimits } from "../../server/limits.ts";
import { NodeClient } from "../../server/node-client.ts";
import { must } from "../../server/raft/assert.ts";
import type { NodeId } from "../../server/raft/entry.ts";
import type { Transaction } from "../../server/state-machine/transaction.ts";
import { watchesOf } from "../../server/watch/node-watch.ts";
import type { WatchBatches } from "../../server/watch/watch-port.ts";
import { SimulatedNodes } from "./simulated-nodes.ts";

function clientOf(nodes: SimulatedNodes, id: NodeId): NodeClient {
  const common = { limits: defaultLimits, clock: nodes.time.clock() };
  const client = new NodeClient({
    ...common,
    self: id,
    version: "0",
    plan: [],
    isConnected: () => true,
    failed: (error) => {
      throw error;
    },
  });
  const node = nodes.node(id);
  client.formed(node, "c", watchesOf(node, common));
  return client;
}

/** A put through `id` that is acknowledged. */
function put(nodes: SimulatedNodes, id: NodeId, key: string): void {
  const call = nodes.put(id, key, "v");
  nodes.time.until(() => call.answer?.ok === true, 1_000);
}

/** `id` started anew and alone: its state has the key `old`, and only its log has `new`. */
function startedBehindItsLog(nodes: SimulatedNodes): NodeId {
  const leader = nodes.awaitLeader();
  const id = must(
    nodes.ids.find((other) => other !== leader),
    "there are followers",
  );
  put(nodes, leader, "old");
  nodes.time.until(() => nodes.host(id).machine.rows.has("old"), 1_000);
  // Without its acknowledgement it is told of no commit; the third node makes the majority.
  nodes.onMessage = (from, _to, message) =>
    from === id && message.type === "appendAccepted" ? 0 : 1;
  put(nodes, leader, "new");
  const { lastLogIndex } = nodes.node(leader);
  nodes.time.until(() => nodes.node(id).lastLogIndex === lastLogIndex, 1_000);
  nodes.crash(id);
  nodes.onMessage = (from, to) => (from === id || to === id ? 0 : 1);
  nodes.start(id);
  return id;
}

/** Four puts that are `bytes` as one command, or a few less than their frame. */
function largeTransaction(bytes: number): Transaction {
  const value = new Uint8Array(Math.floor(bytes / 4));
  const puts = ["a", "b", "c", "d"].map(
    (key) => ({ op: "put", key, value, contentType: null }) as const,
  );
  return { op: "transaction", conditions: [], then: puts, otherwise: [] };
}

test("a transaction that is more than 4 MiB as one command is refused, and its body named", async () => {
  const nodes = new SimulatedNodes({ count: 1 });
  const id = nodes.awaitLeader();
  const client = clientOf(nodes, id);
  const { commandBytesMax } = defaultLimits;
  const refused = await client.transact(largeTransaction(commandBytesMax));
  assert.ok(!refused.ok);
  assert.equal([refused.code, refused.field], ["too_large", "body"]);
});

test("a local read does not call a key missing while the log may hold it", async () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const id = startedBehindItsLog(nodes);
  nodes.time.run(100);
  const answer = await clientOf(nodes, id).get("new", { level: "local" });
  assert.ok(!answer.ok);
  assert.is(answer.code, "stale");
  assert.match(answer.detail, /just started.*log/);
});

test("a local read of a row that is there is answered, whatever the log may hold", async () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const id = startedBehindItsLog(nodes);
  const answer = await clientOf(nodes, id).get("old", { level: "local" });
  assert.ok(answer.ok);
  assert.is(answer.row?.key, "old");
});

test("once a leader was heard and the log applied, a missing key is missing", async () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const id = startedBehindItsLog(nodes);
  nodes.onMessage = () => 1;
  nodes.time.until(() => nodes.host(id).machine.rows.has("new"), 5_000);
  const client = clientOf(nodes, id);
  const missing = await client.get("none", { level: "local" });
  assert.ok(missing.ok);
  assert.is(missing.row, null);
  const found = await client.get("new", { level: "local" });
  assert.ok(found.ok);
  assert.is(found.row?.key, "new");
});

/** Until the answer is there. */
async function answered<T>(nodes: SimulatedNodes, promise: Promise<T>): Promise<T> {
  const answers: T[] = [];
  void promise.then((value) => answers.push(value));
  for (let ms = 0; ms < 10_000 && answers.length === 0; ms += 10) {
    nodes.time.run(10);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return must(answers[0], "it is answered");
}

/** Everything that a watch gives, as it comes. */
function watched(batches: WatchBatches): string[] {
  const events: string[] = [];
  const read = async (): Promise<void> => {
    for await (const batch of batches) events.push(...batch.map(({ type }) => type));
  };
  void read();
  return events;
}

test("a node that hears of no leader says so to who begins to watch, and no sign to who does", async () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const id = must(
    nodes.ids.find((other) => other !== leader),
    "there are followers",
  );
  const client = clientOf(nodes, id);
  const watch = await client.watch({ prefix: "", since: client.remembered?.appliedIndex ?? 0 });
  assert.ok(watch.ok);
  const events = watched(watch.batches);
  const run = async (seconds: number): Promise<void> => {
    for (let passed = 0; passed < seconds * 100; passed++) {
      nodes.time.run(10);
      await Promise.resolve();
    }
  };
  await run(11);
  assert.equal(events, ["progress", "progress", "progress"]);
  nodes.onMessage = (from, to) => (from === id || to === id ? 0 : 1);
  put(nodes, leader, "elsewhere");
  await run(20);
  assert.equal(events, ["progress", "progress", "progress"]);
  const other = await answered(nodes, client.watch({ prefix: "", since: 1 }));
  assert.ok(!other.ok && other.code === "no_leader");
  nodes.onMessage = () => 1;
  await run(11);
  assert.equal(events.slice(3, 5), ["put", "progress"]);
});

test("a log is given up as far as the state stands for it, and nobody needs it", async () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const slow = must(
    nodes.ids.find((other) => other !== leader),
    "there are followers",
  );
  for (let i = 0; i < 50; i++) put(nodes, leader, `k${i}`);
  nodes.onMessage = (_from, to, { type }) => (to === slow && type === "append" ? 0 : 1);
  const needed = nodes.node(slow).lastLogIndex;
  for (let i = 0; i < 150; i++) put(nodes, leader, `k${i}`);
  const client = clientOf(nodes, leader);
  const held = await answered(nodes, client.compact());
  assert.ok(held.ok);
  const { compacted } = held;
  assert.is(compacted.revision, nodes.node(leader).appliedIndex);
  assert.is(compacted.snapshotIndex, compacted.revision, "it is durable now");
  assert.is(compacted.oldestRevision, compacted.revision);
  assert.ok(compacted.firstLogIndex <= needed + 1, "a follower that answers lacks the rest");
  const watch = await client.watch({ since: 5 });
  assert.ok(!watch.ok && watch.code === "compacted");
  nodes.onMessage = () => 1;
  const { lastLogIndex } = nodes.node(leader);
  nodes.time.until(() => nodes.node(slow).lastLogIndex === lastLogIndex, 5_000);
  const free = await answered(nodes, client.compact(lastLogIndex - 10));
  assert.ok(free.ok && free.compacted.firstLogIndex > needed + 50);
  assert.ok(free.compacted.firstLogIndex <= lastLogIndex - 10 + 1);
  const { machine } = nodes.host(leader);
  machine.syncSome = () => "full";
  put(nodes, leader, "more");
  const late = client.compact();
  nodes.time.run(50);
  nodes.node(leader).stop();
  assert.ok((await answered(nodes, late)).ok, "whoever waits is answered at the end");
  const future = await answered(nodes, client.compact(lastLogIndex + 9));
  assert.ok(!future.ok && future.code === "bad_request");
});

test.run();
