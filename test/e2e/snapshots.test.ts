/** Nodes that come back when the log has gone on without them: a snapshot brings them back. */

import {
  closeSync,
  existsSync,
  openSync,
  readSync,
  readdirSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster, type ClusterNode } from "./cluster.ts";
import { Load } from "./load.ts";
import { scenario, type Scope } from "./scope.ts";
import { until } from "./wait.ts";

const flags = ["--snapshot-entries", "200", "--snapshot-bytes", String(4 << 20)];
const value = "x".repeat(60_000);
const catchUpMs = 60_000;
/** Of a transfer. Ten where there is time: `KV_KILL_POINTS=10`. */
const killPoints = Number(process.env["KV_KILL_POINTS"] ?? 4);

async function write(node: ClusterNode, count: number): Promise<void> {
  for (let from = 0; from < count; from += 20) {
    const keys = Array.from({ length: 20 }, (_, i) => `large-${(from + i) % 300}`);
    await Promise.all(keys.map((key) => node.mustPut(key, value)));
  }
}

/** A cluster in which one follower is down and needs what the others have compacted. */
async function lagging(scope: Scope): Promise<{ cluster: Cluster; down: ClusterNode }> {
  const cluster = await Cluster.start(scope, { flags });
  const [down] = await cluster.followers();
  if (down === undefined) throw new Error("there are followers");
  const { lastLogIndex } = await down.status();
  await down.kill();
  const leader = await cluster.leader();
  await write(leader, 600);
  await until("the log is compacted", 10_000, async () => {
    const { firstLogIndex } = await leader.status();
    return firstLogIndex > lastLogIndex + 1;
  });
  return { cluster, down };
}

const sizeOf = (path: string): number => (existsSync(path) ? statSync(path).size : 0);
const groupFile = (node: ClusterNode, name: string): string =>
  join(node.directory, "group-0", name);

/** Bytes that a node has made into a state of a snapshot that comes. */
const progressOf = (node: ClusterNode): number => sizeOf(groupFile(node, "state.sqlite-incoming"));

/** Bytes that a node has made of a snapshot to send. */
const madeBy = (node: ClusterNode): number =>
  sizeOf(groupFile(node, "snapshots/new")) + sizeOf(groupFile(node, "snapshots/outgoing"));

async function assertNothingLeft(cluster: Cluster): Promise<void> {
  for (const node of cluster.nodes) {
    const files = readdirSync(join(node.directory, "group-0"));
    const rest = files.filter((name) => /incoming|before/.test(name));
    assert.equal(rest, [], `on node ${node.id}`);
    assert.is(progressOf(node), 0);
  }
}

scenario("a follower down past compaction is brought back while writes go on", async (scope) => {
  const { cluster, down } = await lagging(scope);
  const load = Load.start(cluster);
  scope.onEnd(() => load.stop());
  await load.progresses(20, 10_000);
  const leader = await cluster.leader();
  const { term } = await leader.status();
  down.start();
  await until("the follower has caught up", catchUpMs, async () => {
    const [own, its] = await Promise.all([leader.status(), down.status()]);
    return its.appliedIndex > 600 && its.appliedIndex + 200 > own.appliedIndex;
  });
  await load.progresses(20, 10_000);
  await load.stop();
  await load.verify();
  await cluster.assertSameState();
  assert.is((await leader.status()).term, term, "the leader stayed");
  const { firstLogIndex } = await down.status();
  assert.ok(firstLogIndex > 200, `its log begins at ${firstLogIndex}`);
  await assertNothingLeft(cluster);
});

scenario("a snapshot that is damaged is not taken in, and another one is sent", async (scope) => {
  const { cluster, down } = await lagging(scope);
  const leader = await cluster.leader();
  down.start();
  await until("a part of it has come", catchUpMs, async () => progressOf(down) > 200_000);
  const outgoing = groupFile(leader, "snapshots/outgoing");
  // Near its end, which is still to be sent.
  const offset = sizeOf(outgoing) - 100_000;
  const file = openSync(outgoing, "r+");
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, offset);
  writeSync(file, Buffer.of((byte[0] ?? 0) ^ 1), 0, 1, offset);
  closeSync(file);
  await cluster.whole();
  await cluster.assertSameState(catchUpMs);
  assert.match(down.process.stderr, /sent a snapshot that is damaged/);
  await assertNothingLeft(cluster);
});

scenario(`the receiver is killed at ${killPoints} points of a transfer`, async (scope) => {
  const { cluster, down } = await lagging(scope);
  for (let point = 0; point < killPoints; point++) {
    down.start();
    const goal = 1 + point * 3_500_000;
    const { appliedIndex } = await (await cluster.leader()).status();
    await until(`the transfer has come to ${goal} bytes`, catchUpMs, async () => {
      if (progressOf(down) >= goal) return true;
      const its = await down.status();
      return its.appliedIndex >= appliedIndex;
    });
    await down.kill();
    await (await cluster.leader()).mustPut("point", String(point));
  }
  down.start();
  await cluster.whole();
  await cluster.assertSameState(catchUpMs);
  await assertNothingLeft(cluster);
});

scenario(`the sender is killed at ${killPoints} points of a transfer`, async (scope) => {
  const { cluster, down } = await lagging(scope);
  for (let point = 0; point < killPoints; point++) {
    const leader = await cluster.leader();
    const { appliedIndex } = await leader.status();
    down.start();
    const goal = 1 + point * 3_500_000;
    await until(`the transfer has come to ${goal} bytes`, catchUpMs, async () => {
      if (madeBy(leader) + progressOf(down) >= goal) return true;
      return (await down.status()).appliedIndex >= appliedIndex;
    });
    await down.kill();
    await leader.kill();
    leader.start();
    await (await cluster.leader(20_000)).mustPut("point", String(point), 20_000);
  }
  down.start();
  await cluster.whole();
  await cluster.assertSameState(catchUpMs);
});

test.run();
