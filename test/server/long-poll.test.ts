/** A read that waits for a change, over a store whose answers take their time. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { GetAnswer, ReadOptions } from "../../server/client-port.ts";
import { defaultLimits } from "../../server/limits.ts";
import {
  getChanged,
  type PolledStore,
  type Wait,
  type WaitedAnswer,
} from "../../server/long-poll.ts";
import { must } from "../../server/raft/assert.ts";
import { index } from "../../server/raft/entry.ts";
import type { RowChanged } from "../../server/state-machine/changes.ts";
import { openWatch } from "../../server/watch/node-watch.ts";
import { Watches } from "../../server/watch/watches.ts";
import { VirtualTime } from "./simulated-nodes.ts";

/** A key that had a row at revision 10, which has gone by revision 11. */
function scene() {
  const time = new VirtualTime();
  const clock = time.clock();
  const watches = new Watches({ clock, limits: defaultLimits, appliedIndex: index(10) });
  const reads: ((answer: GetAnswer) => void)[] = [];
  const store: PolledStore = {
    watch: async (options) => openWatch({ watches, clock }, options),
    get: () => new Promise((resolve) => reads.push(resolve)),
  };
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  };
  return {
    watches,
    reads,
    /** With its answer once there is one. */
    poll: (wait: Wait, options: ReadOptions = {}): { found: WaitedAnswer | null } => {
      const poll: { found: WaitedAnswer | null } = { found: null };
      void getChanged(store, "k", { wait, options }).then((found) => (poll.found = found));
      return poll;
    },
    change: (more: Partial<RowChanged>): void => {
      const revisionsBefore = { revision: index(10), createRevision: index(10) };
      const gone = {
        type: "delete",
        key: "k",
        row: null,
        revisionsBefore,
        rowBefore: null,
      } as const;
      watches.changed({ ...gone, ...more });
      watches.applied(index(watches.appliedIndex + 1));
    },
    pass: async (ms: number): Promise<void> => {
      await settle();
      time.run(ms);
      await settle();
    },
    /** The reads that are under way find no row, and so do those that follow from them. */
    answer: async (): Promise<void> => {
      while (reads.length > 0) {
        must(reads.shift(), "a read is under way")(nothing);
        await settle();
      }
    },
  };
}

const nothing: GetAnswer = { ok: true, level: "linearizable", row: null, revision: index(11) };
const told = { kind: "answer", answer: nothing };

test("that a key has gone is told, though its row took longer to be read than there was time", async () => {
  const { poll, pass, change, answer } = scene();
  const early = poll({ ms: 1_000, after: 10 });
  await pass(10);
  change({});
  await pass(10);
  await pass(2_000);
  await answer();
  assert.equal(early.found, told);
});

test("so is it where it went after the time, and before its row was read", async () => {
  const { poll, pass, change, answer } = scene();
  const late = poll({ ms: 1_000, after: 10 });
  await pass(2_000);
  change({});
  await pass(10);
  await answer();
  assert.equal(late.found, told);
});

test("so is it where it went in the moment in which the time was over", async () => {
  const { poll, pass, change, answer } = scene();
  const sudden = poll({ ms: 1_000, after: 10 });
  await pass(10);
  change({});
  await pass(2_000);
  await answer();
  assert.equal(sudden.found, told);
});

test("so is it where the history of it is forgotten by then", async () => {
  const { poll, pass, change, answer, watches } = scene();
  const forgotten = poll({ ms: 1_000, after: 10 });
  await pass(2_000);
  change({});
  watches.compact(watches.appliedIndex);
  await answer();
  assert.equal(forgotten.found, told);
});

test("of a key that was not there and is not, nothing is told", async () => {
  const { poll, pass, change, answer } = scene();
  const absent = poll({ ms: 1_000, after: 10 });
  await pass(10);
  change({ key: "other" });
  await pass(2_000);
  await answer();
  assert.equal(absent.found, { kind: "unchanged", answer: nothing });
});

test("whoever goes leaves no watcher behind", async () => {
  const { poll, pass, watches, answer } = scene();
  const leaving = new AbortController();
  for (const after of [undefined, 10]) poll({ ms: 60_000, after }, { signal: leaving.signal });
  await pass(10);
  await answer();
  assert.is(watches.count, 2);
  leaving.abort();
  await pass(10);
  await answer();
  assert.is(watches.count, 0);
});

test.run();
