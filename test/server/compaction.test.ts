/** How much of the log may go. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { compactionTarget, isAheadOfLog } from "../../server/compaction.ts";
import type { LogStore } from "../../server/ports.ts";
import { index } from "../../server/raft/entry.ts";

/** 1,000 entries of ten bytes. */
const log = {
  lastIndex: index(1_000),
  lastBeyond: (bytes: number) => index(Math.max(0, 1_000 - Math.floor(bytes / 10))),
} as LogStore;

const limits = { logEntriesMax: 100, logTailBytesMin: 100, logBytesMax: 2_000 };

function target(given: { match?: number; pinned?: number; stateBytes?: number }): number {
  const { match, pinned, stateBytes = 0 } = given;
  return compactionTarget(log, {
    syncedIndex: index(1_000),
    pinnedIndex: pinned === undefined ? null : index(pinned),
    matchIndex: match === undefined ? null : index(match),
    stateBytes,
    limits,
  });
}

test("a tail stays, by entries and by half of the state's bytes", () => {
  assert.is(target({}), 990);
  assert.is(target({ stateBytes: 1_000 }), 950);
  assert.is(target({ stateBytes: 1_000_000 }), 900);
});

test("who is here and behind is fed from the log as long as that is less than the state", () => {
  assert.is(target({ match: 850 }), 850);
  assert.is(target({ match: 500 }), 800, "no more than logBytesMax of a small state");
  assert.is(target({ match: 500, stateBytes: 6_000 }), 500);
  assert.is(target({ match: 100, stateBytes: 6_000 }), 400, "the state is less to send");
});

test("what comes behind a snapshot on its way stays, within bounds", () => {
  assert.is(target({ pinned: 700 }), 700);
  assert.is(target({ pinned: 10 }), 600, "twice logBytesMax");
  assert.is(target({ pinned: 10, stateBytes: 5_000 }), 300);
});

test("a transfer takes its time until the log behind it has taken more of its room than it has gone", () => {
  const isAhead = (gone: number, stateBytes: number, pinned = 500): boolean =>
    isAheadOfLog(log, { gone, part: 3 / 4 }, { pinnedIndex: index(pinned), stateBytes, limits });
  // 5,000 bytes have come since.
  assert.not(isAhead(0, 10_000));
  assert.not(isAhead(0.6, 10_000));
  assert.ok(isAhead(0.7, 10_000));
  assert.ok(isAhead(0.4, 20_000), "of a larger state more of the log stays");
  assert.not(isAhead(1, 5_000), "in the end there has to be room to spare");
});

test.run();
