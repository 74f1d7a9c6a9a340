/** Members that come, go and are replaced, on simulated nodes with the real loop, log and snapshots. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Limits } from "../../server/limits.ts";
import type { ClusterAnswer, ClusterRequest } from "../../server/membership.ts";
import { memberOf, voters } from "../../server/raft/configuration.ts";
import { nodeId, type NodeId } from "../../server/raft/entry.ts";
import { SimulatedNodes } from "./simulated-nodes.ts";

const healMs = 10_000;

function follower(nodes: SimulatedNodes, leader: NodeId): NodeId {
  const found = nodes.running.find((id) => id !== leader);
  assert.ok(found);
  return found;
}

function put(nodes: SimulatedNodes, at: NodeId, key: string, value: string): void {
  const call = nodes.put(at, key, value);
  nodes.time.until(() => call.answer !== null, 10_000);
  assert.ok(call.answer?.ok, `${key} is written: ${JSON.stringify(call.answer)}`);
}

function get(nodes: SimulatedNodes, at: NodeId, key: string): string | undefined | null {
  const call = nodes.get(at, key);
  nodes.time.until(() => call.answer !== null, 10_000);
  return call.answer;
}

function ask(nodes: SimulatedNodes, at: NodeId, request: ClusterRequest): ClusterAnswer {
  let answer: ClusterAnswer | null = null;
  nodes.node(at).changeCluster(request, (given) => {
    answer = given;
  });
  nodes.time.until(() => answer !== null, 10_000);
  assert.ok(answer);
  return answer;
}

/** A change of the members as they are now on `at`. */
function change(
  nodes: SimulatedNodes,
  at: NodeId,
  what: (ClusterRequest & { kind: "change" })["change"],
): ClusterAnswer {
  const { revision } = nodes.node(at).configurations.committed;
  return ask(nodes, at, { kind: "change", change: what, revision });
}

const address = (id: NodeId) => ({ id, raft: `raft-${id}:1`, http: `http-${id}:1` });

/** Waits until all that run agree that `id` votes in its present life. */
function awaitVoter(nodes: SimulatedNodes, id: NodeId): void {
  const isVoter = (at: NodeId): boolean => {
    const member = memberOf(nodes.node(at).configurations.committed, id);
    return member?.role === "voter" && member.incarnation === nodes.host(id).incarnation;
  };
  nodes.time.until(() => nodes.host(id).node !== null && nodes.running.every(isVoter), healMs);
}

function awaitEqual(nodes: SimulatedNodes): void {
  nodes.time.until(() => {
    const states = nodes.running.map((id) => nodes.host(id).machine.digest());
    const [first] = states;
    return states.every(
      ({ appliedIndex, stateHash }) =>
        appliedIndex === first?.appliedIndex && stateHash === first.stateHash,
    );
  }, healMs);
}

test("a wiped follower is retired, learns, and votes again", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  put(nodes, leader, "k", "v");
  const wiped = follower(nodes, leader);
  nodes.wipe(wiped);
  awaitVoter(nodes, wiped);
  assert.is(get(nodes, wiped, "k"), "v");
  const { retired, successors } = nodes.node(leader).configurations.committed;
  assert.equal(retired, [String(wiped)]);
  assert.equal(successors, []);
  assert.ok(nodes.warnings.some((text) => text.includes(`node ${wiped} came back`)));
});

test("a wiped leader is taken in by its successor", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const old = nodes.awaitLeader();
  put(nodes, old, "k", "v");
  nodes.wipe(old);
  awaitVoter(nodes, old);
  assert.is.not(nodes.leader, old);
  assert.is(get(nodes, old, "k"), "v");
});

test("each node in turn is wiped, again and again, and nothing is lost", () => {
  const nodes = new SimulatedNodes({ count: 3, limits: { logEntriesMax: 20 } });
  for (let round = 0; round < 9; round++) {
    const leader = nodes.awaitLeader();
    put(nodes, leader, `k${round}`, `v${round}`);
    const victim = nodeId(1 + (round % 3));
    nodes.wipe(victim);
    awaitVoter(nodes, victim);
  }
  for (let round = 0; round < 9; round++) {
    assert.is(get(nodes, nodeId(2), `k${round}`), `v${round}`);
  }
  awaitEqual(nodes);
});

