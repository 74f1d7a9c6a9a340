/** When empty nodes may become a cluster, and when they may not. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  clusterIdOf,
  Formation,
  formedConfiguration,
  judgePeer,
  type Formed,
} from "../../server/formation.ts";
import type { PeerIdentity } from "../../server/handshake.ts";
import { must } from "../../server/raft/assert.ts";
import { nodeId } from "../../server/raft/entry.ts";
import { defaultTransportLimits, formationListenMs } from "../../server/transport-limits.ts";

const place = (id: number) => ({ id: nodeId(id), raft: `r${id}:1`, http: `h${id}:1` });
const incarnationOf = (id: number): string => `${id}`.repeat(32).slice(0, 32);

function formation(...ids: number[]): Formation {
  const plan = ids.map(place);
  return new Formation({ self: nodeId(1), incarnation: incarnationOf(1), plan });
}

/** Node `id`: empty, or with a cluster whose members these are. */
function peer(id: number, members: readonly number[] = []): PeerIdentity {
  const isFormed = members.length > 0;
  return {
    nodeId: nodeId(id),
    incarnation: incarnationOf(id),
    clusterId: isFormed ? "c".repeat(32) : null,
    members: (isFormed ? members : [1, 2]).map((each) => ({
      ...place(each),
      incarnation: isFormed ? (each === 1 ? "0".repeat(32) : incarnationOf(each)) : null,
    })),
    revision: isFormed ? 9 : 0,
  };
}

test("all that are planned, present and empty are a cluster, once all could have been heard", () => {
  const early = formation(1, 2);
  assert.is(early.connected(peer(2)), null);
  assert.is(early.listened()?.members.length, 2);
  const late = formation(1, 2);
  assert.is(late.listened(), null);
  assert.is(late.connected(peer(2))?.members.length, 2);
});

test("a node that is planned alone waits to hear of a cluster as well", () => {
  const alone = formation(1);
  assert.is(alone.form(), null);
  assert.ok(alone.listened());
});

test("whoever hears of a cluster forms none, be all that are planned there and empty", () => {
  for (const isBootstrap of [false, true]) {
    const met = formation(1, 2);
    // Node 4 came later: the plan does not name it, and it knows node 1 by the directory before.
    met.metCluster(nodeId(4));
    met.connected(peer(2));
    assert.is(met.listened(), null);
    if (isBootstrap) assert.is(met.bootstrap(), null);
  }
});

test("and tells it to other empty nodes by refusing them", () => {
  const met = formation(1, 2);
  assert.is(met.judge(peer(1), peer(2)), null);
  met.connected(peer(4, [1, 2, 4]));
  assert.is(met.judge(peer(1), peer(2))?.reason, "unknownMember");
  assert.is(met.judge(peer(1), peer(4, [1, 2, 4])), null);
});

test("whoever was away at the formation is to vote once it has come", () => {
  const formed = formation(1, 2, 3);
  formed.connected(peer(2));
  formed.listened();
  const { members, successors } = formedConfiguration(must(formed.bootstrap(), "two of three"));
  assert.equal(
    members.map(({ role }) => role),
    ["voter", "voter", "learner"],
  );
  assert.equal(
    successors.map(({ id, role }) => [id, role]),
    [[3, "voter"]],
  );
});

test("another list ends a node that has heard of no cluster, and that after a while", () => {
  const alone = formation(1, 2);
  assert.not(alone.disagrees(nodeId(2), 1_000));
  assert.not(alone.disagrees(nodeId(2), 2_900));
  assert.ok(alone.disagrees(nodeId(2), 3_100));
  // Two machines that are to join the same cluster name each other, or do not.
  const joining = formation(1, 2);
  joining.disagrees(nodeId(2), 0);
  joining.refusedBy({ nodeId: nodeId(3), clusterId: "c" });
  assert.not(joining.disagrees(nodeId(2), 10_000));
});

test("a machine that calls itself by another address than it was added with is told so", () => {
  const member = peer(4, [1, 2, 4]);
  const members = member.members.map((each) =>
    each.id === 1 ? { ...each, incarnation: null } : each,
  );
  const judge = (raft: string): string | undefined => {
    const own = peer(1);
    const said = own.members.map((each) => (each.id === 1 ? { ...each, raft } : each));
    return judgePeer({ ...member, members }, { ...own, members: said })?.detail;
  };
  assert.match(judge("elsewhere:1") ?? "", "expected at r1:1 and calls itself elsewhere:1");
  assert.match(judge("r1:1") ?? "", "about to be taken in");
});

test("a node that had a cluster and comes back empty does not stand in the way", () => {
  const both = formation(1, 2);
  both.listened();
  both.metCluster(nodeId(2));
  assert.ok(both.connected(peer(2)));
});

test("a member dials a wiped node again within the time for which that one listens", () => {
  assert.ok(defaultTransportLimits.redialMaxMs * 1.5 < formationListenMs);
});

/** A member tells of a cluster of these nodes, formed by `founders`. */
function told(founders: readonly number[], members: readonly number[], revision: number) {
  const listed = (ids: readonly number[]) =>
    ids.map((id) => ({ ...place(id), incarnation: incarnationOf(id) }));
  const clusterId = clusterIdOf(listed(founders));
  return { ...peer(2), clusterId, members: listed(members), revision };
}

const ownRole = (formed: Formed | null): string | undefined =>
  formed?.members.find(({ id }) => id === 1)?.role;

test("who is of the members that formed the cluster has a vote from the start", () => {
  assert.is(ownRole(formation(1, 2, 3).adopt(told([1, 2, 3], [1, 2, 3], 0))), "voter");
});

test("who came later has none before the log says so, though a newcomer without a log vouches", () => {
  for (const revision of [0, 9]) {
    const formed = formation(1, 2, 3).adopt(told([2, 3], [1, 2, 3], revision));
    assert.is(ownRole(formed), "learner");
  }
});

test.run();
