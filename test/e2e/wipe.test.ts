/** Data directories that were deleted, whole or of one node: nothing acknowledged is ever lost. */

import { cpSync, rmSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster, type ClusterNode, electionMs, stopMs } from "./cluster.ts";
import { NoAnswer } from "./http.ts";
import { type Scope, scenario } from "./scope.ts";
import { inTime, throughout, until } from "./wait.ts";

/** Longer than the longest election timeout, which is two seconds, and the election after it. */
const watchMs = 3_500;

/** A stopped cluster whose nodes all hold the key `kept`. */
async function stoppedWithData(scope: Scope): Promise<Cluster> {
  const cluster = await Cluster.start(scope);
  await cluster.node(1).mustPut("kept", "value");
  await cluster.assertSameState();
  await cluster.killAll();
  return cluster;
}

/** A node may answer with the value, or say that it cannot; never that there is none. */
async function assertNeverLost(node: ClusterNode): Promise<void> {
  if (!node.isRunning) return;
  try {
    const answer = await node.get("kept");
    if (answer.status === 200) assert.is(answer.text, "value");
    else assert.ok([503, 504].includes(answer.status), `node ${node.id}: ${answer.status}`);
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
  }
}

/** Refused with a clear word, or kept out: it must not count as a part of the cluster. */
async function assertKeptOut(node: ClusterNode): Promise<void> {
  await throughout(watchMs, async () => {
    if (!node.isRunning) return;
    assert.not(await node.isReady().catch(() => false), `the wiped node ${node.id} is ready`);
  });
  if (!node.isRunning) assert.ok(node.process.ending?.code !== 0, "it ends with an error");
  const said = node.process.errorLines.filter((line) => /director|wiped|empty|forgot/i.test(line));
  assert.ok(said.length > 0, "it says what is wrong with its directory");
  assert.not.match(node.process.stderr, /^\s+at /m);
}

scenario("everything deleted and started again is a new cluster", async (scope) => {
  const cluster = await Cluster.start(scope);
  await cluster.node(1).mustPut("old", "x");
  const before = (await cluster.node(1).status()).clusterId;
  await cluster.killAll();
  rmSync(cluster.dataDirectory, { recursive: true });
  cluster.startAll();
  await cluster.whole();
  assert.is.not((await cluster.node(1).status()).clusterId, before);
  assert.is((await cluster.node(2).get("old")).status, 404);
  await cluster.node(3).mustPut("new", "x");
});

scenario("one wiped node is kept out, and the other two go on", async (scope) => {
  const cluster = await Cluster.start(scope);
  await cluster.node(1).mustPut("kept", "value");
  const [wiped] = await cluster.followers();
  assert.ok(wiped);
  await wiped.kill();
  wiped.wipe();
  wiped.start();
  const others = cluster.nodes.filter((node) => node !== wiped);
  const othersGoOn = throughout(watchMs, async () => {
    for (const node of others) {
      await node.mustPut("more", "x");
      assert.is((await node.get("kept")).text, "value");
    }
    await assertNeverLost(wiped);
  });
  await Promise.all([assertKeptOut(wiped), othersGoOn]);
});

scenario("a wiped node does not help a lone survivor to a majority", async (scope) => {
  const cluster = await stoppedWithData(scope);
  const [wiped, survivor, late] = cluster.nodes;
  assert.ok(wiped && survivor && late);
  wiped.wipe();
  for (const node of [wiped, survivor]) node.start();
  await until("the survivor is live", 5_000, async () => {
    return (await survivor.ask("GET", "/livez")).status === 200;
  });
  await throughout(watchMs, async () => {
    assert.not(await survivor.isReady(), "the survivor has found a majority");
    assert.is((await survivor.status()).leaderId, null);
    await assertNeverLost(wiped);
  });
  assert.is((await survivor.put("kept", "changed")).status, 503);
  late.start();
  await cluster.leader(electionMs);
  await survivor.mustPut("after", "x");
  assert.is((await late.get("kept")).text, "value");
});

scenario("two wiped nodes do not form a cluster with the one that has the data", async (scope) => {
  const cluster = await stoppedWithData(scope);
  const [one, two, survivor] = cluster.nodes;
  assert.ok(one && two && survivor);
  for (const node of [one, two]) {
    node.wipe();
    node.start();
  }
  const throughoutAll = async (): Promise<void> => {
    for (const node of cluster.running) {
      assert.not(await node.isReady().catch(() => false), `node ${node.id} is ready`);
    }
    await Promise.all(cluster.running.map(assertNeverLost));
  };
  await throughout(watchMs, throughoutAll);
  survivor.start();
  await throughout(watchMs, throughoutAll);
  assert.ok(survivor.isRunning, "the node that has the data goes on");
  // The write may still be in the log only, where nobody without a leader can tell that it counts.
  const local = await survivor.get("kept", "local");
  if (local.status === 503) assert.is(local.json()["code"], "stale");
  else assert.is(local.text, "value");
});

scenario("a directory of another cluster is refused", async (scope) => {
  const cluster = await stoppedWithData(scope);
  const foreign = cluster.node(3).directory;
  cluster.moveToEmptyDirectory();
  cluster.startAll();
  await cluster.whole();
  await cluster.node(1).mustPut("kept", "of the new cluster");
  const three = cluster.node(3);
  await three.kill();
  three.wipe();
  cpSync(foreign, three.directory, { recursive: true });
  three.start();
  const ending = await inTime("the node ends", 10_000, three.process.ended);
  assert.is(ending.code, 1);
  assert.match(three.process.errorLines.at(-1) ?? "", /director|cluster/i);
  assert.not.match(three.process.stderr, /^\s+at /m);
  assert.is((await cluster.node(1).get("kept")).text, "of the new cluster");
  await cluster.node(2).mustPut("more", "x", stopMs);
});

test.run();