test("a wiped node waits as long as most of the others are not there", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  put(nodes, leader, "k", "v");
  const wiped = follower(nodes, leader);
  const other = nodes.running.find((id) => id !== leader && id !== wiped);
  assert.ok(other);
  nodes.crash(other);
  nodes.wipe(wiped);
  nodes.time.run(10_000);
  assert.is(nodes.host(wiped).node, null);
  assert.is(nodes.leader, null);
  assert.equal(voters(nodes.node(leader).configurations.committed), nodes.ids);
  nodes.start(other);
  awaitVoter(nodes, wiped);
  assert.is(get(nodes, wiped, "k"), "v");
});

test("a directory whose id is in use is not taken in", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const used = follower(nodes, leader);
  for (let i = 0; i < 20; i++) {
    nodes.node(leader).knocked({ ...address(used), incarnation: "another" });
    nodes.time.run(100);
  }
  assert.is(memberOf(nodes.node(leader).configuration, used)?.incarnation, String(used));
});

test("the wrong directory, started for a moment while a node is away, retires nobody", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const away = follower(nodes, leader);
  nodes.crash(away);
  for (let ms = 0; ms < 1_500; ms += 100) {
    for (const id of nodes.running) {
      nodes.node(id).knocked({ ...address(away), incarnation: "by mistake" });
    }
    nodes.time.run(100);
  }
  nodes.start(away);
  nodes.time.run(5_000);
  assert.is(memberOf(nodes.node(leader).configuration, away)?.incarnation, String(away));
  assert.equal(nodes.node(leader).configuration.retired, []);
});

test("a knock for the place of a directory that is retired retires nobody else", () => {
  const nodes = new SimulatedNodes({ count: 5, limits: { knockKeptMs: 60_000 } });
  const leader = nodes.awaitLeader();
  const wiped = follower(nodes, leader);
  const behind = nodes.running.find((id) => id !== leader && id !== wiped) ?? leader;
  isolate(nodes, behind);
  nodes.wipe(wiped);
  nodes.time.until(() => {
    const member = memberOf(nodes.node(leader).configurations.committed, wiped);
    return member?.role === "voter" && member.incarnation === nodes.host(wiped).incarnation;
  }, healMs);
  const { incarnation } = nodes.host(wiped);
  // Between the two lives there was another one, which only the node that lags has met.
  const knock = (): void =>
    nodes.node(behind).knocked({ ...address(wiped), incarnation: "between" });
  for (let i = 0; i < 30; i++) nodes.time.at(nodes.time.nowMs + i * 100, knock);
  nodes.time.run(3_000);
  nodes.onMessage = () => 1;
  awaitVoter(nodes, wiped);
  assert.ok(ask(nodes, behind, { kind: "transfer", to: behind }).ok);
  nodes.crash(wiped);
  nodes.time.run(5_000);
  assert.is(nodes.leader, behind);
  assert.is(memberOf(nodes.node(behind).configuration, wiped)?.incarnation, incarnation);
});

test("what is left of a heal is done by the next leader", () => {
  const nodes = new SimulatedNodes({ count: 5 });
  const leader = nodes.awaitLeader();
  put(nodes, leader, "k", "v");
  const wiped = follower(nodes, leader);
  nodes.wipe(wiped);
  nodes.time.until(() => {
    const { committed } = nodes.node(leader).configurations;
    return memberOf(committed, wiped)?.incarnation !== String(wiped);
  }, healMs);
  nodes.crash(leader);
  nodes.awaitLeader();
  awaitVoter(nodes, wiped);
  assert.is(get(nodes, wiped, "k"), "v");
});

test("once a promotion is done, any one of three may be lost, whoever knew of it", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  put(nodes, leader, "k", "v");
  const wiped = follower(nodes, leader);
  nodes.wipe(wiped);
  // The others have the change in their logs, and have not heard that it is committed.
  nodes.time.until(() => {
    const member = memberOf(nodes.node(leader).configurations.committed, wiped);
    return member?.role === "voter" && member.incarnation !== String(wiped);
  }, healMs);
  nodes.crash(leader);
  nodes.awaitLeader();
  assert.is(get(nodes, wiped, "k"), "v");
});

