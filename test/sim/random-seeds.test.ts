/** A minute of seeds that nobody has run before; `KV_SIM_SECONDS` makes it longer or shorter. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { describeFailure, describeTotals, emptyTotals, runSeed } from "./runs.ts";

const seconds = Number(process.env["KV_SIM_SECONDS"] ?? 60);
const totals = emptyTotals();

/** What a minute reaches for certain: a simulator that does not go there proves nothing about it. */
const places = [
  ...["follower", "candidate", "leader"].flatMap((role) =>
    [
      "append",
      "appendAccepted",
      "forward",
      "heartbeat",
      "heartbeatResponse",
      "preVote",
      "preVoteResponse",
      "readIndex",
      "vote",
      "voteResponse",
    ].map((type) => `${type} to a ${role}`),
  ),
  "appendRejected to a leader",
  "forwardRefused to a follower",
  "readIndexResponse to a follower",
  "timeoutNow to a follower",
  "became leader",
  "became candidate",
  "conflicting entries were cut off",
  "a torn tail was dropped",
  "lost power",
  "ended by EIO",
  "diskReport to a leader",
  "the log found no room",
  "the disk is nearly full",
  "the disk is full",
  "the disk has room again",
  "ended by SimulatedCrash",
  "an empty directory is told: wiped",
  "an empty directory is taken in",
  "refused to start: retired",
  ...["add", "promote", "remove", "replace", "transfer"].map((what) => `members: ${what}: done`),
  "a call of unknown outcome",
  "a refused call",
];

test(`random seeds hold for ${seconds} s`, () => {
  const start = Math.floor(Math.random() * 2 ** 31);
  console.log(`random seeds from ${start} on`);
  const endMs = performance.now() + seconds * 1_000;
  for (let seed = start; performance.now() < endMs && totals.failures.length < 3; seed++) {
    const result = runSeed(seed, totals);
    if (result.failure) console.log(describeFailure(result, 100));
  }
  console.log(describeTotals(totals));
  assert.equal(
    totals.failures.map(({ options }) => options.seed),
    [],
  );
});

test("they reached every message in every role, and every branch of recovery", () => {
  const missed = places.filter((place) => !totals.coverage.counts.has(place));
  assert.equal(missed, []);
});

test("no history was too hard for the checker more than rarely", () => {
  const undecided = totals.coverage.counts.get("an undecided history") ?? 0;
  assert.ok(undecided * 50 <= totals.seeds, `${undecided} of ${totals.seeds}`);
});

test.run();
