/** The same source on Bun, Deno and Node, and the executable: mixed in one cluster, on the same files. */

import { cpSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster } from "./cluster.ts";
import { commandOf, type Form } from "./executable.ts";
import { KvProcess } from "./process.ts";
import { scenario } from "./scope.ts";

/** Each node writes, and all read what it wrote. */
async function assertAcross(cluster: Cluster, what: string): Promise<void> {
  const value = Uint8Array.from({ length: 1_000 }, (_, offset) => offset % 256);
  for (const writer of cluster.nodes) {
    const key = `${what}/${writer.id} ä😀`;
    await writer.mustPut(key, value);
    for (const reader of cluster.nodes) {
      const answer = await reader.get(key);
      assert.ok(Buffer.from(value).equals(answer.body), `${key} on node ${reader.id}`);
      assert.is(answer.headers["content-type"], "application/octet-stream");
    }
  }
  await cluster.assertSameState();
}

scenario("Bun, Deno and Node form one cluster and read each other's writes", async (scope) => {
  const cluster = await Cluster.start(scope, { forms: ["bun", "deno", "node"] });
  await assertAcross(cluster, "mixed");
  for (const node of cluster.nodes) {
    await node.kill();
    await cluster.leader();
    node.start();
    await cluster.whole();
  }
  await assertAcross(cluster, "restarted");
  for (const node of cluster.nodes) await node.stop();
});

scenario("files written on one runtime are read on every other", async (scope) => {
  const forms: Form[] = ["executable", "bun", "deno", "node"];
  const cluster = await Cluster.start(scope, { forms });
  await cluster.node(1).mustPut("first", "x");
  for (let turn = 1; turn <= 3; turn++) {
    await cluster.stopAll();
    cluster.nodes.forEach((node, offset) => {
      node.form = forms[(offset + turn) % forms.length] ?? "executable";
    });
    cluster.startAll();
    await cluster.whole();
    assert.is((await cluster.node(1).get("first")).text, "x");
    await assertAcross(cluster, `turn-${turn}`);
  }
});

scenario("a directory is locked across runtimes", async (scope) => {
  for (const [holder, second] of [
    ["bun", "node"],
    ["node", "deno"],
    ["deno", "executable"],
    ["executable", "bun"],
  ] as const) {
    const cluster = await Cluster.start(scope, { size: 1, forms: [holder] });
    const elsewhere = await Cluster.prepare(scope, { size: 1 });
    const { httpPort, raftPort } = elsewhere.node(1);
    const words = ["--nodeid", "1", "--data-dir", cluster.dataDirectory, "--cluster", cluster.spec];
    const addresses = ["--http", `127.0.0.1:${httpPort}`, "--raft", `127.0.0.1:${raftPort}`];
    const command = [...commandOf(second), ...words, ...addresses, "--no-repl"];
    const child = new KvProcess(scope, { name: `${second} beside ${holder}`, command });
    assert.equal(await child.endsWithin(10_000), { code: 1, signal: null }, child.stderr);
    assert.is(child.errorLines.length, 1, child.stderr);
    assert.ok(child.stderr.includes(cluster.node(1).directory), child.stderr);
    await cluster.killAll();
  }
});

for (const form of ["bun", "deno", "node"] as const) {
  scenario(`wrong use is one line on ${form} too`, async (scope) => {
    const command = [...commandOf(form), "--nodeid", "4"];
    const directory = scope.temporaryDirectory();
    const child = new KvProcess(scope, { name: `${form} --nodeid 4`, command, directory });
    assert.equal(await child.endsWithin(10_000), { code: 2, signal: null }, child.stderr);
    assert.is(child.errorLines.length, 1, child.stderr);
    assert.match(child.stderr, /4/);
  });

  scenario(`the node on ${form} runs the lines of a pipe and goes on serving`, async (scope) => {
    const cluster = await Cluster.prepare(scope, { size: 1, forms: [form] });
    const node = cluster.node(1);
    node.start({ input: "pipe" });
    await cluster.whole();
    node.process.write('put piped "through a pipe"\nget piped\n');
    node.process.endInput();
    await node.process.says(/^through a pipe$/m);
    await node.mustPut("after", "x");
    await node.stop();
  });
}

scenario("a directory may be moved to another place", async (scope) => {
  const cluster = await Cluster.start(scope, { size: 1 });
  await cluster.node(1).mustPut("moved", "x");
  await cluster.stopAll();
  const before = cluster.node(1).directory;
  cluster.moveToEmptyDirectory();
  cpSync(before, join(cluster.dataDirectory, "node-1"), { recursive: true });
  cluster.startAll();
  await cluster.whole();
  assert.is((await cluster.node(1).get("moved")).text, "x");
});

test.run();
