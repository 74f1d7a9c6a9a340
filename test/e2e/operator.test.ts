/** Backup, restore, check and recover, as the person who runs a cluster uses them. */

import { createHash } from "node:crypto";
import { cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster, formationMs } from "./cluster.ts";
import { commandOf } from "./executable.ts";
import { Load } from "./load.ts";
import { KvProcess } from "./process.ts";
import { type Scope, scenario } from "./scope.ts";

const commandMs = 20_000;

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function kv(scope: Scope, ...words: string[]): Promise<Ran> {
  const child = new KvProcess(scope, {
    name: `kv ${words.join(" ")}`,
    command: [...commandOf("executable"), ...words],
    directory: scope.temporaryDirectory(),
  });
  const { code } = await child.endsWithin(commandMs);
  return { code, stdout: child.stdout, stderr: child.stderr };
}

const endpointsOf = (cluster: Cluster): string =>
  cluster.nodes.map(({ httpPort }) => `127.0.0.1:${httpPort}`).join(",");

const backUp = (scope: Scope, cluster: Cluster, file: string, ...more: string[]): Promise<Ran> =>
  kv(scope, "backup", file, "--endpoints", endpointsOf(cluster), ...more);

/** Every file below `path` and what is in it. */
function contents(path: string): string[] {
  const names = readdirSync(path, { recursive: true, encoding: "utf8" }).sort();
  return names
    .filter((name) => statSync(join(path, name)).isFile())
    .map(
      (name) =>
        `${name} ${createHash("sha1")
          .update(readFileSync(join(path, name)))
          .digest("hex")}`,
    );
}

scenario(
  "a backup taken under load becomes a new cluster, and the old one a stranger",
  async (scope) => {
    const old = await Cluster.start(scope);
    const leader = await old.leader();
    const values = new Map<string, { value: string; revision: number }>();
    for (let i = 0; i < 300; i++) {
      const value = `value ${i} `.repeat(1 + (i % 50));
      values.set(`k${i}`, { value, revision: await leader.mustPut(`k${i}`, value) });
    }
    const load = Load.start(old);
    await load.progresses(50, commandMs);
    const file = join(scope.temporaryDirectory(), "kv backup.sqlite");
    const made = await backUp(scope, old, file);
    assert.is(made.code, 0, made.stderr);
    await load.progresses(50, commandMs);
    await load.stop();
    load.assertClean();
    const fresh = await Cluster.prepare(scope);
    const restored = await kv(
      scope,
      ...["restore", file, "--data-dir", fresh.dataDirectory, "--cluster", fresh.spec],
    );
    assert.is(restored.code, 0, restored.stderr);
    const checked = await kv(scope, "check", "--data-dir", fresh.dataDirectory);
    assert.is(checked.code, 0, checked.stdout);
    fresh.startAll();
    await fresh.whole(formationMs);
    for (const node of fresh.nodes) {
      for (const [key, { value, revision }] of values) {
        const found = await node.get(key);
        assert.equal([found.text, found.headers.etag], [value, `"${revision}"`], key);
      }
    }
    await fresh.assertSameState();
    const [{ clusterId }, before] = [await fresh.node(1).status(), await leader.status()];
    assert.ok(clusterId !== null && clusterId !== before.clusterId);
    assert.ok((await fresh.node(2).mustPut("new", "x")) > 300);
    const again = await kv(
      scope,
      ...["restore", file, "--data-dir", fresh.dataDirectory, "--cluster", fresh.spec],
    );
    assert.is(again.code, 1);
    assert.match(again.stderr, /node-1 is in use already/);
  },
);

