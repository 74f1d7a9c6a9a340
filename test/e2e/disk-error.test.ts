/** A disk that errors ends the process: nothing is retried, nothing acknowledged is missing. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { skipped } from "../harness/skipped.ts";
import { Cluster, type ClusterNode, electionMs } from "./cluster.ts";
import { Injection, whyNoInjection } from "./injection.ts";
import { Load } from "./load.ts";
import { type Scope, scenario } from "./scope.ts";

const noInjection = whyNoInjection();

/** The error meets `victim`, which must end and say which file; the others go on. */
async function assertEndsOnError(
  scope: Scope,
  pick: (cluster: Cluster) => Promise<ClusterNode | undefined>,
  injection: string,
  provoke: (cluster: Cluster) => Promise<void> = async () => {},
): Promise<void> {
  const cluster = await Cluster.start(scope);
  const load = Load.start(cluster);
  scope.onEnd(() => load.stop());
  await load.progresses(50, 10_000);
  const victim = await pick(cluster);
  assert.ok(victim);
  await Injection.attach(scope, victim, injection);
  await provoke(cluster);
  const ending = await victim.process.endsWithin(10_000);
  assert.ok(ending.code !== 0, "it ends with an error");
  const last = victim.process.errorLines.at(-1) ?? "";
  assert.ok(last.includes(victim.directory), `the last line names a file: ${last}`);
  assert.match(last, /EIO|i\/o error|input\/output/i);
  assert.not.match(victim.process.stderr, /^\s+at /m);
  await cluster.leader(electionMs);
  await load.progresses(50, electionMs);
  victim.start();
  await cluster.whole();
  await load.progresses(20, electionMs);
  await load.stop();
  await load.verify();
  await cluster.assertSameState();
}

function diskScenario(name: string, run: (scope: Scope) => Promise<void>): void {
  scenario(name, async (scope) => {
    if (noInjection !== null) return skipped(noInjection);
    await run(scope);
  });
}

diskScenario("the leader's sync fails once, where a retry would succeed", async (scope) => {
  await assertEndsOnError(scope, (cluster) => cluster.leader(), "fdatasync:error=EIO:when=1");
});

diskScenario("a follower's sync fails from now on", async (scope) => {
  await assertEndsOnError(
    scope,
    async (cluster) => (await cluster.followers())[0],
    "fdatasync:error=EIO:when=3+",
  );
});

diskScenario("the sync of a follower's database fails", async (scope) => {
  await assertEndsOnError(
    scope,
    async (cluster) => (await cluster.followers())[0],
    "fsync:error=EIO:when=1+",
    // Enough for a checkpoint, which is when the database is synced.
    async (cluster) => {
      const leader = await cluster.leader();
      for (let i = 0; i < 16; i++) await leader.mustPut(`large-${i}`, new Uint8Array(1_000_000));
    },
  );
});

diskScenario("the leader's write fails", async (scope) => {
  await assertEndsOnError(
    scope,
    (cluster) => cluster.leader(),
    "pwrite64,pwritev:error=EIO:when=2",
  );
});

test.run();
