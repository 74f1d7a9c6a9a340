/** Locks on the executable: one holder at a time, over nodes and leaders, and nobody waits for the dead. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { connect, KvError } from "../../client/client.ts";
import { Cluster, electionMs } from "./cluster.ts";
import { scenario } from "./scope.ts";
import { until } from "./wait.ts";

scenario("holders of a lock take turns while the leader is killed", async (scope) => {
  const cluster = await Cluster.start(scope);
  const endpoints = cluster.nodes.map(({ httpPort }) => `http://127.0.0.1:${httpPort}`);
  const over = new AbortController();
  const tokens: number[] = [];
  let inside = 0;
  let counted = 0;
  const worker = async (): Promise<void> => {
    const kv = connect(endpoints);
    scope.onEnd(() => kv.close());
    while (!over.signal.aborted) {
      await using lock = await kv.lock("l", { ttl: "4s" });
      // A holder who has lost it may still be here; the token fences him off.
      assert.ok(inside === 0 || tokens.at(-1) !== lock.token);
      tokens.push(lock.token);
      inside++;
      const before = Number((await kv.get("n"))?.text() ?? 0);
      const { succeeded } = await kv
        .txn()
        .when({ lock: "l", token: lock.token })
        .do({ op: "put", key: "n", value: String(before + 1) })
        .commit();
      if (succeeded) counted++;
      else assert.ok(lock.signal.aborted, "only a lost lock is fenced off");
      inside--;
    }
  };
  const workers = [worker(), worker(), worker()];
  await until("some turns", electionMs, () => counted >= 10);
  await (await cluster.leader()).kill();
  const goal = counted + 10;
  await until("turns under another leader", 2 * electionMs, () => counted >= goal);
  over.abort();
  await Promise.all(workers);
  const kv = connect(endpoints);
  scope.onEnd(() => kv.close());
  assert.is((await kv.get("n"))?.text(), String(counted));
  assert.equal(
    tokens,
    tokens.toSorted((a, b) => a - b),
  );
  assert.is(new Set(tokens).size, tokens.length);
});

scenario("a waiter who has gone is passed over, on whichever node he waited", async (scope) => {
  const cluster = await Cluster.start(scope);
  const origins = cluster.nodes.map(({ httpPort }) => `http://127.0.0.1:${httpPort}`);
  const [one = "", two = "", three = ""] = origins;
  const kv = connect(origins);
  scope.onEnd(() => kv.close());
  const waiting = async (): Promise<unknown> => {
    const response = await fetch(`${one}/v1/locks/l`);
    return ((await response.json()) as { waiting: number }).waiting;
  };
  const holder = await kv.lock("l", { ttl: "60s" });
  const gone = new AbortController();
  const impatient = connect([two]).lock("l", { ttl: "60s", signal: gone.signal });
  await until("one waits", electionMs, async () => (await waiting()) === 1);
  const next = connect([three]).lock("l", { ttl: "60s" });
  await until("two wait", electionMs, async () => (await waiting()) === 2);
  gone.abort();
  const error: unknown = await impatient.catch((reason: unknown) => reason);
  assert.ok(KvError.is(error, "aborted"));
  await until("one has gone", electionMs, async () => (await waiting()) === 1);
  await holder.release();
  await (await next).release();
});

test.run();
