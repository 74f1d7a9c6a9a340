/** Members that come, go and are replaced on the executable, and restarts of all nodes one by one. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster, type ClusterNode, electionMs, placeOf } from "./cluster.ts";
import { commandOf } from "./executable.ts";
import { Load } from "./load.ts";
import { KvProcess } from "./process.ts";
import { RetryingLoad } from "./retrying-load.ts";
import { type Scope, scenario } from "./scope.ts";
import { until } from "./wait.ts";

/** How long a newcomer may take to be a member, and to catch up. */
const joinMs = 20_000;

interface Said {
  readonly code: number | null;
  readonly out: string;
  readonly error: string;
}

/** A one-shot command to these nodes. */
async function kv(scope: Scope, nodes: readonly ClusterNode[], ...words: string[]): Promise<Said> {
  const endpoints = nodes.map(({ httpPort }) => `127.0.0.1:${httpPort}`).join(",");
  const command = [...commandOf("executable"), ...words, "--endpoints", endpoints];
  const process = new KvProcess(scope, { name: `kv ${words.join(" ")}`, command });
  const { code } = await process.endsWithin(15_000);
  return { code, out: process.stdout, error: process.stderr };
}

async function mustRun(scope: Scope, nodes: readonly ClusterNode[], ...words: string[]) {
  const { code, out, error } = await kv(scope, nodes, ...words);
  assert.is(code, 0, `kv ${words.join(" ")}: ${error}`);
  return out;
}

async function roleOf(id: number, at: ClusterNode): Promise<string | null> {
  const { members } = await at.status();
  return members.find((member) => member.id === id)?.role ?? null;
}

/** Promotes once the learner has caught up. */
async function promote(scope: Scope, nodes: readonly ClusterNode[], id: number): Promise<void> {
  await until(`node ${id} is promoted`, joinMs, async () => {
    const { code, error } = await kv(scope, nodes, "member", "promote", String(id));
    if (code !== 0) throw new Error(error);
    return true;
  });
}

scenario("a fourth machine is added, promoted and removed under load", async (scope) => {
  const cluster = await Cluster.start(scope);
  const three = cluster.nodes;
  const load = Load.start(cluster);
  scope.onEnd(() => load.stop());
  await load.progresses(50, 10_000);
  const four = await cluster.newMachine(4);
  four.start();
  assert.match(await mustRun(scope, three, "member", "add", placeOf(four)), /4, learner/);
  await until("node 4 serves", joinMs, () => four.isReady());
  assert.is(await roleOf(4, cluster.node(1)), "learner");
  await promote(scope, three, 4);
  cluster.nodes = [...three, four];
  await cluster.whole();
  assert.is((await four.status()).role === "learner", false);
  cluster.nodes = three;
  await mustRun(scope, three, "member", "remove", "4");
  const ending = await four.process.endsWithin(10_000);
  assert.equal(ending, { code: 0, signal: null });
  assert.match(four.process.stderr, /was removed from cluster/);
  assert.is(await roleOf(4, cluster.node(2)), null);
  four.start();
  assert.is((await four.process.endsWithin(10_000)).code, 1);
  await cluster.node(1).mustPut("after", "x");
});

scenario("a machine that is added before it is started is waited for", async (scope) => {
  const cluster = await Cluster.start(scope);
  const four = await cluster.newMachine(4);
  await mustRun(scope, cluster.nodes, "member", "add", placeOf(four));
  const refused = await kv(scope, cluster.nodes, "member", "promote", "4");
  assert.is(refused.code, 1);
  assert.match(refused.error, /has not caught up/);
  assert.match(await mustRun(scope, cluster.nodes, "member", "list"), /has not come yet/);
  four.start();
  await promote(scope, cluster.nodes, 4);
  await cluster.node(1).mustPut("k", "v");
  assert.is((await four.get("k")).text, "v");
});

scenario("a machine is replaced by another one, and the leader too", async (scope) => {
  const cluster = await Cluster.start(scope);
  await cluster.node(1).mustPut("k", "v");
  const leader = await cluster.leader();
  const [dead] = await cluster.followers();
  assert.ok(dead);
  await dead.kill();
  for (const old of [dead, leader]) {
    const { id } = old;
    const machine = await cluster.newMachine(id);
    const asked = cluster.running;
    await mustRun(scope, asked, "member", "replace", placeOf(machine));
    if (old.isRunning) assert.is((await old.process.endsWithin(10_000)).code, 0);
    old.wipe();
    cluster.nodes = cluster.nodes.map((node) => (node === old ? machine : node));
    machine.start();
    await until(`the new node ${id} is a voter`, joinMs, async () => {
      const { role } = await machine.status();
      return role !== "learner" && (await roleOf(id, machine)) === "voter";
    });
    await cluster.whole();
    assert.is((await machine.get("k")).text, "v");
    await machine.mustPut("k", "v");
  }
});

scenario("five nodes go on without two, and seven are five and two more", async (scope) => {
  const cluster = await Cluster.start(scope, { size: 5 });
  const load = Load.start(cluster);
  scope.onEnd(() => load.stop());
  for (const id of [6, 7]) {
    const machine = await cluster.newMachine(id);
    machine.start();
    await mustRun(scope, cluster.nodes, "member", "add", placeOf(machine));
    await promote(scope, cluster.nodes, id);
    cluster.nodes = [...cluster.nodes, machine];
  }
  await cluster.whole();
  const lost = (await cluster.followers()).slice(0, 3);
  await Promise.all(lost.map((node) => node.kill()));
  await load.progresses(100, electionMs);
  for (const node of lost) node.start();
  await load.stop();
  await cluster.whole();
  await load.verify();
  await cluster.assertSameState();
});

scenario("leadership goes where it is sent", async (scope) => {
  const cluster = await Cluster.start(scope);
  for (const id of [2, 3, 1, 1]) {
    await mustRun(scope, cluster.nodes, "transfer", String(id));
    assert.is((await cluster.leader()).id, id);
  }
  const { code, error } = await kv(scope, cluster.nodes, "transfer", "9");
  assert.is(code, 1);
  assert.match(error, /not a member/);
});

scenario("two changes of the same members: one is made, the other refused", async (scope) => {
  const cluster = await Cluster.start(scope);
  const [one, two] = cluster.nodes;
  assert.ok(one && two);
  const listed = await one.ask("GET", "/v1/members");
  const etag = String(listed.headers["etag"]);
  const add = (node: ClusterNode, id: number) =>
    node.ask("POST", "/v1/members", {
      headers: { "If-Match": etag, "Content-Type": "application/json" },
      body: JSON.stringify({ id, raft: `127.0.0.1:${id}`, http: `127.0.0.1:${id + 1}` }),
    });
  const answers = await Promise.all([add(one, 4), add(two, 6)]);
  const statuses = answers.map(({ status }) => status).sort((a, b) => a - b);
  assert.equal(statuses, [201, 412]);
});

scenario("all nodes are restarted ten times under load, and no request fails", async (scope) => {
  const cluster = await Cluster.start(scope);
  const load = new RetryingLoad(cluster);
  scope.onEnd(() => load.stop());
  for (let round = 0; round < 10; round++) {
    for (const node of cluster.nodes) {
      await node.stop();
      node.start();
      await cluster.whole();
    }
  }
  await load.stop();
  await load.verify();
  await cluster.assertSameState();
});

test.run();
