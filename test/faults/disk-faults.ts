/** Writes and syncs that fail, hang, or are the last thing a node does. */

import * as assert from "uvu/assert";
import type { ClusterNode } from "../e2e/cluster.ts";
import { Injection, whyNoInjection } from "../e2e/injection.ts";
import { until } from "../e2e/wait.ts";
import type { Random } from "../raft/random.ts";
import { type Fault, type FaultKind, type Target, targets } from "./fault.ts";
import type { World } from "./world.ts";

/** A node under load syncs many times a second. */
const proofMs = 15_000;

/** The system call fails once, as late as `when` says: the process ends and names a file. */
class DiskError implements Fault {
  readonly name: string;
  readonly #target: Target;
  readonly #what: string;
  #victim: ClusterNode | null = null;

  constructor(target: Target, calls: string, when: number) {
    this.#target = target;
    this.#what = `${calls}:error=EIO:when=${when}`;
    this.name = `${target}: ${this.#what}`;
  }

  async start(world: World): Promise<string> {
    const victim = await world.claim(this.#target);
    this.#victim = victim;
    const injection = await Injection.attach(world.scope, victim, this.#what);
    const { code, signal } = await victim.process.endsWithin(proofMs);
    const last = victim.process.errorLines.at(-1) ?? "";
    assert.is(injection.count, 1, "it fails once");
    assert.ok(code !== null && code !== 0, `it ends with an error, not ${code} ${signal}`);
    assert.ok(last.includes(victim.directory), `the last line names a file: ${last}`);
    return `node ${victim.id} ended with code ${code}`;
  }

  async heal(world: World): Promise<void> {
    if (this.#victim !== null) world.revive(this.#victim);
    await Promise.resolve();
  }
}

/** Every sync takes long: longer than an election, so that a leader is replaced. */
class SlowSync implements Fault {
  readonly name: string;
  readonly #target: Target;
  readonly #what: string;
  #victim: ClusterNode | null = null;
  #injection: Injection | null = null;

  constructor(target: Target, delayMs: number) {
    this.#target = target;
    this.#what = `fdatasync:delay_enter=${delayMs * 1_000}`;
    this.name = `${target}: every sync takes ${delayMs} ms`;
  }

  async start(world: World): Promise<string> {
    const victim = await world.claim(this.#target);
    this.#victim = victim;
    const injection = await Injection.attach(world.scope, victim, this.#what);
    this.#injection = injection;
    await until("a delayed sync", proofMs, () => injection.count > 0);
    return `node ${victim.id}, ${injection.count} syncs delayed`;
  }

  async heal(world: World): Promise<void> {
    await this.#injection?.detach();
    if (this.#victim !== null) world.release(this.#victim);
  }
}

/** SIGKILL in the middle of the nth system call of a kind. */
class KillAtCall implements Fault {
  readonly name: string;
  readonly #target: Target;
  readonly #what: string;
  #victim: ClusterNode | null = null;

  constructor(target: Target, calls: string, when: number) {
    this.#target = target;
    this.#what = `${calls}:signal=KILL:when=${when}`;
    this.name = `${target}: ${this.#what}`;
  }

  async start(world: World): Promise<string> {
    const victim = await world.claim(this.#target);
    this.#victim = victim;
    await Injection.attach(world.scope, victim, this.#what);
    const { signal } = await victim.process.endsWithin(proofMs);
    assert.is(signal, "SIGKILL");
    return `node ${victim.id} ended by SIGKILL`;
  }

  async heal(world: World): Promise<void> {
    if (this.#victim !== null) world.revive(this.#victim);
    await Promise.resolve();
  }
}

const logSyncs = "fdatasync";
const writes = "pwrite64,pwritev,pwritev2";

export const erring: FaultKind = {
  name: "EIO",
  needsLoad: true,
  whyNot: whyNoInjection,
  draw: (random: Random) =>
    new DiskError(random.pick(targets), random.pick([logSyncs, writes]), 1 + random.below(30)),
};

export const hanging: FaultKind = {
  name: "hanging syncs",
  lasts: true,
  needsLoad: true,
  whyNot: whyNoInjection,
  draw: (random: Random) => new SlowSync(random.pick(targets), random.pick([50, 300, 3_000])),
};

export const killingAtCall: FaultKind = {
  name: "kill at a system call",
  needsLoad: true,
  whyNot: whyNoInjection,
  draw: (random: Random) =>
    new KillAtCall(random.pick(targets), random.pick([logSyncs, writes]), 1 + random.below(60)),
};
