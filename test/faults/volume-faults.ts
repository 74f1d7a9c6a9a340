/** Full disks, and power that is lost. */

import * as assert from "uvu/assert";
import type { ClusterNode } from "../e2e/cluster.ts";
import { until } from "../e2e/wait.ts";
import type { Random } from "../raft/random.ts";
import { type Fault, type FaultKind, type Target, targets } from "./fault.ts";
import { whyNoVolumes } from "./volume.ts";
import type { World } from "./world.ts";

/** What is preallocated has to be used up first. */
const fullMs = 20_000;

class FullDisk implements Fault {
  readonly name: string;
  readonly #target: Target;
  #victim: ClusterNode | null = null;

  constructor(target: Target) {
    this.#target = target;
    this.name = `the disk of the ${target} is full`;
  }

  async start(world: World): Promise<string> {
    const victim = await world.claim(this.#target);
    this.#victim = victim;
    const volume = world.volumeOf(victim);
    const filled = volume.fill();
    // Large values are what uses up the rest of the segment at hand.
    let refused = 0;
    const large = new Uint8Array(500_000);
    await until("somebody notices that the disk is full", fullMs, async () => {
      const answer = await victim.put("large", large, { timeoutMs: 2_000 }).catch(() => null);
      if (answer?.status === 507) refused++;
      assert.ok(victim.isRunning, victim.process.stderr);
      return refused > 0;
    });
    return `node ${victim.id}: ${filled} bytes of ballast, it answers 507`;
  }

  async heal(world: World): Promise<void> {
    if (this.#victim === null) return;
    world.volumeOf(this.#victim).empty();
    await Promise.resolve();
  }
}

/** kill -9, and then everything that was not synced is gone. */
export async function losePower(world: World, nodes: readonly ClusterNode[]): Promise<string> {
  await Promise.all(nodes.map((node) => node.kill()));
  for (const node of nodes) {
    const volume = world.volumeOf(node);
    volume.cutPower();
    volume.restorePower();
  }
  return `nodes ${nodes.map(({ id }) => id).join(", ")}: an unsynced write is gone`;
}

class PowerLoss implements Fault {
  readonly name: string;
  readonly #target: Target;
  #victim: ClusterNode | null = null;

  constructor(target: Target) {
    this.#target = target;
    this.name = `power loss of the ${target}`;
  }

  async start(world: World): Promise<string> {
    this.#victim = await world.claim(this.#target);
    return losePower(world, [this.#victim]);
  }

  async heal(world: World): Promise<void> {
    if (this.#victim !== null) world.revive(this.#victim);
    await Promise.resolve();
  }
}

/** They are started again at once: with nobody there the next fault would meet nobody. */
class PowerLossOfAll implements Fault {
  readonly name = "power loss of all";

  async start(world: World): Promise<string> {
    const proof = await losePower(world, world.cluster.nodes);
    world.cluster.startAll();
    return proof;
  }

  async heal(): Promise<void> {
    await Promise.resolve();
  }
}

export const filling: FaultKind = {
  name: "full disk",
  needsLoad: true,
  whyNot: whyNoVolumes,
  draw: (random: Random) => new FullDisk(random.pick(targets)),
};

export const losingPower: FaultKind = {
  name: "power loss",
  whyNot: whyNoVolumes,
  draw: (random: Random) => new PowerLoss(random.pick(targets)),
};

export const losingAllPower: FaultKind = {
  name: "power loss of all",
  whyNot: whyNoVolumes,
  draw: () => new PowerLossOfAll(),
};
