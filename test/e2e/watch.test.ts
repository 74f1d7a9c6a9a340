/** Watching real nodes: nothing is missed or repeated while they are killed, and nobody is a burden. */

import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { connect as kvConnect, KvError } from "../../client/client.ts";
import { Cluster, electionMs, type ClusterNode } from "./cluster.ts";
import { commandOf } from "./executable.ts";
import { KvProcess } from "./process.ts";
import { scenario, type Scope } from "./scope.ts";
import { until } from "./wait.ts";
import { watchersOf, watchUnderKills } from "./watchers.ts";

scenario(
  "watchers see every acknowledged change once, in order, while leaders are killed",
  async (scope) => {
    console.log(await watchUnderKills(scope, { watchers: 6, writers: 6, kills: 4, writes: 50 }));
  },
);

const rssOf = ({ process }: ClusterNode): number =>
  1_024 * Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${process.pid}/status`, "utf8"))?.[1]);

/** A client that asks for all changes and reads none of them. */
function deafWatcher(scope: Scope, port: number): Socket {
  const socket = connect(port, "127.0.0.1");
  scope.onEnd(() => void socket.destroy());
  socket.on("error", () => {});
  socket.write("GET /v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n");
  socket.pause();
  return socket;
}

scenario("watchers that read nothing are cut off, and take no memory that grows", async (scope) => {
  const cluster = await Cluster.start(scope, { size: 1 });
  const node = await cluster.leader();
  const [reader] = watchersOf(cluster, 1, await node.mustPut("begin", ""));
  assert.ok(reader);
  scope.onEnd(() => reader.stop());
  const deaf = Array.from({ length: 20 }, () => deafWatcher(scope, node.httpPort));
  const value = "x".repeat(256 << 10);
  const fill = async (rounds: number): Promise<void> => {
    for (let round = 0; round < rounds; round++) await node.mustPut("w/large", value);
  };
  // The history is full once.
  await fill(80);
  const before = rssOf(node);
  await fill(240);
  const grown = rssOf(node) - before;
  const last = await node.mustPut("w/last", "");
  await until("the reader has seen all", 10_000, () => reader.revision >= last);
  assert.is(reader.lines.length, 321);
  let cutOff = 0;
  for (const socket of deaf) {
    socket.on("close", () => cutOff++);
    socket.resume();
  }
  await until("all of the others are cut off", 10_000, () => cutOff === deaf.length);
  // Each of them would wait for 60 MiB.
  assert.ok(grown < 200 << 20, `${(grown / 2 ** 20).toFixed(0)} MiB more for 20 watchers`);
  console.log(`60 MiB written, 20 deaf watchers: ${(grown / 2 ** 20).toFixed(1)} MiB more`);
});

scenario("kv watch prints a line for each change, and ends with 0", async (scope) => {
  const cluster = await Cluster.start(scope, { size: 1 });
  const node = await cluster.leader();
  const endpoint = `127.0.0.1:${node.httpPort}`;
  const watch = new KvProcess(scope, {
    name: "kv watch",
    command: [...commandOf("executable"), "watch", "a/", "--endpoints", endpoint],
  });
  const revisions: number[] = [];
  await until("a change is seen", 10_000, async () => {
    revisions.push(await node.mustPut("a/1", "one"));
    return revisions.some((revision) => watch.stdout.includes(`${revision} put a/1 = one\n`));
  });
  await node.put("b", "no");
  const { revision } = (await node.ask("DELETE", "/v1/kv/a%2F1")).json();
  await until("the delete is seen", 5_000, () =>
    watch.stdout.includes(`${String(revision)} delete a/1\n`),
  );
  assert.not.match(watch.stdout, "no");
  watch.signal("SIGINT");
  assert.equal(await watch.endsWithin(2_000), { code: 0, signal: null });
});

scenario("a node that stops sends its watchers elsewhere", async (scope) => {
  const cluster = await Cluster.start(scope);
  const [follower] = await cluster.followers();
  assert.ok(follower);
  const since = await follower.mustPut("begin", "");
  const first = cluster.nodes.indexOf(follower);
  const watcher = watchersOf(cluster, 3, since)[first];
  assert.ok(watcher);
  scope.onEnd(() => watcher.stop());
  const early = await follower.mustPut("w/1", "1");
  await until("it watches", electionMs, () => watcher.revision >= early);
  await follower.stop();
  const late = await (await cluster.leader()).mustPut("w/2", "2");
  await until("it watches elsewhere", electionMs, () => watcher.revision >= late);
  assert.equal(watcher.lines, [`${early} put w/1=1`, `${late} put w/2=2`]);
});

/** As an `EventSource` that comes back: what it is given behind the last id it has seen. */
async function eventsAfter(node: ClusterNode, id: number, count: number): Promise<string[]> {
  const address = `http://127.0.0.1:${node.httpPort}/v1/watch?prefix=w/`;
  const headers = { "Last-Event-ID": String(id) };
  const response = await fetch(address, { headers });
  assert.is(response.status, 200);
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    const seen = [...text.matchAll(/^id: (\d+)\nevent: put\ndata: .*"key":"(.*?)"/gm)];
    if (seen.length >= count) return seen.map(([, revision, key]) => `${revision} ${key}`);
  }
  throw new Error("the stream has ended");
}

scenario(
  "after an orderly restart of every node, whoever was behind misses nothing",
  async (scope) => {
    const cluster = await Cluster.start(scope, { size: 1 });
    const node = await cluster.leader();
    const since = await node.mustPut("begin", "");
    const kv = kvConnect(`127.0.0.1:${node.httpPort}`);
    scope.onEnd(() => kv.close());
    const written: string[] = [];
    const seen: string[] = [];
    const watching = (async () => {
      for await (const { revision, key } of kv.watch({ prefix: "w/", since })) {
        seen.push(`${revision} ${key}`);
      }
    })().catch((error: unknown) => error);
    const write = async (key: string): Promise<number> => {
      const revision = await node.mustPut(key, "");
      written.push(`${revision} ${key}`);
      return revision;
    };
    await write("w/1");
    const between = await write("w/2");
    await write("w/3");
    assert.equal(await node.stop(), { code: 0, signal: null });
    node.start();
    await cluster.leader();
    await write("w/4");
    await until("the client has seen all", electionMs, () => seen.length >= written.length);
    assert.equal(seen, written);
    assert.equal(await eventsAfter(node, between, 2), written.slice(2));
    // What it has not written down itself, it does not make up.
    await node.kill();
    node.start();
    await cluster.leader();
    const gone = await node.ask("GET", `/v1/watch?since=${since}`);
    assert.is(gone.status, 410);
    kv.close();
    assert.ok(KvError.is(await watching, "aborted"));
  },
);

test.run();
