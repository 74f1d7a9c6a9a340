/**
 * System calls per put, of a client that waits for every answer: no machine changes them much. What
 * comes with time and not with puts (heartbeats, the database's transactions) is allowed for or left
 * out. Each limit is what is needed today; who needs more has to mean it.
 */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { HttpConnection } from "../bench/http-connection.ts";
import { skipped } from "../harness/skipped.ts";
import { Cluster, type ClusterNode } from "./cluster.ts";
import { Tracing, whyNoInjection } from "./injection.ts";
import { scenario } from "./scope.ts";
import { until } from "./wait.ts";

const puts = 300;

/**
 * Messages to one peer, or from it, that come with time: ten heartbeats and, with a tick of 25 ms, at
 * most forty appends that only tell what is committed.
 */
const timedPerSecond = 50;

/** Of `puts` puts, and of so many seconds. */
interface Limit {
  readonly perPut: number;
  readonly perSecond?: number;
  /** It may as well be none at all. */
  readonly isSeldom?: boolean;
}

/** One transaction may fall into the time: all pages of the keys, and of a checkpoint. */
const stateWrite: Limit = { perPut: 0.2, isSeldom: true };

type Counts = Map<string, number>;

const limits: Readonly<Record<"leader" | "follower", Readonly<Record<string, Limit>>>> = {
  leader: {
    "log write": { perPut: 1.02 },
    "log sync": { perPut: 1.02 },
    "client receive": { perPut: 1.02 },
    "client send": { perPut: 1.02 },
    // To two peers, and the acceptances of both; the commit goes with the next append.
    "peer send": { perPut: 2.1, perSecond: 2 * timedPerSecond },
    "peer receive": { perPut: 2.1, perSecond: 2 * timedPerSecond },
    "state write": stateWrite,
  },
  follower: {
    "log write": { perPut: 1.02 },
    "log sync": { perPut: 1.02 },
    "peer send": { perPut: 1.02, perSecond: timedPerSecond },
    "peer receive": { perPut: 1.02, perSecond: timedPerSecond },
    "state write": stateWrite,
  },
};

const actions: Readonly<Record<string, string>> = {
  pwrite64: "write",
  pwritev: "write",
  write: "write",
  writev: "write",
  fsync: "sync",
  fdatasync: "sync",
  sendto: "send",
  sendmsg: "send",
  recvfrom: "receive",
  recvmsg: "receive",
};

/** Calls by what they are done to. */
function countsOf(text: string, node: ClusterNode): Counts {
  const counts: Counts = new Map();
  const call = /^\d+ +(\w+)\(\d+<(\/[^>]*|TCP:\[[^\]]*\])/gm;
  for (const [, name = "", object = ""] of text.matchAll(call)) {
    const isClient = object.startsWith(`TCP:[127.0.0.1:${node.httpPort}->`);
    const isLog = object.includes("/group-0/log/");
    const isState = object.includes("/state.sqlite");
    const file = isLog ? "log" : isState ? "state" : "other";
    const what = isClient ? "client" : object.startsWith("TCP") ? "peer" : file;
    const key = `${what} ${actions[name] ?? name}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

function assertWithin(role: "leader" | "follower", counts: Counts, seconds: number): void {
  const told = `${role}, ${puts} puts in ${seconds.toFixed(1)} s: ${JSON.stringify([...counts])}`;
  console.log(told);
  for (const [what, { perPut, perSecond = 0, isSeldom = false }] of Object.entries(limits[role])) {
    const count = counts.get(what) ?? 0;
    const most = perPut * puts + perSecond * seconds + 3;
    // Far too few is a change in how it is done, and the limit would watch nothing. A follower that is
    // slowed down by tracing takes several puts at a time.
    assert.ok(isSeldom || count >= 0.25 * puts, `${what}: only ${count}; ${told}`);
    assert.ok(count <= most, `${what}: ${count}, at most ${most.toFixed(0)}; ${told}`);
  }
}

scenario("system calls per put on the leader and on a follower", async (scope) => {
  const why = whyNoInjection();
  if (why !== null) return skipped(why);
  const cluster = await Cluster.start(scope);
  const leader = await cluster.leader();
  const [follower = leader] = await cluster.followers();
  const connection = await HttpConnection.open(leader.httpPort);
  scope.onEnd(() => connection.close());
  const put = async (number: number): Promise<void> => {
    const status = await connection.put(`key-${number}`, "x".repeat(100));
    assert.is(status, 201);
  };
  await put(-1);
  const filter = ["-yy", "-e", `trace=${Object.keys(actions).join(",")}`];
  const traced = [leader, follower].map((node) => Tracing.attach(scope, node, filter));
  const [ofLeader, ofFollower] = await Promise.all(traced);
  const started = performance.now();
  for (let number = 0; number < puts; number++) await put(number);
  const { appliedIndex } = await leader.status();
  await until("the follower has applied all", 5_000, async () => {
    return (await follower.status()).appliedIndex >= appliedIndex;
  });
  const seconds = (performance.now() - started) / 1000;
  await Promise.all([ofLeader?.detach(), ofFollower?.detach()]);
  assert.is((await cluster.leader()).id, leader.id, "it led all the time");
  assertWithin("leader", countsOf(ofLeader?.text ?? "", leader), seconds);
  assertWithin("follower", countsOf(ofFollower?.text ?? "", follower), seconds);
});

test.run();
