/** The client library against real nodes: on every runtime, and through what happens to a cluster. */

import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { connect, KvError } from "../../client/client.ts";
import { Cluster, electionMs, type ClusterNode } from "./cluster.ts";
import { root } from "./executable.ts";
import { freePorts } from "./ports.ts";
import { KvProcess } from "./process.ts";
import { scenario, type Scope } from "./scope.ts";
import { until } from "./wait.ts";

const originOf = ({ httpPort }: ClusterNode): string => `http://127.0.0.1:${httpPort}`;

const originsOf = (nodes: readonly ClusterNode[]): string[] => nodes.map(originOf);

/** A client that ends with the test, and notes whom it asks. */
function clientOf(scope: Scope, endpoints: readonly string[], timeout = 10_000) {
  const asked: string[] = [];
  const kv = connect(endpoints, {
    timeout,
    fetch: (url, init) => {
      if (!url.endsWith("/v1/status")) asked.push(new URL(url).origin);
      return fetch(url, init);
    },
  });
  scope.onEnd(() => kv.close());
  return { kv, asked };
}

async function failureOf(promise: Promise<unknown>): Promise<KvError> {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!KvError.is(error)) throw new Error(`no KvError, but ${String(error)}`);
  return error;
}

const runtimes = {
  node: [],
  bun: [],
  deno: ["run", "-A"],
} as const;

scenario("the same program runs on Node, Bun and Deno, and ends by itself", async (scope) => {
  const cluster = await Cluster.start(scope);
  const program = join(root, "test/e2e/client-program.ts");
  for (const [runtime, words] of Object.entries(runtimes)) {
    const child = new KvProcess(scope, {
      name: `client on ${runtime}`,
      command: [
        join(root, "node_modules/.bin", runtime),
        ...words,
        program,
        originsOf(cluster.nodes).join(","),
        `${runtime}/`,
      ],
    });
    const ending = await child.endsWithin(30_000);
    assert.equal(ending, { code: 0, signal: null }, `${runtime}: ${child.stderr}`);
    assert.is(child.stdout, "done\n", runtime);
  }
});

scenario("no write is lost or left in doubt while leaders are killed", async (scope) => {
  const cluster = await Cluster.start(scope);
  const { kv } = clientOf(scope, originsOf(cluster.nodes));
  const acknowledged = new Map<string, number>();
  let counted = 0;
  const over = new AbortController();
  const writer = async (): Promise<void> => {
    for (let turn = 0; !over.signal.aborted; turn++) {
      const { revision } = await kv.put(`key-${turn}`, String(turn));
      acknowledged.set(`key-${turn}`, revision);
      // A write that is done twice counts twice.
      await kv.incr("writes");
      counted++;
    }
  };
  const writing = writer();
  for (let kills = 0; kills < 2; kills++) {
    const goal = acknowledged.size + 20;
    await until("more writes", electionMs, () => acknowledged.size >= goal);
    const leader = await cluster.leader();
    await leader.kill();
    const after = acknowledged.size + 20;
    await until("writes without the old leader", 2 * electionMs, () => acknowledged.size >= after);
    leader.start();
    await cluster.whole();
  }
  over.abort();
  await writing;
  assert.is((await kv.get("writes"))?.text(), String(counted));
  for (const [key, revision] of acknowledged) assert.is((await kv.get(key))?.revision, revision);
});

scenario("a watch sees every change once and in order while nodes are killed", async (scope) => {
  const cluster = await Cluster.start(scope);
  const { kv } = clientOf(scope, originsOf(cluster.nodes));
  const { kv: watcher } = clientOf(scope, originsOf(cluster.nodes));
  const { revision: since } = await kv.put("begin", "");
  const written: string[] = [];
  const seen: string[] = [];
  const revisions: number[] = [];
  const watching = (async (): Promise<void> => {
    for await (const change of watcher.watch({ prefix: "w/", since })) {
      seen.push(`${change.key} ${change.text()}`);
      revisions.push(change.revision);
      if (change.key === "w/end") return;
    }
  })();
  const over = new AbortController();
  const writing = (async (): Promise<void> => {
    for (let turn = 0; !over.signal.aborted; turn++) {
      // Two keys in one revision: a connection that breaks between them loses neither.
      const pair = [`w/a ${turn}`, `w/b ${turn}`];
      const put = (key: string) => ({ op: "put", key, value: String(turn) }) as const;
      await kv.txn().do(put("w/a"), put("w/b")).commit();
      written.push(...pair);
    }
  })();
  for (const node of [...cluster.nodes, ...cluster.nodes]) {
    const goal = seen.length + 20;
    await until("more changes are seen", 3 * electionMs, () => seen.length >= goal);
    await node.kill();
    await cluster.leader(2 * electionMs);
    node.start();
    await cluster.whole();
  }
  over.abort();
  await writing;
  await kv.put("w/end", "");
  await watching;
  assert.equal(new Set(seen).size, seen.length, "a change came twice");
  assert.equal(
    revisions,
    revisions.toSorted((a, b) => a - b),
  );
  const missing = written.filter((text) => !seen.includes(text));
  assert.equal(missing, []);
});