test("between the two halves of a promotion nobody is sent away", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const [wiped, other] = nodes.ids.filter((id) => id !== leader) as [NodeId, NodeId];
  nodes.wipe(wiped);
  const isHalf = (): boolean =>
    memberOf(nodes.node(leader).configurations.committed, wiped)?.role === "promoted";
  nodes.time.until(isHalf, healMs);
  // The new directory is lost as well: with two left who need each other, that would be the end.
  nodes.crash(wiped);
  const answer = change(nodes, leader, { kind: "remove", id: other });
  assert.not.ok(answer.ok);
  put(nodes, nodes.awaitLeader(), "k", "v");
  nodes.wipe(wiped);
  awaitVoter(nodes, wiped);
});

test("a retired directory does not come back", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const wiped = follower(nodes, leader);
  const { identity } = nodes.host(wiped);
  nodes.wipe(wiped);
  awaitVoter(nodes, wiped);
  nodes.crash(wiped);
  for (const id of nodes.running) {
    assert.is(nodes.host(id).roster?.judge(identity)?.reason, "retired");
  }
});

test("a new machine is added, promoted, and removed again", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const asked = follower(nodes, leader);
  put(nodes, leader, "k", "v");
  const four = nodeId(4);
  const added = change(nodes, asked, { kind: "add", ...address(four) });
  assert.ok(added.ok);
  assert.is(memberOf(added.configuration, four)?.role, "learner");
  assert.not(change(nodes, asked, { kind: "promote", id: four }).ok, "it is not there yet");
  nodes.add(four);
  nodes.time.until(
    () => nodes.host(four).node?.appliedIndex === nodes.node(leader).appliedIndex,
    healMs,
  );
  assert.is(nodes.node(four).leadership.role, "learner");
  assert.is(get(nodes, four, "k"), "v");
  assert.ok(change(nodes, four, { kind: "promote", id: four }).ok);
  awaitVoter(nodes, four);
  assert.is(voters(nodes.node(leader).configuration).length, 4);
  assert.ok(change(nodes, asked, { kind: "remove", id: four }).ok);
  const { identity } = nodes.host(four);
  assert.is(nodes.host(leader).roster?.judge(identity)?.reason, "retired");
  assert.is(voters(nodes.node(leader).configuration).length, 3);
});

test("an address is one that can be dialed, and one member's, for peers or for clients", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const four = nodeId(4);
  for (const [raft, http] of [
    ["a:1", "a:1"],
    ["raft-1:1", "a:2"],
    ["http-1:1", "a:2"],
    ["a:1", "RAFT-1:1"],
    ["[::::]:1", "a:2"],
    ["a:1", "\u0001:2"],
  ] as const) {
    const answer = change(nodes, leader, { kind: "add", id: four, raft, http });
    assert.not(answer.ok, `${raft} ${http}`);
    if (!answer.ok) assert.is(answer.code, "conflict");
  }
});

test("a change of members that are no longer those is refused", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const { revision } = nodes.node(leader).configurations.committed;
  const add = (id: number): ClusterAnswer =>
    ask(nodes, leader, {
      kind: "change",
      change: { kind: "add", ...address(nodeId(id)) },
      revision,
    });
  assert.ok(add(4).ok);
  const second = add(5);
  assert.not(second.ok);
  assert.is(!second.ok && second.code, "condition_failed");
  assert.is(!second.ok && second.revision, nodes.node(leader).configuration.revision);
});

/** Cuts `id` off from all others. */
function isolate(nodes: SimulatedNodes, id: NodeId): void {
  nodes.onMessage = (from, to) => (from === id || to === id ? "lost" : 1);
}

/**
 * A leader that is cut off takes a change; its successor takes another one, which comes to the same
 * place in the log. Returns what the first was told, and the members then.
 */
