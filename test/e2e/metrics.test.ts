/** What the processes of a cluster tell Prometheus. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster, electionMs, type ClusterNode } from "./cluster.ts";
import { scenario, shared } from "./scope.ts";
import { until } from "./wait.ts";

const cluster = shared((scope) => Cluster.start(scope));

/** Value by name and labels, as they stand in the text. */
async function metricsOf(node: ClusterNode): Promise<Map<string, number>> {
  const answer = await node.ask("GET", "/metrics");
  assert.is(answer.status, 200, answer.text);
  const values = new Map<string, number>();
  let family = "";
  for (const line of answer.text.trimEnd().split("\n")) {
    const [, described] = /^# (?:HELP|TYPE) ([a-z_]+) .+$/.exec(line) ?? [];
    if (described !== undefined) {
      family = described;
      continue;
    }
    const [, name = "", rest = "", value = ""] =
      /^([a-z_]+)((?:\{(?:[a-z]+="[^"\\]*",?)+\})?) ([0-9.e+-]+)$/.exec(line) ?? [];
    assert.ok(name.startsWith(family) && family !== "", `a sample without its type: ${line}`);
    assert.not(values.has(name + rest), `twice: ${line}`);
    values.set(name + rest, Number(value));
  }
  return values;
}

scenario("the figures are those of the node's status", async () => {
  const leader = await cluster().leader();
  await leader.mustPut("k", "v");
  for (const node of cluster().nodes) {
    const { status, metrics } = await until("a moment without news", electionMs, async () => {
      const before = await node.status();
      const found = await metricsOf(node);
      const { term, commitIndex, appliedIndex, lastLogIndex, role } = await node.status();
      const after = { term, commitIndex, appliedIndex, lastLogIndex, role };
      assert.equal({ ...before, ...after }, before);
      return { status: after, metrics: found };
    });
    const { term, commitIndex, appliedIndex, lastLogIndex, role } = status;
    assert.is(metrics.get("kv_raft_term"), term);
    assert.is(metrics.get("kv_raft_commit_index"), commitIndex);
    assert.is(metrics.get("kv_raft_applied_index"), appliedIndex);
    assert.is(metrics.get("kv_raft_last_log_index"), lastLogIndex);
    assert.is(metrics.get(`kv_raft_role{role="${role}"}`), 1);
    assert.is(metrics.get("kv_raft_leader_known"), 1);
    assert.ok((metrics.get("kv_log_bytes") ?? 0) > 0);
    assert.ok((metrics.get("process_resident_memory_bytes") ?? 0) > 1 << 20);
    for (const peer of cluster().nodes) {
      const connected = metrics.get(`kv_peer_connected{peer="${peer.id}"}`);
      assert.is(connected, peer === node ? undefined : 1);
    }
  }
});

scenario("answered requests are counted and timed", async () => {
  const node = cluster().node(2);
  const named = 'kv_http_requests_total{method="PUT",route="/v1/kv/{key}",status="200"}';
  const timed = 'kv_http_request_duration_seconds_count{route="/v1/kv/{key}"}';
  await node.mustPut("counted", "0");
  const before = await metricsOf(node);
  for (let turn = 0; turn < 10; turn++) await node.mustPut("counted", String(turn));
  await node.get("nothing");
  const after = await metricsOf(node);
  const grown = (name: string): number => (after.get(name) ?? 0) - (before.get(name) ?? 0);
  assert.is(grown(named), 10);
  assert.is(grown('kv_http_requests_total{method="GET",route="/v1/kv/{key}",status="404"}'), 1);
  assert.is(grown(timed), 11);
  assert.is(grown('kv_http_request_duration_seconds_bucket{route="/v1/kv/{key}",le="+Inf"}'), 11);
  assert.ok(grown('kv_http_request_duration_seconds_sum{route="/v1/kv/{key}"}') > 0);
});

scenario("a peer that is gone is seen as such", async () => {
  const [follower] = await cluster().followers();
  assert.ok(follower);
  await follower.kill();
  const leader = await cluster().leader();
  await until("the connection is gone", electionMs, async () => {
    const metrics = await metricsOf(leader);
    return metrics.get(`kv_peer_connected{peer="${follower.id}"}`) === 0;
  });
  follower.start();
  await cluster().whole();
});

test.run();
