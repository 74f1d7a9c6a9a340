/** Reads that wait for a revision, or for a state that is recent enough. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Failure, ReadOptions } from "../../server/client-port.ts";
import { parseDuration } from "../../server/duration.ts";
import { defaultLimits } from "../../server/limits.ts";
import { index } from "../../server/raft/entry.ts";
import { whenWithin } from "../../server/read-bounds.ts";
import { Watches } from "../../server/watch/watches.ts";
import { VirtualTime } from "./simulated-nodes.ts";

function scene() {
  const time = new VirtualTime();
  const clock = time.clock();
  const watches = new Watches({ clock, limits: defaultLimits, appliedIndex: index(10) });
  const node = { ageMs: 0 as number | null };
  const ask = (options: ReadOptions): { answer: Failure | null | undefined } => {
    const call: { answer: Failure | null | undefined } = { answer: undefined };
    const by = { clock, watches, ageMs: () => node.ageMs, timeoutMsDefault: 5_000 };
    void whenWithin(by, options).then((answer) => (call.answer = answer));
    return call;
  };
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 10) {
      time.run(10);
      for (let turn = 0; turn < 4; turn++) await Promise.resolve();
    }
  };
  return { watches, node, ask, pass };
}

test("a revision that is applied does not wait, one that comes is waited for", async () => {
  const { watches, ask, pass } = scene();
  const now = ask({ minRevision: 10 });
  const later = ask({ minRevision: 12 });
  await pass(100);
  assert.equal([now.answer, later.answer], [null, undefined]);
  watches.applied(index(11));
  await pass(100);
  assert.is(later.answer, undefined);
  watches.applied(index(12));
  await pass(100);
  assert.is(later.answer, null);
});

test("a revision that does not come in time is stale", async () => {
  const { ask, pass } = scene();
  const short = ask({ minRevision: 11, timeoutMs: 300 });
  const long = ask({ minRevision: 11 });
  await pass(400);
  assert.is(short.answer?.code, "stale");
  assert.is(long.answer, undefined);
  await pass(4_800);
  assert.is(long.answer?.code, "stale");
});

test("a local read waits until the state is recent enough, and no longer than it may", async () => {
  const { node, ask, pass } = scene();
  node.ageMs = 800;
  const bound = { level: "local", maxStaleMs: 500, timeoutMs: 1_000 } as const;
  const patient = ask(bound);
  const content = ask({ ...bound, maxStaleMs: 800 });
  const exact = ask({ ...bound, level: "linearizable" });
  await pass(100);
  assert.equal([patient.answer, content.answer, exact.answer], [undefined, null, null]);
  node.ageMs = 20;
  await pass(100);
  assert.is(patient.answer, null);
  node.ageMs = null;
  const never = ask(bound);
  await pass(1_200);
  assert.is(never.answer?.code, "stale");
});

test("durations have a unit or are seconds, and are neither nothing nor endless", () => {
  const known = { "500ms": 500, "30s": 30_000, "5m": 300_000, "2h": 7_200_000, "7d": 604_800_000 };
  for (const [text, ms] of Object.entries(known)) assert.is(parseDuration(text), ms);
  assert.is(parseDuration("30"), 30_000);
  assert.is(parseDuration("0.5"), 500);
  for (const text of ["", "0", "0s", "-1", "1e3", "s", "5 s", "1y", "Infinity", "999999999999d"]) {
    assert.is(parseDuration(text), null, text);
  }
});

test.run();
