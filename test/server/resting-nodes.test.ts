/** Nodes with nothing to do, whose ticks pass several at once, and what wakes them. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { defaultLimits } from "../../server/limits.ts";
import { must } from "../../server/raft/assert.ts";
import type { NodeId } from "../../server/raft/entry.ts";
import { shared } from "../harness/share.ts";
import { SimulatedNodes } from "./simulated-nodes.ts";

/** Until all that was written is in the database. */
const restedMs = 10_000;

function write(nodes: SimulatedNodes, leader: NodeId): void {
  const call = nodes.put(leader, "k", "v");
  nodes.time.until(() => call.answer !== null, 10_000);
  assert.ok(call.answer?.ok);
}

function resting(seed: number): { nodes: SimulatedNodes; leader: NodeId } {
  const nodes = new SimulatedNodes({ count: 3, seed });
  const leader = nodes.awaitLeader();
  write(nodes, leader);
  nodes.time.run(restedMs);
  return { nodes, leader };
}

test("a cluster with nothing to do ticks seldom, and evenly once somebody asks for something", () => {
  const { nodes, leader } = resting(4);
  const { tickMs } = defaultLimits;
  const at = nodes.time.at.bind(nodes.time);
  let timers = 0;
  nodes.time.at = (atMs, run) => {
    if (atMs >= nodes.time.nowMs + tickMs) timers++;
    return at(atMs, run);
  };
  const ticks = (): number => {
    timers = 0;
    nodes.time.run(1_000);
    return timers / nodes.ids.length;
  };
  assert.ok(ticks() < 20, `${timers} timers`);
  write(nodes, leader);
  assert.ok(ticks() >= 1_000 / tickMs - 2, `${timers} timers`);
});

test("a follower with nothing to do is woken by its leader's heartbeats, and by no tick of its own", () => {
  const { nodes } = resting(4);
  const { restHeartbeatMs, tickMs } = defaultLimits;
  const at = nodes.time.at.bind(nodes.time);
  let ran = 0;
  nodes.time.at = (atMs, run) => {
    const isRest = atMs >= nodes.time.nowMs + restHeartbeatMs - tickMs;
    return at(atMs, () => {
      if (isRest) ran++;
      run();
    });
  };
  nodes.time.run(10_000);
  // Those of the leader, and the end of these ten seconds.
  const most = 10_000 / restHeartbeatMs + 1;
  assert.ok(ran > most / 2 && ran <= most, `${ran} rests came to their end`);
});

test("all nodes of a machine stand still for seconds in a rest, and the leader stays", () => {
  const { nodes, leader } = resting(4);
  const { term } = nodes.node(leader).leadership;
  const call = nodes.put(leader, "k", "w");
  // What has come is dealt with before the timers that are late.
  nodes.time.nowMs += 3_000;
  nodes.time.until(() => call.answer !== null, 10_000);
  nodes.time.run(3_000);
  assert.is(nodes.node(leader).leadership.term, term);
});

test("who is silent for less than an election timeout goes on leading, behind a rest too", () => {
  for (const seed of shared(20, 1)) {
    const { nodes, leader } = resting(seed);
    const { term } = nodes.node(leader).leadership;
    nodes.time.run(13 * seed);
    write(nodes, leader);
    nodes.time.run(30);
    nodes.onMessage = (from, to) => (from === leader || to === leader ? "lost" : 1);
    nodes.time.run(0.9 * defaultLimits.electionTimeoutMs);
    nodes.onMessage = () => 1;
    nodes.time.run(2_000);
    assert.is(nodes.node(leader).leadership.term, term, `seed ${seed}`);
  }
});

test("a follower at rest knows all the time how its state stands, as far as somebody wants to know", () => {
  const { nodes, leader } = resting(4);
  const follower = must(
    nodes.ids.find((id) => id !== leader),
    "there are three",
  );
  // Heartbeats come a little early and a little late.
  let late = 0;
  nodes.onMessage = (from, to, message) => {
    if (message.type !== "heartbeat") return 1;
    late = (late + 7) % 4;
    nodes.time.at(nodes.time.nowMs + 1 + late, () => nodes.deliver(to, from, message));
    return "lost";
  };
  const age = (): number => must(nodes.node(follower).ageMs, "it has heard of its leader");
  age();
  nodes.time.run(3_000);
  for (let at = 0; at < 300; at++) {
    nodes.time.run(10);
    assert.ok(age() < 250, `${age()} ms`);
  }
});

for (const whose of ["leader", "follower"]) {
  test(`the ${whose}'s first sync after a rest is slow, and nobody loses the leader`, () => {
    for (const seed of shared(10, 4)) {
      const { nodes, leader } = resting(seed);
      nodes.time.run(26 * seed);
      const follower = nodes.ids.find((id) => id !== leader);
      const { log } = nodes.host(whose === "leader" ? leader : must(follower, "there are three"));
      const sync = log.sync.bind(log);
      log.sync = () => {
        sync();
        log.sync = sync;
        // Less than a leader may be silent for.
        nodes.time.nowMs += 1_600;
      };
      nodes.put(leader, "k", "w");
      const endMs = nodes.time.nowMs + 6_000;
      nodes.time.until(() => {
        for (const id of nodes.ids) assert.is(nodes.node(id).leadership.leaderId, leader);
        return nodes.time.nowMs > endMs;
      }, 30_000);
    }
  });
}

test.run();
