/** Processes that die and processes that stop for a while. */

import { readFileSync } from "node:fs";
import * as assert from "uvu/assert";
import type { ClusterNode } from "../e2e/cluster.ts";
import { until } from "../e2e/wait.ts";
import type { Random } from "../raft/random.ts";
import { type Fault, type FaultKind, type Target, targets } from "./fault.ts";
import type { World } from "./world.ts";

/** One letter: R, S, T and so on, as `ps` shows it. */
export function processState(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.charAt(stat.lastIndexOf(")") + 2);
}

class Kill implements Fault {
  readonly name: string;
  readonly #target: Target;
  #victim: ClusterNode | null = null;

  constructor(target: Target) {
    this.#target = target;
    this.name = `kill -9 ${target}`;
  }

  async start(world: World): Promise<string> {
    const victim = await world.claim(this.#target);
    this.#victim = victim;
    await victim.kill();
    assert.is(victim.process.ending?.signal, "SIGKILL");
    return `node ${victim.id} ended by SIGKILL`;
  }

  async heal(world: World): Promise<void> {
    if (this.#victim !== null) world.revive(this.#victim);
    await Promise.resolve();
  }
}

/** They are started again at once: with nobody there the next fault would meet nobody. */
class KillAll implements Fault {
  readonly name = "kill -9 all";

  async start({ cluster }: World): Promise<string> {
    const victims = cluster.running;
    await cluster.killAll();
    for (const node of victims) assert.is(node.process.ending?.signal, "SIGKILL");
    cluster.startAll();
    return `nodes ${victims.map(({ id }) => id).join(", ")} ended by SIGKILL`;
  }

  async heal(): Promise<void> {
    await Promise.resolve();
  }
}

class Stop implements Fault {
  readonly name: string;
  readonly #target: Target;
  #victim: ClusterNode | null = null;

  constructor(target: Target) {
    this.#target = target;
    this.name = `SIGSTOP ${target}`;
  }

  async start(world: World): Promise<string> {
    const victim = await world.claim(this.#target);
    this.#victim = victim;
    victim.process.signal("SIGSTOP");
    await until("the process is stopped", 2_000, () => processState(victim.process.pid) === "T");
    return `node ${victim.id} is in state T`;
  }

  async heal(world: World): Promise<void> {
    if (this.#victim === null) return;
    this.#victim.process.signal("SIGCONT");
    world.release(this.#victim);
    await Promise.resolve();
  }
}

export const killing: FaultKind = {
  name: "kill",
  whyNot: () => null,
  draw: (random: Random) => new Kill(random.pick(targets)),
};

export const killingAll: FaultKind = {
  name: "kill all",
  whyNot: () => null,
  draw: () => new KillAll(),
};

export const stopping: FaultKind = {
  name: "stop",
  lasts: true,
  whyNot: () => null,
  draw: (random: Random) => new Stop(random.pick(targets)),
};