scenario(
  "a backup never replaces a file unasked, and a failed one leaves nothing",
  async (scope) => {
    const cluster = await Cluster.start(scope, { size: 1 });
    await cluster.node(1).mustPut("a", "1".repeat(3_000));
    const directory = scope.temporaryDirectory();
    const file = join(directory, "backup");
    writeFileSync(file, "precious");
    const refused = await backUp(scope, cluster, file);
    assert.equal([refused.code, readFileSync(file, "utf8")], [1, "precious"]);
    assert.match(refused.stderr, /exists already/);
    const forced = await backUp(scope, cluster, file, "--force");
    assert.is(forced.code, 0, forced.stderr);
    assert.is(readFileSync(file).subarray(0, 15).toString(), "SQLite format 3");
    writeFileSync(`${file}.tmp`, "precious");
    const same = join(directory, "same");
    const rivals = await Promise.all([1, 2, 3].map(() => backUp(scope, cluster, same)));
    assert.is(rivals.filter(({ code }) => code === 0).length, 1, "one of them takes the name");
    assert.is(readFileSync(same).subarray(0, 15).toString(), "SQLite format 3");
    await cluster.killAll();
    const nobody = await backUp(scope, cluster, join(directory, "other"));
    assert.is(nobody.code, 3, nobody.stderr);
    assert.equal(readdirSync(directory).sort(), ["backup", "backup.tmp", "same"]);
    assert.is(readFileSync(`${file}.tmp`, "utf8"), "precious");
    const bytes = readFileSync(file);
    bytes[bytes.indexOf("1".repeat(1_000))] = 0x32;
    writeFileSync(file, bytes);
    const target = join(directory, "data");
    const damaged = await kv(scope, "restore", file, "--data-dir", target);
    assert.is(damaged.code, 1, damaged.stderr);
    assert.match(damaged.stderr, /^kv: .*cannot be restored.*\n$/);
    assert.not.ok(existsSync(target));
  },
);

scenario(
  "check finds killed nodes whole and damaged ones not, and changes neither",
  async (scope) => {
    const cluster = await Cluster.start(scope);
    const running = await kv(scope, "check", "--data-dir", cluster.dataDirectory);
    assert.is(running.code, 1);
    assert.match(running.stdout, /node-1: in use by a running node/);
    const leader = await cluster.leader();
    for (let i = 0; i < 100; i++) await leader.mustPut(`k${i}`, "v".repeat(500));
    await cluster.killAll();
    const before = contents(cluster.dataDirectory);
    const whole = await kv(scope, "check", "--data-dir", cluster.dataDirectory);
    assert.is(whole.code, 0, whole.stdout);
    assert.is(whole.stdout.trim().split("\n").length, 3);
    assert.equal(contents(cluster.dataDirectory), before);
    const node = cluster.node(2).directory;
    const [segment = ""] = readdirSync(join(node, "group-0/log"));
    for (const name of ["identity", `group-0/log/${segment}`]) {
      const path = join(node, name);
      const bytes = readFileSync(path);
      const damaged = Buffer.from(bytes);
      damaged[30] = (damaged[30] ?? 0) ^ 1;
      writeFileSync(path, damaged);
      const found = await kv(scope, "check", "--data-dir", cluster.dataDirectory);
      assert.is(found.code, 1, found.stdout);
      const line = found.stdout.split("\n").find((text) => text.includes(path));
      assert.ok(line?.includes("; "), `${path}: ${found.stdout}`);
      writeFileSync(path, bytes);
    }
    assert.equal(contents(cluster.dataDirectory), before);
  },
);

scenario(
  "the last node that is left becomes a cluster of its own, only when it is forced",
  async (scope) => {
    const cluster = await Cluster.start(scope);
    const leader = await cluster.leader();
    for (let i = 0; i < 50; i++) await leader.mustPut(`k${i}`, `v${i}`);
    await cluster.assertSameState();
    const survivor = cluster.nodes.find((node) => node !== leader) ?? leader;
    const { clusterId } = await survivor.status();
    await cluster.killAll();
    const dead = join(scope.temporaryDirectory(), "dead");
    cpSync(leader.directory, dead, { recursive: true });
    const words = ["recover", "--nodeid", String(survivor.id), "--data-dir", cluster.dataDirectory];
    const before = contents(cluster.dataDirectory);
    const asked = await kv(scope, ...words);
    assert.is(asked.code, 2, asked.stderr);
    assert.match(asked.stdout, /LOST FOR GOOD/);
    assert.match(asked.stdout, /Nothing was changed/);
    assert.equal(contents(cluster.dataDirectory), before);
    const forced = await kv(scope, ...words, "--force");
    assert.is(forced.code, 0, forced.stderr);
    survivor.start();
    await survivor.mustPut("after", "x", formationMs);
    for (let i = 0; i < 50; i++) assert.is((await survivor.get(`k${i}`)).text, `v${i}`);
    const status = await survivor.status();
    assert.is.not(status.clusterId, clusterId);
    assert.equal(
      status.members.map(({ id }) => id),
      [survivor.id],
    );
    // The dead come back with what they had, and find no way in.
    leader.start();
    await survivor.mustPut("later", "x", formationMs);
    const answer = await leader.put("stale", "x").catch(() => null);
    assert.ok(answer === null || answer.status === 503, `${answer?.status}`);
    assert.is((await survivor.status()).clusterId, status.clusterId);
  },
);

test.run();
