/** Disks that are full: writes are refused, the rest goes on, and so does all of it with new space. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { skipped } from "../harness/skipped.ts";
import { Cluster, type ClusterNode, electionMs, formationMs, keyPath } from "./cluster.ts";
import { type Scope, scenario } from "./scope.ts";
import { SmallDisk, whyNoSmallDisks } from "./small-disk.ts";
import { until } from "./wait.ts";

const diskBytes = 48 << 20;
/** Within which a cluster notices that a disk is full, or is not any more. */
const noticeMs = 5_000;

async function prepared(
  scope: Scope,
): Promise<{ cluster: Cluster; disks: Map<ClusterNode, SmallDisk> } | null> {
  const why = whyNoSmallDisks(scope);
  if (why !== null) {
    skipped(why);
    return null;
  }
  const cluster = await Cluster.prepare(scope);
  const disks = new Map(
    cluster.nodes.map((node) => [node, new SmallDisk(scope, node, diskBytes)] as const),
  );
  cluster.startAll();
  await cluster.whole();
  return { cluster, disks };
}

const diskState = async (node: ClusterNode): Promise<unknown> =>
  ((await node.status()) as unknown as { disk: { state: unknown } }).disk.state;

async function refuses(node: ClusterNode): Promise<void> {
  await until(`node ${node.id} refuses writes`, noticeMs, async () => {
    const answer = await node.put("more", "x");
    if (answer.status !== 507) return false;
    assert.equal(answer.json()["code"], "no_space");
    assert.equal(answer.json()["outcome"], "not_applied");
    return true;
  });
}

scenario(
  "one disk full: 507 on every node, deletes and reads go on, and it ends by itself",
  async (scope) => {
    const setup = await prepared(scope);
    if (!setup) return;
    const { cluster, disks } = setup;
    const [poor] = await cluster.followers();
    assert.ok(poor);
    for (let i = 0; i < 20; i++) await poor.mustPut(`k${i}`, `v${i}`);
    disks.get(poor)?.fill();
    for (const node of cluster.nodes) await refuses(node);
    assert.is(await diskState(poor), "low");
    for (const node of cluster.nodes) {
      const found = await node.get("k1");
      assert.equal([found.status, found.text], [200, "v1"]);
    }
    for (let i = 2; i < 20; i++) {
      const answer = await poor.ask("DELETE", keyPath(`k${i}`));
      assert.equal([answer.status, answer.json()["deleted"]], [200, 1], answer.text);
    }
    disks.get(poor)?.empty();
    for (const node of cluster.nodes) await node.mustPut("after", "x", noticeMs);
    assert.is(await diskState(poor), "ok");
    await cluster.assertSameState();
  },
);

scenario(
  "all disks full, and killed again and again: nothing is lost and all resumes",
  async (scope) => {
    const setup = await prepared(scope);
    if (!setup) return;
    const { cluster, disks } = setup;
    const leader = await cluster.leader();
    const large = new Uint8Array(300_000).fill(7);
    for (let i = 0; i < 10; i++) await leader.mustPut(`large${i}`, large);
    for (const node of cluster.nodes) disks.get(node)?.fill();
    for (const node of cluster.nodes) await refuses(node);
    for (let round = 0; round < 3; round++) {
      await cluster.killAll();
      for (const node of cluster.nodes) disks.get(node)?.fill();
      cluster.startAll();
      await cluster.whole(formationMs);
      for (const node of cluster.nodes) {
        const found = await node.get("large9");
        assert.equal([found.status, found.body.byteLength], [200, large.byteLength]);
        await refuses(node);
      }
    }
    for (const node of cluster.nodes) disks.get(node)?.empty();
    for (const node of cluster.nodes) await node.mustPut("after", large, noticeMs);
    await cluster.assertSameState();
    for (const node of cluster.nodes) await node.stop();
  },
);

scenario(
  "writes that fill the disks themselves are refused in time, and deletes make room",
  async (scope) => {
    const setup = await prepared(scope);
    if (!setup) return;
    const { cluster, disks } = setup;
    const leader = await cluster.leader();
    const large = new Uint8Array(1 << 20).fill(7);
    let count = 0;
    for (; ; count++) {
      const answer = await leader.put(`large${count}`, large);
      if (answer.status === 507) break;
      assert.ok(answer.status < 300, answer.text);
      assert.ok(count < diskBytes >> 20, "the disk is not endless");
    }
    assert.ok(count > 10, `${count} large values had room`);
    for (const node of cluster.nodes) assert.ok((disks.get(node)?.freeBytes ?? 0) > 1 << 20);
    for (let i = 0; i < count; i++) {
      const answer = await leader.ask("DELETE", keyPath(`large${i}`));
      assert.is(answer.status, 200, answer.text);
    }
    await leader.mustPut("again", large, 2 * electionMs);
    await cluster.assertSameState();
  },
);

test.run();
