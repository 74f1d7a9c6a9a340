/** SIGKILL at the nth write, sync, rename or unlink since the first start: it starts again unattended. */

import { randomInt } from "node:crypto";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster, type ClusterNode } from "../e2e/cluster.ts";
import { NoAnswer } from "../e2e/http.ts";
import { whyNoInjection } from "../e2e/injection.ts";
import { Scope, scenario } from "../e2e/scope.ts";
import { until } from "../e2e/wait.ts";
import { skipped } from "../harness/skipped.ts";
import { Random } from "../raft/random.ts";
import { isLongForm } from "./form.ts";

/** How many of each a first start and a few writes need at least. */
const calls: Readonly<Record<string, number>> = {
  fsync: 12,
  fdatasync: 25,
  rename: 2,
  unlink: 1,
  ftruncate: 1,
  pwrite64: 45,
};
/** Of all cases, the short form tries so many. */
const sampled = 9;
const atOnce = 3;
const writesMax = 60;
const seed = Number(process.env["KV_SEED"] ?? randomInt(2 ** 31));

/** `isDone`: the call is made before the process dies, and not kept from it. */
interface Case {
  readonly call: string;
  readonly when: number;
  readonly isDone: boolean;
}

const all: Case[] = Object.entries(calls).flatMap(([call, count]) =>
  Array.from({ length: 2 * count }, (_, i) => ({
    call,
    when: 1 + (i >> 1),
    isDone: i % 2 === 0,
  })),
);

function sample(): Case[] {
  const random = new Random(seed);
  const left = [...all];
  return Array.from({ length: sampled }, () => left.splice(random.below(left.length), 1)).flat();
}

/** Writes until the node dies; returns the keys that were acknowledged. */
async function writeUntilDead(node: ClusterNode): Promise<string[]> {
  const acknowledged: string[] = [];
  await until("the node answers or is dead", 15_000, async () => {
    return !node.isRunning || (await node.isReady());
  });
  for (let write = 0; node.isRunning && write < writesMax; write++) {
    const key = `key-${write}`;
    try {
      const { status } = await node.put(key, key);
      if (status === 201) acknowledged.push(key);
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      await node.process.endsWithin(10_000);
    }
  }
  return acknowledged;
}

async function survive({ call, when, isDone }: Case): Promise<void> {
  const scope = new Scope();
  try {
    const cluster = await Cluster.prepare(scope, { size: 1 });
    const node = cluster.node(1);
    const inject = `inject=${call}:${isDone ? "" : "error=EIO:"}signal=KILL:when=${when}`;
    const output = join(scope.temporaryDirectory(), "strace");
    // As a daemon the tracer is the grandchild, and the node the child, to which signals go.
    node.wrapper = ["strace", "-D", "-f", "-o", output, "-e", `trace=${call}`, "-e", inject];
    node.start();
    const acknowledged = await writeUntilDead(node);
    if (node.isRunning) node.process.signal("SIGTERM");
    const { signal } = await node.process.endsWithin(10_000);
    assert.is(signal, "SIGKILL", `it never came to the ${when}th ${call}`);
    node.wrapper = [];
    node.start();
    await cluster.whole();
    for (const key of acknowledged) assert.is((await node.get(key)).text, key);
    await node.mustPut("again", "x");
    await node.stop();
  } catch (error) {
    console.log(scope.testimony);
    const what = `killed ${isDone ? "after" : "before"} ${call} number ${when}`;
    throw new Error(`${what}: ${(error as Error).message}`, { cause: error });
  } finally {
    await scope.end();
  }
}

const cases = isLongForm ? all : sample();

scenario(`killed at ${cases.length} different calls, seed ${seed}`, async () => {
  const why = whyNoInjection();
  if (why !== null) return skipped(why);
  const waiting = [...cases];
  const work = async (): Promise<void> => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) await survive(next);
  };
  await Promise.all(Array.from({ length: atOnce }, work));
});

test.run();
