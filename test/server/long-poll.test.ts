/** A read that waits for a change, over a store whose answers take their time. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { GetAnswer } from "../../server/client-port.ts";
import { defaultLimits } from "../../server/limits.ts";
import { getChanged, type PolledStore } from "../../server/long-poll.ts";
import { must } from "../../server/raft/assert.ts";
import { index } from "../../server/raft/entry.ts";
import { openWatch } from "../../server/watch/node-watch.ts";
import { Watches } from "../../server/watch/watches.ts";
import { VirtualTime } from "./simulated-nodes.ts";

const nothing: GetAnswer = { ok: true, level: "linearizable", row: null, revision: index(11) };

test("that a key has gone is told, though its row took longer to be read than there was time", async () => {
  const time = new VirtualTime();
  const clock = time.clock();
  const watches = new Watches({ clock, limits: defaultLimits, appliedIndex: index(10) });
  const reads: ((answer: GetAnswer) => void)[] = [];
  const store: PolledStore = {
    watch: async (options) => openWatch({ watches, clock }, options),
    get: () => new Promise((resolve) => reads.push(resolve)),
  };
  const pass = async (ms: number): Promise<void> => {
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    time.run(ms);
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  };
  const answer = async (): Promise<void> => {
    must(reads.shift(), "a read is under way")(nothing);
    await pass(1);
  };
  const found = getChanged(store, "k", { wait: { ms: 1_000, after: 10 }, options: {} });
  await pass(10);
  const revisionsBefore = { revision: index(10), createRevision: index(10) };
  watches.changed({ type: "delete", key: "k", row: null, revisionsBefore, rowBefore: null });
  watches.applied(index(11));
  await pass(2_000);
  await answer();
  await answer();
  assert.equal(await found, { kind: "answer", answer: nothing, revision: 11 });
});

test.run();