scenario("one endpoint is enough to find the others and the leader", async (scope) => {
  const cluster = await Cluster.start(scope);
  const [follower] = await cluster.followers();
  assert.ok(follower);
  const { kv, asked } = clientOf(scope, [originOf(follower)]);
  await kv.put("k", "v");
  const leader = await cluster.leader();
  await until("the leader is asked itself", electionMs, async () => {
    await kv.put("k", "v");
    return asked.at(-1) === originOf(leader);
  });
  await follower.kill();
  await kv.put("k", "w");
  assert.is((await kv.get("k"))?.text(), "w");
});

scenario("a node that is no member any more is forgotten", async (scope) => {
  const cluster = await Cluster.start(scope);
  const leader = await cluster.leader();
  const [gone] = await cluster.followers();
  assert.ok(gone);
  const { kv, asked } = clientOf(scope, [originOf(gone)]);
  await kv.put("k", "v");
  const { headers } = await leader.ask("GET", "/v1/members");
  const removed = await leader.ask("DELETE", `/v1/members/${gone.id}`, {
    headers: { "If-Match": String(headers.etag) },
  });
  assert.is(removed.status, 200, removed.text);
  await gone.process.endsWithin(10_000);
  await leader.kill();
  await failureOf(kv.put("k", "w", { signal: AbortSignal.timeout(500) }));
  leader.start();
  // Whoever comes to lead says who the members are.
  await until("writes again", 2 * electionMs, () => kv.put("k", "w"));
  await until("the members are learned", electionMs, async () => {
    await kv.put("k", "w");
    asked.length = 0;
    await leader.kill();
    await failureOf(kv.put("k", "x", { signal: AbortSignal.timeout(500) }));
    leader.start();
    await until("writes again", 2 * electionMs, () => kv.put("k", "y"));
    return !asked.includes(originOf(gone));
  });
});

scenario("without a majority a write fails in time and says it was not applied", async (scope) => {
  const cluster = await Cluster.start(scope);
  const { kv } = clientOf(scope, originsOf(cluster.nodes), 4_000);
  await kv.put("k", "v");
  const [first, second] = await cluster.followers();
  await first?.kill();
  await second?.kill();
  await until("the last one steps down", electionMs, async () => {
    const state = await cluster.running[0]?.status();
    return state?.leaderId === null;
  });
  const started = performance.now();
  const error = await failureOf(kv.put("k", "w"));
  assert.equal([error.code, error.outcome], ["no_leader", "not_applied"], error.message);
  assert.ok(performance.now() - started < 8_000);
  assert.is((await failureOf(kv.get("k"))).outcome, undefined);
  const local = await kv.get("k", { level: "local" });
  assert.is(local?.text(), "v");
});

scenario("where nobody listens it says so, and that nothing was applied", async (scope) => {
  const [port = 0] = await freePorts(1);
  const { kv } = clientOf(scope, [`127.0.0.1:${port}`], 2_000);
  const error = await failureOf(kv.put("k", "v"));
  assert.equal([error.code, error.status], ["unreachable", null]);
  assert.is(error.outcome, "not_applied");
});

scenario("a signal ends a call, and close() ends them all", async (scope) => {
  const cluster = await Cluster.start(scope, { size: 1 });
  const { kv } = clientOf(scope, originsOf(cluster.nodes));
  await kv.put("k", "v");
  cluster.node(1).process.signal("SIGSTOP");
  scope.onEnd(() => cluster.node(1).process.signal("SIGCONT"));
  const controller = new AbortController();
  const stopped = failureOf(kv.put("k", "w", { signal: controller.signal }));
  controller.abort();
  const error = await stopped;
  assert.is(error.code, "aborted");
  assert.ok(error.cause instanceof Error);
  const left = failureOf(kv.get("k"));
  kv.close();
  assert.is((await left).code, "aborted");
  assert.is((await failureOf(kv.put("k", "x"))).code, "aborted");
});

scenario("a read goes on elsewhere when the asked node is frozen", async (scope) => {
  const cluster = await Cluster.start(scope);
  const [frozen] = await cluster.followers();
  assert.ok(frozen);
  const { kv } = clientOf(scope, originsOf([frozen, ...cluster.nodes.filter((n) => n !== frozen)]));
  frozen.process.signal("SIGSTOP");
  scope.onEnd(() => frozen.process.signal("SIGCONT"));
  assert.is(await kv.get("nothing"), undefined);
});

test.run();
