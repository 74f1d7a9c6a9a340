/** Links that are cut while clients reach every node: nobody is told what may not be true. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { type ClusterNode, electionMs } from "../e2e/cluster.ts";
import { type Answer, NoAnswer } from "../e2e/http.ts";
import { scenario } from "../e2e/scope.ts";
import { throughout, until } from "../e2e/wait.ts";
import { Clients } from "./clients.ts";
import { isLongForm } from "./form.ts";
import type { Link } from "./pipe.ts";
import { assertSound } from "./verdict.ts";
import { World } from "./world.ts";

const plain = { fakesClocks: false, hasVolumes: false };
/** With links that lose one direction only, nobody may be stuck for longer. */
const progressMs = 10_000;
/** Longer than any wait for an election, several times. */
const isolatedMs = isLongForm ? 30_000 : 5_000;

async function cut(links: readonly Link[]): Promise<void> {
  const count = (): number => links.reduce((sum, { held }) => sum + held, 0);
  const before = count();
  for (const link of links) link.set({ isCut: true });
  await until("bytes held back by the cut links", 6_000, () => count() > before);
}

/** A put whose connection may break; null: no answer. */
async function tryPut(node: ClusterNode, key: string, value: string): Promise<Answer | null> {
  try {
    return await node.put(key, value);
  } catch (error) {
    if (error instanceof NoAnswer) return null;
    throw error;
  }
}

/** A leader among the nodes other than `old`. */
function nextLeader(world: World, old: ClusterNode): Promise<ClusterNode> {
  return until("another leader", electionMs, async () => {
    const others = world.cluster.nodes.filter((node) => node !== old);
    const states = await Promise.all(others.map((node) => node.status()));
    const leading = states.find(({ role }) => role === "leader");
    return leading && world.cluster.node(leading.nodeId);
  });
}

scenario(
  "an isolated leader that clients still reach acknowledges and answers nothing",
  async (scope) => {
    const world = await World.start(scope, plain);
    const { cluster, network } = world;
    const old = await cluster.leader();
    await old.mustPut("clock", "before");
    const clients = Clients.start(cluster, { seed: 1 });
    scope.onEnd(() => clients.stop());
    await clients.progresses(50, electionMs);
    await cut(network.waysOf(old.id));
    // Some reach it while it still believes that it leads.
    const puts = Array.from({ length: 8 }, (_, i) => tryPut(old, `lost-${i}`, "lost"));
    const next = await nextLeader(world, old);
    await next.mustPut("clock", "after");
    let reads = 0;
    const reading = throughout(1_000, async () => {
      const { status, text } = await old.get("clock");
      assert.is(status, 503, `the isolated node answered ${status} ${text}`);
      reads++;
    });
    for (const answer of await Promise.all(puts))
      assert.ok(answer !== null && answer.status >= 503);
    await reading;
    assert.ok(reads > 0);
    network.heal();
    await cluster.whole();
    assert.is((await old.get("clock")).text, "after");
    await cluster.assertSameState();
    // Only unknown ones may be there, and none was told to be refused and is there all the same.
    for (const [i, put] of puts.entries()) {
      if ((await put)?.status !== 503) continue;
      assert.is((await old.get(`lost-${i}`)).status, 404, `lost-${i} was not_applied`);
    }
  },
);

for (const way of ["cannot receive", "cannot send"] as const) {
  scenario(`a leader that ${way} is replaced`, async (scope) => {
    const world = await World.start(scope, plain);
    const { cluster, network } = world;
    const old = await cluster.leader();
    const clients = Clients.start(cluster, { seed: 1 });
    scope.onEnd(() => clients.stop());
    await clients.progresses(50, electionMs);
    await cut(way === "cannot receive" ? network.waysTo(old.id) : network.waysFrom(old.id));
    const began = performance.now();
    const next = await nextLeader(world, old);
    await next.mustPut("progress", way, progressMs);
    const tookMs = performance.now() - began;
    assert.ok(tookMs < progressMs, `it took ${tookMs} ms`);
    await until("the old leader has stepped down", progressMs, async () => {
      return (await old.status()).role !== "leader";
    });
    network.heal();
    await cluster.whole();
    await clients.stop();
    await cluster.assertSameState();
    await clients.readAll();
    assertSound(clients);
  });
}

scenario("a follower that was isolated for long does not depose the leader", async (scope) => {
  const world = await World.start(scope, plain);
  const { cluster, network } = world;
  const leader = await cluster.leader();
  const [follower] = await cluster.followers();
  assert.ok(follower);
  const { term } = await leader.status();
  await cut(network.waysOf(follower.id));
  let written = 0;
  await throughout(isolatedMs, async () => {
    assert.ok((await leader.put("count", String(++written))).status <= 201);
  });
  const asked = await follower.status();
  assert.is(asked.term, term, "its pre-votes reach nobody, so its term stays");
  assert.is.not(asked.role, "follower", "it looks for a leader");
  network.heal();
  assert.is((await cluster.whole()).id, leader.id);
  assert.is((await leader.status()).term, term);
  assert.is((await follower.get("count")).text, String(written));
  await cluster.assertSameState();
});

scenario("a forwarded write whose answer is lost is never told to have failed", async (scope) => {
  const world = await World.start(scope, plain);
  const { cluster, network } = world;
  const leader = await cluster.leader();
  const [follower] = await cluster.followers();
  assert.ok(follower);
  const link = network.link(leader.id, follower.id);
  const before = link.held;
  link.set({ isCut: true });
  const puts = Array.from({ length: 16 }, (_, i) => tryPut(follower, `forwarded-${i}`, "x"));
  // The leader has them before the follower finds that it is alone.
  await until("the leader applied what was forwarded", 5_000, async () => {
    return (await leader.get("forwarded-15")).status === 200;
  });
  const answers = await Promise.all(puts);
  assert.ok(link.held > before, "answers were held back");
  network.heal();
  await cluster.whole();
  let unknown = 0;
  for (const [i, answer] of answers.entries()) {
    const { status } = await follower.get(`forwarded-${i}`);
    assert.ok(answer !== null);
    if (status === 200) assert.is.not(answer.status, 503, "it was applied, and told not to be");
    if (answer.status === 504) unknown++;
  }
  assert.ok(unknown > 0, "some were answered with unknown");
  await cluster.assertSameState();
});

test.run();
