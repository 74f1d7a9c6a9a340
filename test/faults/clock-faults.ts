/** Wall clocks that jump, by way of libfaketime: the clock that only goes forward is left alone. */

import { existsSync, globSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Cluster, ClusterNode } from "../e2e/cluster.ts";
import type { Scope } from "../e2e/scope.ts";
import { until } from "../e2e/wait.ts";
import type { Random } from "../raft/random.ts";
import { type Fault, type FaultKind, type Target, targets } from "./fault.ts";
import type { World } from "./world.ts";

/** The variant for programs with threads. */
const libraries = [
  "/usr/lib/*/faketime/libfaketimeMT.so.1",
  "/usr/lib/faketime/libfaketimeMT.so.1",
];

function library(): string | null {
  return libraries.flatMap((pattern) => globSync(pattern)).find((path) => existsSync(path)) ?? null;
}

export function whyNoFakeTime(): string | null {
  return library() === null ? "no libfaketime (Debian package faketime)" : null;
}

/** The file that tells the node's processes by how much their clock is wrong. */
const offsetFile = (node: ClusterNode): string => node.environment["FAKETIME_TIMESTAMP_FILE"] ?? "";

/** Before the nodes start: from then on `jump` can change their clocks. */
export function fakeClocks(scope: Scope, cluster: Cluster): void {
  const preload = library();
  if (preload === null) return;
  const directory = scope.temporaryDirectory();
  scope.onEnd(sweepMemory);
  for (const node of cluster.nodes) {
    const file = join(directory, `clock-${node.id}`);
    writeFileSync(file, "+0\n");
    node.environment = {
      ...node.environment,
      LD_PRELOAD: preload,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_CACHE_DURATION: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      DONT_FAKE_MONOTONIC: "1",
    };
  }
}

/** The library's shared memory outlives processes that are killed. */
function sweepMemory(): void {
  for (const path of globSync("/dev/shm/*faketime_*_*")) {
    const owner = /_(\d+)$/.exec(path)?.[1];
    if (owner === undefined || existsSync(`/proc/${owner}`)) continue;
    try {
      rmSync(path, { force: true });
    } catch {
      // Another user's.
    }
  }
}

/** Seconds between the node's clock, as its answers show it, and ours. */
async function wrongBy(node: ClusterNode): Promise<number> {
  const { headers } = await node.ask("GET", "/livez", { timeoutMs: 2_000 });
  return (new Date(headers.date ?? "").getTime() - Date.now()) / 1_000;
}

/** Sets the node's clock wrong by so much, and resolves once its answers show it. */
export async function jump(node: ClusterNode, seconds: number): Promise<string> {
  writeFileSync(offsetFile(node), `${seconds < 0 ? "" : "+"}${seconds}\n`);
  await until(`node ${node.id}'s clock wrong by ${seconds} s`, 8_000, async () => {
    const seen = await wrongBy(node);
    if (Math.abs(seen - seconds) < 10) return true;
    throw new Error(`by ${seen.toFixed(0)} s`);
  });
  return `node ${node.id} dates its answers ${seconds} s off`;
}

class Jump implements Fault {
  readonly name: string;
  readonly #target: Target;
  readonly #seconds: number;
  #victim: ClusterNode | null = null;

  constructor(target: Target, seconds: number) {
    this.#target = target;
    this.#seconds = seconds;
    this.name = `the clock of the ${target} jumps by ${seconds} s`;
  }

  async start(world: World): Promise<string> {
    this.#victim = await world.claim(this.#target);
    const proof = await jump(this.#victim, this.#seconds);
    // It is as well as before: the next fault may meet it with its wrong clock.
    world.release(this.#victim);
    return proof;
  }

  async heal(): Promise<void> {
    if (this.#victim !== null) writeFileSync(offsetFile(this.#victim), "+0\n");
    await Promise.resolve();
  }
}

export const jumping: FaultKind = {
  name: "clock jumps",
  whyNot: whyNoFakeTime,
  draw: (random: Random) => new Jump(random.pick(targets), random.pick([3_600, -7_200, 400_000])),
};