function twoChangesAtOnePlace(limits: Partial<Limits>) {
  const nodes = new SimulatedNodes({ count: 3, limits });
  const old = nodes.awaitLeader();
  put(nodes, old, "k", "v");
  isolate(nodes, old);
  const { revision } = nodes.node(old).configurations.committed;
  const call: { answer: ClusterAnswer | null } = { answer: null };
  // The successor's first entry takes the place of this one.
  nodes.put(old, "k", "lost");
  nodes.time.run(1);
  const first = { kind: "add", ...address(nodeId(4)) } as const;
  nodes.node(old).changeCluster({ kind: "change", change: first, revision }, (answer) => {
    call.answer = answer;
  });
  nodes.time.until(() => nodes.node(old).configuration.revision !== revision, 1_000);
  const others = nodes.ids.filter((id) => id !== old);
  const isLeader = (id: NodeId): boolean => nodes.node(id).leadership.role === "leader";
  nodes.time.until(() => others.some(isLeader), 10_000);
  const leader = others.find(isLeader) ?? old;
  assert.ok(change(nodes, leader, { kind: "add", ...address(nodeId(5)) }).ok);
  assert.is(nodes.node(leader).configuration.revision, nodes.node(old).configuration.revision);
  return { nodes, leader, call };
}

test("a change is not done because another leader's stands in its place", () => {
  const { nodes, leader, call } = twoChangesAtOnePlace({ requestDeadlineMs: 60_000 });
  nodes.onMessage = () => 1;
  nodes.time.until(() => call.answer !== null, 10_000);
  const { answer } = call;
  assert.is(answer?.ok === false && answer.code, "condition_failed", JSON.stringify(answer));
  const ids = nodes.node(leader).configuration.members.map(({ id }) => Number(id));
  assert.equal(ids, [1, 2, 3, 5]);
});

test("whose change stood in a place that a snapshot covers is unknown", () => {
  const limits = { requestDeadlineMs: 60_000, logEntriesMax: 2, logTailBytesMin: 1 };
  const { nodes, leader, call } = twoChangesAtOnePlace({ ...limits, checkpointBytes: 1 });
  for (let i = 0; i < 300; i++) put(nodes, leader, "k", `v${i}`);
  nodes.time.run(1_000);
  assert.ok(nodes.node(leader).firstLogIndex > nodes.node(leader).configuration.revision);
  nodes.onMessage = () => 1;
  nodes.time.until(() => call.answer !== null, 20_000);
  const { answer } = call;
  assert.is(answer?.ok === false && answer.outcome, "unknown", JSON.stringify(answer));
});

test("a removed leader hands over first", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const answer = change(nodes, leader, { kind: "remove", id: leader });
  assert.ok(answer.ok, JSON.stringify(answer));
  assert.not(voters(answer.configuration).includes(leader));
  const successor = nodes.running.find((id) => nodes.node(id).leadership.role === "leader");
  assert.is.not(successor, leader);
  put(nodes, follower(nodes, leader), "k", "v");
});

test("what a removed leader has taken on is answered, and nothing of it is in doubt", () => {
  const nodes = new SimulatedNodes({ count: 4 });
  const leader = nodes.awaitLeader();
  const calls: ReturnType<typeof nodes.put>[] = [];
  const isOver = (): boolean =>
    memberOf(nodes.node(follower(nodes, leader)).configurations.committed, leader) === undefined;
  const { revision } = nodes.node(leader).configurations.committed;
  const request = { kind: "change", change: { kind: "remove", id: leader }, revision } as const;
  nodes.node(leader).changeCluster(request, () => {});
  for (let i = 0; !isOver(); i++) {
    calls.push(nodes.put(leader, `k${i}`, "v"));
    nodes.time.run(1);
    assert.ok(i < 5_000, "it is removed");
  }
  // As long as its connections are left standing.
  for (let i = 0; i < 100; i++) {
    calls.push(nodes.put(leader, `late ${i}`, "v"));
    nodes.time.run(1);
  }
  nodes.time.run(400);
  const outcomes = calls.map(({ answer }) =>
    answer === null ? "none" : answer.ok ? "written" : answer.outcome,
  );
  assert.ok(outcomes.filter((outcome) => outcome === "written").length > 10);
  assert.ok(outcomes.filter((outcome) => outcome === "not_applied").length > 50);
  const doubts = outcomes.filter((outcome) => outcome === "none" || outcome === "unknown");
  assert.equal(doubts, []);
});

