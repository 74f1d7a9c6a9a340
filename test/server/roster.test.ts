/** What a node says of itself to others, and whom it lets in. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { configuration, type Member } from "../../server/raft/configuration.ts";
import { nodeId } from "../../server/raft/entry.ts";
import { Roster } from "../../server/roster.ts";

const member = (id: number, incarnation: string): Member => ({
  id: nodeId(id),
  role: "voter",
  raft: `raft-${id}:1`,
  http: `http-${id}:1`,
  incarnation,
});

function roster(self: number, incarnation: string, members: readonly Member[]): Roster {
  const current = configuration(members);
  return new Roster({
    ...{ self: nodeId(self), incarnation, clusterId: "c".repeat(32) },
    configurations: { current, committed: current },
    address: { raft: `raft-${self}:1`, http: `http-${self}:1` },
  });
}

const [one, two] = [member(1, "a"), member(2, "b")];

test("whoever's log ends before it was named says where it is, so that it can be taken in", () => {
  const { members } = roster(3, "c", [one, two]).identity;
  const own = members.find(({ id }) => id === 3);
  assert.equal(own, { id: 3, raft: "raft-3:1", http: "http-3:1", incarnation: null });
  const named = roster(1, "a", [one, two]).identity.members;
  assert.equal(
    named.map(({ id, incarnation }) => [id, incarnation]),
    [
      [1, "a"],
      [2, "b"],
    ],
  );
});

test("what it says of itself lets it in nowhere", () => {
  const stranger = { ...roster(3, "c", [one, two]).identity, revision: 99 };
  const awaiting = roster(1, "a", [one, two, { ...member(3, ""), role: "learner" }]);
  assert.is(awaiting.judge(stranger)?.reason, "wiped");
  assert.is(roster(1, "a", [one, two]).judge(stranger)?.reason, "unknownMember");
  // Named by a newer configuration, it is let in.
  const known = { ...roster(3, "c", [one, two, member(3, "c")]).identity, revision: 99 };
  assert.is(roster(1, "a", [one, two]).judge(known), null);
});

test.run();
