/**
 * Very many keys go in the same second, by their TTLs or with their leases, while clients write to and
 * read from every node: how long the longest of them waited, then and before.
 */

import { Agent } from "node:http";
import { Cluster, keyPath, type ClusterNode } from "../e2e/cluster.ts";
import { ask } from "../e2e/http.ts";
import { pause, until } from "../e2e/wait.ts";
import { numbers, run, seconds } from "./run.ts";

const { keys, leased, leaseKeys } = numbers({ keys: 100_000, leased: 100_000, leaseKeys: 10_000 });

const perTransaction = 100;
const json = { "Content-Type": "application/json" };
/** Time to see how long requests take when nothing goes. */
const calmMs = 5_000;

/** Asks one after the other, and notes how long the longest took. */
class Probe {
  longestMs = 0;
  count = 0;
  #isOver = false;
  readonly #loop: Promise<void>;

  constructor(once: () => Promise<unknown>) {
    this.#loop = this.#run(once);
  }

  /** Of the requests since the last time that this was asked. */
  take(): string {
    const text = `${this.longestMs.toFixed(0)} ms (${this.count})`;
    this.longestMs = 0;
    this.count = 0;
    return text;
  }

  stop(): Promise<void> {
    this.#isOver = true;
    return this.#loop;
  }

  async #run(once: () => Promise<unknown>): Promise<void> {
    while (!this.#isOver) {
      const start = performance.now();
      await once();
      this.longestMs = Math.max(this.longestMs, performance.now() - start);
      this.count++;
      await pause(2);
    }
  }
}

async function write(node: ClusterNode, path: string, body: object, agent: Agent) {
  const text = JSON.stringify(body);
  const answer = await ask(node.httpPort, "POST", path, { headers: json, body: text, agent });
  if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${answer.text}`);
  return answer.json();
}

async function fill(
  node: ClusterNode,
  { prefix, count, agent }: { prefix: string; count: number; agent: Agent },
  lasting: (at: number) => object,
): Promise<void> {
  for (let from = 0; from < count; from += perTransaction) {
    const then = Array.from({ length: perTransaction }, (_, at) => {
      return { op: "put", key: `${prefix}${from + at}`, value: "v", ...lasting(from + at) };
    });
    await write(node, "/v1/txn", { then }, agent);
  }
}

async function watchThemGo(
  cluster: Cluster,
  { prefix, count, dueMs }: { prefix: string; count: number; dueMs: number },
): Promise<void> {
  const leader = await cluster.leader();
  const agent = new Agent({ keepAlive: true });
  const probes = new Map<string, Probe>();
  for (const node of cluster.nodes) {
    const name = node === leader ? "leader" : `follower ${node.id}`;
    const { httpPort } = node;
    const body = "v";
    probes.set(
      `puts, ${name}`,
      new Probe(() => ask(httpPort, "PUT", keyPath(`probe/${node.id}`), { body, agent })),
    );
    probes.set(
      `gets, ${name}`,
      new Probe(() => ask(httpPort, "GET", keyPath(`probe/${node.id}`), { agent })),
    );
  }
  await pause(Math.max(0, dueMs - calmMs - performance.now()));
  for (const probe of probes.values()) probe.take();
  await pause(Math.max(0, dueMs - 200 - performance.now()));
  const before = [...probes.values()].map((probe) => probe.take());
  const left = async (): Promise<number> => {
    const path = `/v1/kv?prefix=${prefix}&count&level=local`;
    return Number((await ask(leader.httpPort, "GET", path, { agent })).json()["count"]);
  };
  if ((await left()) !== count) throw new Error("some have gone too early");
  await until("all of them are gone", 120_000, async () => (await left()) === 0 || null);
  console.log(`${count} keys were gone ${seconds(dueMs)} after their time; longest waits:`);
  for (const [at, [name, probe]] of [...probes].entries()) {
    console.log(`  ${name}: ${probe.take()}, before: ${before[at]}`);
  }
  await Promise.all([...probes.values()].map((probe) => probe.stop()));
  agent.destroy();
}

await run(async (scope) => {
  const cluster = await Cluster.start(scope);
  const agent = new Agent({ keepAlive: true });
  scope.onEnd(() => agent.destroy());
  const leader = await cluster.leader();
  const restMs = 2 * calmMs;

  const startMs = performance.now();
  await fill(leader, { prefix: "calibration/", count: 2_000, agent }, () => ({}));
  const fillMs = ((performance.now() - startMs) / 2_000) * 1.5;

  const byTtl = performance.now() + fillMs * keys + restMs;
  const ttl = () => ({ ttl: `${Math.max(1, Math.round(byTtl - performance.now()))}ms` });
  await fill(leader, { prefix: "ttl/", count: keys, agent }, ttl);
  await watchThemGo(cluster, { prefix: "ttl/", count: keys, dueMs: byTtl });

  const byLease = performance.now() + fillMs * leased + restMs;
  const leases: number[] = [];
  for (let at = 0; at < leased / leaseKeys; at++) {
    const asked = { ttl: `${Math.round(byLease - performance.now())}ms` };
    leases.push(Number((await write(leader, "/v1/leases", asked, agent))["id"]));
  }
  const lease = (at: number) => ({ lease: leases[Math.floor(at / leaseKeys)] });
  await fill(leader, { prefix: "lease/", count: leased, agent }, lease);
  await watchThemGo(cluster, { prefix: "lease/", count: leased, dueMs: byLease });
  await cluster.assertSameState();
  console.log("all nodes have the same state");
});
