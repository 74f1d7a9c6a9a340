/** Data directories that were deleted, whole or of one node: nothing acknowledged is ever lost. */

import { cpSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster, type ClusterNode, electionMs, stopMs } from "./cluster.ts";
import { NoAnswer } from "./http.ts";
import { Load } from "./load.ts";
import { type Scope, scenario } from "./scope.ts";
import { Terms } from "./terms.ts";
import { inTime, throughout, until } from "./wait.ts";
import { healed } from "./wipe.ts";

/** Longer than the longest election timeout, which is two seconds, and the election after it. */
const watchMs = 3_500;

/** A stopped cluster whose nodes all hold the key `kept`. */
async function stoppedWithData(scope: Scope): Promise<Cluster> {
  const cluster = await Cluster.start(scope);
  await cluster.node(1).mustPut("kept", "value");
  await cluster.assertSameState();
  // In order, so that each has what it has applied in its files too.
  await cluster.stopAll();
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

/** It waits, and says for what: it must not count as a part of the cluster. */
async function assertKeptOut(node: ClusterNode): Promise<void> {
  await throughout(watchMs, async () => {
    assert.ok(node.isRunning, `the wiped node ${node.id} waits`);
    assert.not(await node.isReady().catch(() => false), `the wiped node ${node.id} is ready`);
  });
  const said = node.process.errorLines.filter((line) => /waits until it is taken in/.test(line));
  assert.ok(said.length > 0, "it says what it waits for");
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

scenario("one wiped node heals by itself, while the other two go on", async (scope) => {
  const cluster = await Cluster.start(scope);
  await cluster.node(1).mustPut("kept", "value");
  const [wiped] = await cluster.followers();
  assert.ok(wiped);
  const load = Load.start(cluster);
  await wiped.kill();
  wiped.wipe();
  wiped.start();
  await healed(cluster, wiped);
  await load.progresses(50, 5_000);
  await load.stop();
  await load.verify();
  assert.is((await wiped.get("kept")).text, "value");
  await cluster.assertSameState();
});

scenario("each node in turn is wiped, and nothing is lost", async (scope) => {
  const cluster = await Cluster.start(scope);
  const load = Load.start(cluster);
  const terms = new Terms();
  for (const id of [1, 2, 3, 1]) {
    await load.progresses(50, 5_000);
    const node = cluster.node(id);
    terms.follow(cluster.nodes);
    await node.kill();
    node.wipe();
    node.start();
    await healed(cluster, node);
  }
  await load.stop();
  await load.verify();
  terms.follow(cluster.nodes);
  assert.ok(terms.assertOneLeaderEach() > 1);
  await cluster.assertSameState();
});

scenario("a directory that was healed over does not come back", async (scope) => {
  const cluster = await Cluster.start(scope);
  await cluster.node(1).mustPut("kept", "value");
  const three = cluster.node(3);
  await three.kill();
  const saved = join(cluster.dataDirectory, "saved");
  renameSync(three.directory, saved);
  three.start();
  await healed(cluster, three);
  await three.kill();
  three.wipe();
  renameSync(saved, three.directory);
  three.start();
  const ending = await three.process.endsWithin(10_000);
  assert.is(ending.code, 1);
  assert.match(three.process.errorLines.at(-1) ?? "", /removed from cluster .* does not come back/);
  three.wipe();
  three.start();
  await healed(cluster, three);
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
  const isAlone = throughout(watchMs, async () => {
    assert.not(await survivor.isReady(), "the survivor has found a majority");
    assert.is((await survivor.status()).leaderId, null);
    await assertNeverLost(wiped);
  });
  await Promise.all([isAlone, assertKeptOut(wiped)]);
  assert.is((await survivor.put("kept", "changed")).status, 503);
  late.start();
  await cluster.leader(electionMs);
  await survivor.mustPut("after", "x");
  assert.is((await late.get("kept")).text, "value");
  await healed(cluster, wiped);
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
