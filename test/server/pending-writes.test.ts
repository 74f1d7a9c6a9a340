/** Writes that wait for their answers: what a refusal by another node means for them. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { PendingWrites, type WriteAnswer } from "../../server/pending-writes.ts";
import { nodeId } from "../../server/raft/entry.ts";

const session = 7;

/** One write, forwarded. */
function forwarded(): { writes: PendingWrites; answers: WriteAnswer[] } {
  const writes = new PendingWrites({
    self: nodeId(1),
    session,
    writesMax: 10,
    bytesMax: 1_000,
  });
  const answers: WriteAnswer[] = [];
  writes.add(new Uint8Array(4), 0, (answer) => answers.push(answer));
  writes.forwarded(writes.takeWaiting().writes);
  return { writes, answers };
}

test("a refused write waits for the next attempt", () => {
  const { writes } = forwarded();
  assert.is(writes.hasWaiting, false);
  writes.refused({ type: "forwardRefused", reason: "notLeader", session, sequences: [1] });
  assert.is(writes.hasWaiting, true);
});

test("a refusal of what another life of this node had forwarded is not about this one's writes", () => {
  const { writes, answers } = forwarded();
  for (const reason of ["notLeader", "overloaded", "noSpace"] as const) {
    for (const other of [session - 1, session + 1, 0]) {
      writes.refused({ type: "forwardRefused", reason, session: other, sequences: [1] });
    }
  }
  assert.is(writes.hasWaiting, false);
  assert.equal(answers, []);
});

test("a write that there is no room for is answered so", () => {
  const { writes, answers } = forwarded();
  writes.refused({ type: "forwardRefused", reason: "noSpace", session, sequences: [1] });
  assert.equal(answers, [{ ok: false, error: "noSpace", outcome: "not_applied" }]);
});

test.run();
