/**
 * Half a minute of seeds that nobody has run before: those of this commit, so that whoever runs it again sees
 * the same. `KV_SIM_SECONDS` makes it longer or shorter.
 */

import { spawnSync } from "node:child_process";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { describeFailure, describeTotals, emptyTotals, runSeed } from "./runs.ts";

const seconds = Number(process.env["KV_SIM_SECONDS"] ?? 30);
const totals = emptyTotals();

/**
 * What so many seeds reach for certain: a simulator that does not go there proves nothing about it. On
 * a busy machine half a minute is too few of them to tell.
 */
const places: readonly { readonly seeds: number; readonly names: readonly string[] }[] = [
  {
    seeds: 100,
    names: [
      ...["follower", "candidate", "leader"].flatMap((role) =>
        ["append", "forward", "heartbeat", "heartbeatResponse", "preVote", "readIndex", "vote"].map(
          (type) => `${type} to a ${role}`,
        ),
      ),
      ...["follower", "candidate"].map((role) => `preVoteResponse to a ${role}`),
      ...["follower", "candidate", "leader"].map((role) => `voteResponse to a ${role}`),
      "appendAccepted to a leader",
      "appendRejected to a leader",
      "forwardRefused to a follower",
      "readIndexResponse to a follower",
      "timeoutNow to a follower",
      "another append",
      "became leader",
      "became candidate",
      "conflicting entries were cut off",
      "the log was compacted",
      "snapshotOffer to a follower",
      "snapshotChunk to a follower",
      "snapshotProgress to a leader",
      "a snapshot was installed",
      "recoveryPoint to a leader",
      "recoveryPointResponse to a follower",
      "a damaged log is mended",
      "a damaged state is mended",
      "what was damaged is whole again",
      "nothing is left of a damage",
      "lost power",
      "ended by EIO",
      "ended by SimulatedCrash",
      "diskReport to a leader",
      "the log found no room",
      "the disk is nearly full",
      "the disk is full",
      "the disk has room again",
      "an empty directory is told: wiped",
      "an empty directory is taken in",
      "refused to start: retired",
      ...["add", "remove", "replace", "transfer"].map((what) => `members: ${what}: done`),
      "a call of unknown outcome",
      "a refused call",
      "a key lasted",
      "a key went with its time",
      "a lease ended",
      "a leader rested",
      "a follower rested",
      "a leader was left to itself",
      "a lock was taken",
      "a lock was waited for",
      "a lock was left to its time",
      "a write under a lock",
      "a watcher was told of a change",
      "a watch is resumed at another node",
      "a watch was refused: compacted",
      "a watcher listed what there is, and went on",
      "a long poll: a change came",
      "a long poll: it had changed before",
      "a long poll: nothing came",
      ...["exists", "revision", "createRevision", "value"].flatMap((kind) => [
        `a case: ${kind}`,
        `a case: not ${kind}`,
      ]),
      ...["put", "delete", "deleteRange", "range", "getdel", "touch", "append", "incr"].map(
        (op) => `a case: ${op}`,
      ),
      "a case: all conditions held",
      "a case: a condition did not hold",
      "a case: a match failed",
      "a case was refused: conflict",
      "a listing: linearizable",
      "a count: exact",
      "a lease: leaseGrant",
    ],
  },
  {
    seeds: 400,
    names: [
      "members: promote: done",
      "a torn tail was dropped",
      "appendAccepted to a follower",
      "appendAccepted to a candidate",
      "preVoteResponse to a leader",
      "refused to start: identity",
      "ended by LogDamaged",
      "a write was fenced off",
      "a place in a queue went with its lease",
      "ended in order",
      "a history outlived its process",
      "a watch goes on from an earlier life",
      "a watch ended: behind, overloaded",
      "a watch ended: replaced, stale",
      "a watch was refused: overloaded",
      "a watch broke off within a revision",
      "a watch fell silent",
      "a read that may wait was refused: stale",
      ...["get", "max", "min", "holder", "deleteRange to its limit", "leave"].map(
        (what) => `a case: ${what}`,
      ),
      "a case was refused: not_found",
      ...["local", "reverse", "groups", "keys only"].map((what) => `a listing: ${what}`),
      "a listing goes on",
      "a count: linearizable",
      "a count: local",
      ...["leaseRenew", "leaseRevoke", "read"].map((what) => `a lease: ${what}`),
      "a lease: leaseRenew was refused: not_found",
      ...["won at once", "waited for", "setValue", "asked for its leader"].map(
        (what) => `an election: ${what}`,
      ),
      "a request again: done",
      "a request under another's key: idempotency_mismatch",
    ],
  },
];

/** Without a commit any. */
function firstSeed(): number {
  const { stdout } = spawnSync("git", ["rev-parse", "HEAD"], { encoding: "utf8" });
  const digits = /^[0-9a-f]{7}/.exec(stdout ?? "")?.[0];
  return digits === undefined ? Math.floor(Math.random() * 2 ** 31) : Number.parseInt(digits, 16);
}

test(`random seeds hold for ${seconds} s`, async () => {
  const start = firstSeed();
  console.log(`random seeds from ${start} on`);
  const endMs = performance.now() + seconds * 1_000;
  for (let seed = start; performance.now() < endMs && totals.failures.length < 3; seed++) {
    const result = await runSeed(seed, totals);
    if (result.failure) console.log(describeFailure(result, 100));
  }
  console.log(describeTotals(totals));
  assert.equal(
    totals.failures.map(({ options }) => options.seed),
    [],
  );
});

test("they reached every message in every role, and every branch of recovery", () => {
  const due = places.filter(({ seeds: atLeast }) => totals.seeds >= atLeast);
  if (due.length === 0) console.log(`${totals.seeds} seeds are too few to tell what they reach`);
  const missed = due
    .flatMap(({ names }) => names)
    .filter((name) => !totals.coverage.counts.has(name));
  assert.equal(missed, []);
});

test("no history was too hard for the checker more than rarely", () => {
  const undecided = totals.coverage.counts.get("an undecided history") ?? 0;
  assert.ok(undecided * 50 <= totals.seeds, `${undecided} of ${totals.seeds}`);
});

test.run();