test("a member without which no majority answers is not removed", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const [alive, dead] = nodes.running.filter((id) => id !== leader);
  assert.ok(alive && dead);
  nodes.crash(dead);
  nodes.time.run(1_500);
  const answer = change(nodes, leader, { kind: "remove", id: alive });
  assert.is(!answer.ok && answer.code, "conflict");
  assert.ok(change(nodes, leader, { kind: "remove", id: dead }).ok);
});

test("a member is replaced by a machine at another address", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  put(nodes, leader, "k", "v");
  const old = follower(nodes, leader);
  assert.ok(change(nodes, leader, { kind: "replace", ...address(old) }).ok);
  nodes.time.run(1_000);
  assert.is(memberOf(nodes.node(leader).configuration, old)?.incarnation, "");
  nodes.wipe(old);
  awaitVoter(nodes, old);
  assert.is(get(nodes, old, "k"), "v");
});

/** The state's file is found damaged at a start, and the log does not reach back to its beginning. */
function damageState(nodes: SimulatedNodes, id: NodeId): void {
  nodes.crash(id);
  nodes.host(id).stateDamage = "a page is damaged";
}

const compacting = { logEntriesMax: 2, logTailBytesMin: 1, checkpointBytes: 1 };

function putMany(nodes: SimulatedNodes, at: NodeId): void {
  for (let i = 0; i < 200; i++) put(nodes, at, "k", `v${i}`);
  nodes.time.run(1_000);
}

test("a node that began alone and has others by now is given back by them what it lost", () => {
  const nodes = new SimulatedNodes({ count: 1, limits: compacting });
  const first = nodes.awaitLeader();
  for (const id of [nodeId(2), nodeId(3)]) {
    assert.ok(change(nodes, first, { kind: "add", ...address(id) }).ok);
    nodes.add(id);
    nodes.time.until(
      () => nodes.host(id).node?.appliedIndex === nodes.node(first).appliedIndex,
      healMs,
    );
    assert.ok(change(nodes, first, { kind: "promote", id }).ok);
    awaitVoter(nodes, id);
  }
  putMany(nodes, first);
  damageState(nodes, first);
  nodes.start(first);
  nodes.awaitLeader();
  nodes.time.until(() => nodes.node(first).mending === null, healMs);
  assert.is(get(nodes, first, "k"), "v199");
});

test("a node whose others were all removed keeps what is left, and does not wait for them", () => {
  const nodes = new SimulatedNodes({ count: 3, limits: compacting });
  const last = nodes.awaitLeader();
  for (const id of nodes.running.filter((other) => other !== last)) {
    assert.ok(change(nodes, last, { kind: "remove", id }).ok);
    nodes.crash(id);
  }
  putMany(nodes, last);
  damageState(nodes, last);
  assert.throws(() => nodes.start(last), "a page is damaged");
  assert.is(nodes.host(last).stateDamage, "a page is damaged", "it was left where it is");
});

test("five nodes go on without two, and take both in again", () => {
  const nodes = new SimulatedNodes({ count: 5 });
  const leader = nodes.awaitLeader();
  const lost = nodes.running.filter((id) => id !== leader).slice(0, 2);
  for (const id of lost) nodes.wipe(id);
  put(nodes, leader, "k", "v");
  for (const id of lost) awaitVoter(nodes, id);
  for (const id of lost) assert.is(get(nodes, id, "k"), "v");
});

test("a node that was away while all others were replaced finds its way back", () => {
  const nodes = new SimulatedNodes({ count: 5 });
  const leader = nodes.awaitLeader();
  const away = follower(nodes, leader);
  nodes.crash(away);
  for (const id of nodes.ids) {
    if (id === away) continue;
    nodes.wipe(id);
    awaitVoter(nodes, id);
  }
  put(nodes, nodes.awaitLeader(), "k", "v");
  nodes.start(away);
  nodes.awaitLeader();
  assert.is(get(nodes, away, "k"), "v");
});

test("leadership goes to the node that is named", () => {
  const nodes = new SimulatedNodes({ count: 3 });
  const leader = nodes.awaitLeader();
  const to = follower(nodes, leader);
  assert.ok(ask(nodes, to, { kind: "transfer", to }).ok);
  assert.is(nodes.node(to).leadership.role, "leader");
  const stranger = ask(nodes, leader, { kind: "transfer", to: nodeId(9) });
  assert.is(!stranger.ok && stranger.code, "conflict");
});

test.run();
