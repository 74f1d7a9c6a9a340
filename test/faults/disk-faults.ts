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

/** What a system call of a node does that ends the process; healed, the node is started again. */
abstract class FatalCall implements Fault {
  readonly name: string;
  readonly #target: Target;
  readonly #what: string;
  #victim: ClusterNode | null = null;

  /** `what`: the calls and what becomes of them, in the words of strace. */
  constructor(target: Target, what: string) {
    this.#target = target;
    this.#what = what;
    this.name = `${target}: ${what}`;
  }

  /** Waits for the end that proves the fault, and says what it was. */
  protected abstract prove(victim: ClusterNode, injection: Injection): Promise<string>;

  async start(world: World): Promise<string> {
    const victim = await world.claim(this.#target);
    this.#victim = victim;
    const injection = await Injection.attach(world.scope, victim, this.#what);
    return `node ${victim.id} ${await this.prove(victim, injection)}`;
  }

  async heal(world: World): Promise<void> {
    if (this.#victim !== null) world.revive(this.#victim);
    await Promise.resolve();
  }
}

/** The system call fails once, as late as `when` says: the process ends and names a file. */
class DiskError extends FatalCall {
  constructor(target: Target, calls: string, when: number) {
    super(target, `${calls}:error=EIO:when=${when}`);
  }

  protected async prove(victim: ClusterNode, injection: Injection): Promise<string> {
    const { code, signal } = await victim.process.endsWithin(proofMs);
    const last = victim.process.errorLines.at(-1) ?? "";
    assert.is(injection.count, 1, "it fails once");
    assert.ok(code !== null && code !== 0, `it ends with an error, not ${code} ${signal}`);
    assert.ok(last.includes(victim.directory), `the last line names a file: ${last}`);
    return `ended with code ${code}`;
  }
}

/** SIGKILL in the middle of the nth system call of a kind. */
class KillAtCall extends FatalCall {
  constructor(target: Target, calls: string, when: number) {
    super(target, `${calls}:signal=KILL:when=${when}`);
  }

  protected async prove(victim: ClusterNode): Promise<string> {
    const { signal } = await victim.process.endsWithin(proofMs);
    assert.is(signal, "SIGKILL");
    return "ended by SIGKILL";
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
