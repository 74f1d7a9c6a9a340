/** Which reads wait for which round. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { index, nodeId } from "../../server/raft/entry.ts";
import { ReadRounds, waitingReadsMax } from "../../server/raft/read-rounds.ts";

const read = (requestId: number) => ({ from: nodeId(1), requestId });

test("a read waits for a round that is opened after it came", () => {
  const rounds = new ReadRounds();
  rounds.gather(read(1));
  const first = rounds.open(index(5));
  rounds.gather(read(2));
  assert.equal(rounds.release(first), [{ ...read(1), readIndex: 5 }]);
  assert.ok(rounds.hasGathered);
  const second = rounds.open(index(8));
  assert.equal(rounds.release(first), []);
  assert.equal(rounds.release(second), [{ ...read(2), readIndex: 8 }]);
});

test("heartbeats name no round while no read waits", () => {
  const rounds = new ReadRounds();
  rounds.gather(read(1));
  const number = rounds.open(index(5));
  assert.is(rounds.wanted, number);
  rounds.release(number);
  assert.is(rounds.wanted, 0);
  assert.is(rounds.newest, number);
});

test("past the limit reads are refused until others are released", () => {
  const rounds = new ReadRounds();
  for (let i = 0; i < waitingReadsMax; i++) assert.ok(rounds.gather(read(i)));
  assert.not(rounds.gather(read(-1)));
  rounds.release(rounds.open(index(1)));
  assert.ok(rounds.gather(read(-1)));
});

test.run();
