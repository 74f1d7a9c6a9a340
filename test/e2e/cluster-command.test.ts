/** `kv cluster`: three nodes and one prompt, which end together and leave nobody behind. */

import { readdirSync, readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { skipped } from "../harness/skipped.ts";
import { Cluster, formationMs } from "./cluster.ts";
import { commandOf } from "./executable.ts";
import { type Input, KvProcess, whyNoTerminal } from "./process.ts";
import { type Scope, scenario } from "./scope.ts";
import { until } from "./wait.ts";

/** Three nodes end within three seconds each, at the same time; a little for the fourth process. */
const endMs = 5_000;

/** Process ids of all whose command line speaks of `word`. Only where there is a /proc. */
function processesWith(word: string): number[] {
  const isNumber = /^\d+$/;
  let names: string[] = [];
  try {
    names = readdirSync("/proc").filter((name) => isNumber.test(name));
  } catch {
    return [];
  }
  return names.map(Number).filter((pid) => {
    try {
      return pid !== process.pid && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(word);
    } catch {
      return false;
    }
  });
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => socket.destroy());
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
  });
}

/** Starts `kv cluster` for the nodes of `all`. */
function startOne(scope: Scope, all: Cluster, input: Input): KvProcess {
  const words = ["cluster", "--cluster", all.spec, "--data-dir", all.dataDirectory];
  // Its nodes are nobody's processes but its own; if it fails to end them, this does.
  scope.onEnd(() => {
    for (const pid of processesWith(all.dataDirectory)) process.kill(pid, "SIGKILL");
  });
  const command = [...commandOf("executable"), ...words];
  return new KvProcess(scope, { name: "kv cluster", command, input });
}

/** Starts `kv cluster` and waits until its nodes serve. */
async function start(scope: Scope, input: Input): Promise<{ all: Cluster; child: KvProcess }> {
  const all = await Cluster.prepare(scope);
  const child = startOne(scope, all, input);
  await until("the three nodes serve", formationMs, async () => {
    if (!child.isRunning) throw new Error(child.stderr);
    const ready = await Promise.all(all.nodes.map((node) => node.isReady()));
    return ready.every(Boolean);
  });
  return { all, child };
}

async function assertNobodyLeft(all: Cluster): Promise<void> {
  assert.equal(processesWith(all.dataDirectory), []);
  for (const { httpPort, raftPort } of all.nodes) {
    assert.not(await isOpen(httpPort));
    assert.not(await isOpen(raftPort));
  }
}

scenario("through a pipe it runs lines and ends on exit", async (scope) => {
  const { all, child } = await start(scope, "pipe");
  child.write('put greeting "hello world"\nget greeting\n');
  await child.says(/^hello world$/m);
  for (const node of all.nodes) assert.is((await node.get("greeting")).text, "hello world");
  child.write("exit\n");
  assert.equal(await child.endsWithin(endMs), { code: 0, signal: null });
  await assertNobodyLeft(all);
});

scenario("lines that are there before the nodes are up wait for them", async (scope) => {
  const all = await Cluster.prepare(scope);
  const child = startOne(scope, all, "pipe");
  child.write("put early x\nget early\nexit\n");
  assert.equal(await child.endsWithin(formationMs), { code: 0, signal: null });
  assert.match(child.stdout, /^created, revision \d+\nx\n$/);
  await assertNobodyLeft(all);
});

scenario("kill -9 of it ends its nodes, which keep what they have", async (scope) => {
  const { all, child } = await start(scope, "none");
  await all.node(1).mustPut("kept", "x");
  await child.kill();
  await until("its nodes end", endMs, () => processesWith(all.dataDirectory).length === 0);
  await assertNobodyLeft(all);
  all.startAll();
  await all.whole();
  assert.is((await all.node(2).get("kept")).text, "x");
});

scenario("after the end of the pipe it goes on serving", async (scope) => {
  const { all, child } = await start(scope, "pipe");
  child.write("put last x\n");
  child.endInput();
  await until("the line is run", 5_000, async () => (await all.node(2).get("last")).text === "x");
  await all.node(3).mustPut("more", "x");
  assert.ok(child.isRunning);
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  scenario(
    `${signal} ends all nodes in order, and their data is that of single nodes`,
    async (scope) => {
      const { all, child } = await start(scope, "none");
      await all.node(1).mustPut("kept", "x");
      child.signal(signal);
      assert.equal(await child.endsWithin(endMs), { code: 0, signal: null });
      await assertNobodyLeft(all);
      all.startAll();
      await all.whole();
      assert.is((await all.node(2).get("kept")).text, "x");
    },
  );
}

scenario("on a terminal it has a prompt; Ctrl-C drops the line and no node", async (scope) => {
  const reason = whyNoTerminal();
  if (reason !== null) return skipped(reason);
  const { all, child } = await start(scope, "terminal");
  await child.says(/kv\[[^\]]*\]> /);
  const from = child.stdout.length;
  child.write('put typed "by hand"\rget typed\r');
  await child.says(/(?:^|[\r\n])by hand(?=[\r\n])/, { from });
  child.write("put dropped x");
  child.write("\x03");
  child.write("get dropped\r");
  await child.says(/not found/, { from });
  for (const node of all.nodes) assert.is((await node.get("typed")).text, "by hand");
  child.write("exit\r");
  assert.equal(await child.endsWithin(endMs), { code: 0, signal: null });
  await assertNobodyLeft(all);
});

scenario("a port that is taken is one clear end, and nobody is left", async (scope) => {
  const all = await Cluster.prepare(scope);
  const { httpPort } = all.node(2);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(httpPort, "127.0.0.1", resolve));
  scope.onEnd(() => void server.close());
  const child = startOne(scope, all, "none");
  const { code } = await child.endsWithin(formationMs);
  assert.is(code, 1, child.stderr);
  const naming = child.errorLines.filter((line) => line.includes(String(httpPort)));
  assert.is(naming.length, 1, child.stderr);
  assert.equal(processesWith(all.dataDirectory), []);
});

scenario("started twice, the second says what is taken and the first goes on", async (scope) => {
  const { all, child } = await start(scope, "none");
  await all.node(1).mustPut("kept", "x");
  const second = startOne(scope, all, "none");
  const { code } = await second.endsWithin(formationMs);
  assert.is(code, 1, second.stderr);
  const ports = all.nodes.flatMap(({ httpPort, raftPort }) => [String(httpPort), String(raftPort)]);
  const taken = [...ports, all.dataDirectory];
  const naming = second.errorLines.filter((line) => taken.some((word) => line.includes(word)));
  assert.ok(naming.length > 0, second.stderr);
  assert.ok(child.isRunning);
  assert.is((await all.node(2).get("kept")).text, "x");
  await all.node(3).mustPut("more", "x");
});

test.run();
