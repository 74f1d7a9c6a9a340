/** Without a majority nothing is promised: errors in time, no old answers, an orderly end. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster, type ClusterNode, keyPath } from "./cluster.ts";
import type { Answer } from "./http.ts";
import { assertProblem } from "./problem.ts";
import { scenario } from "./scope.ts";

/** Two election timeouts of a second, and what two busy cores may add. */
const readFailureMs = 3_000;
/** The deadline of a request is five seconds. */
const writeFailureMs = 7_000;

async function timed(answer: Promise<Answer>): Promise<{ answer: Answer; ms: number }> {
  const began = performance.now();
  return { answer: await answer, ms: performance.now() - began };
}

function assertFailedWrite({ answer, ms }: { answer: Answer; ms: number }): void {
  if (answer.status === 503) {
    assertProblem(answer, { status: 503, code: "no_leader", outcome: "not_applied" });
  } else assertProblem(answer, { status: 504, code: "timeout", outcome: "unknown" });
  assert.ok(ms < writeFailureMs, `the answer took ${ms} ms`);
}

/** `left` is the only node that still runs; `kept` holds "value" and `maybe` may hold anything. */
async function assertSaysSo(left: ClusterNode): Promise<void> {
  const [read, write, removal] = await Promise.all([
    timed(left.get("kept")),
    timed(left.put("maybe", "x")),
    timed(left.ask("DELETE", keyPath("maybe"))),
  ]);
  assertProblem(read.answer, { status: 503, code: "no_leader" });
  assert.ok(read.ms < readFailureMs, `the answer took ${read.ms} ms`);
  assertFailedWrite(write);
  assertFailedWrite(removal);
  const later = await timed(left.get("kept"));
  assertProblem(later.answer, { status: 503, code: "no_leader" });
  assert.ok(later.ms < readFailureMs, `the answer took ${later.ms} ms`);
  const local = await left.get("kept", "local");
  assert.is(local.status, 200);
  assert.is(local.text, "value");
  assert.is(local.headers["x-kv-level"], "local");
  assert.ok(Number(local.headers["x-kv-age"]) > 0, `age: ${String(local.headers["x-kv-age"])}`);
  assert.is((await left.ask("GET", "/livez")).status, 200);
  assert.is((await left.ask("GET", "/readyz")).status, 503);
  const status = await left.status();
  assert.is(status.leaderId, null);
  assert.is.not(status.role, "leader");
}

async function assertAllThere(cluster: Cluster): Promise<void> {
  cluster.startAll();
  await cluster.whole();
  for (const node of cluster.nodes) {
    assert.is((await node.get("kept")).text, "value");
  }
  await cluster.node(1).mustPut("again", "x");
  await cluster.assertSameState();
}

scenario("a follower left alone", async (scope) => {
  const cluster = await Cluster.start(scope);
  await cluster.node(1).mustPut("kept", "value");
  await cluster.assertSameState();
  const [left, other] = await cluster.followers();
  assert.ok(left && other);
  const leader = await cluster.leader();
  const { term } = await left.status();
  await Promise.all([leader.kill(), other.kill()]);
  await assertSaysSo(left);
  assert.is((await left.status()).term, term, "nobody answers its pre-votes, so its term stays");
  await left.stop();
  await assertAllThere(cluster);
});

scenario("a leader left alone", async (scope) => {
  const cluster = await Cluster.start(scope);
  await cluster.node(1).mustPut("kept", "value");
  await cluster.assertSameState();
  const left = await cluster.leader();
  const others = await cluster.followers();
  await Promise.all(others.map((node) => node.kill()));
  await assertSaysSo(left);
  await left.stop();
  await assertAllThere(cluster);
});

scenario("requests that wait while the majority returns are answered", async (scope) => {
  const cluster = await Cluster.start(scope);
  await cluster.node(1).mustPut("kept", "value");
  const leader = await cluster.leader();
  const [left] = await cluster.followers();
  assert.ok(left);
  await leader.kill();
  // The other follower still runs: an election, and then the answer, within the hold of two timeouts
  // where the dice are kind, and a clear refusal where they are not.
  const [read, write] = await Promise.all([left.get("kept"), left.put("held", "x")]);
  if (read.status === 200) assert.is(read.text, "value");
  else assertProblem(read, { status: 503, code: "no_leader" });
  if (write.status === 201) assert.is((await left.get("held")).text, "x");
  else assert.ok([503, 504].includes(write.status), write.text);
});

test.run();
