/** Links that are cut both ways or one way, that are slow, and connections that are reset. */

import type { ClusterNode } from "../e2e/cluster.ts";
import { until } from "../e2e/wait.ts";
import type { Random } from "../raft/random.ts";
import { type Fault, type FaultKind, type Target, targets } from "./fault.ts";
import type { Link } from "./pipe.ts";
import type { World } from "./world.ts";

/** Nodes send each other a heartbeat or a ping once a second at least. */
const proofMs = 6_000;

type Ways = "both ways" | "what it sends" | "what it is sent" | "one peer";

function chosenLinks(world: World, node: ClusterNode, ways: Ways): Link[] {
  const { network } = world;
  switch (ways) {
    case "both ways":
      return network.waysOf(node.id);
    case "what it sends":
      return network.waysFrom(node.id);
    case "what it is sent":
      return network.waysTo(node.id);
    case "one peer": {
      const peer = world.peerOf(node);
      return [network.link(node.id, peer.id), network.link(peer.id, node.id)];
    }
    default:
      return ways satisfies never;
  }
}

class Cut implements Fault {
  readonly name: string;
  readonly #target: Target;
  readonly #ways: Ways;
  #victim: ClusterNode | null = null;
  #links: readonly Link[] = [];

  constructor(target: Target, ways: Ways) {
    this.#target = target;
    this.#ways = ways;
    this.name = `cut ${target}: ${ways}`;
  }

  async start(world: World): Promise<string> {
    this.#victim = await world.claim(this.#target);
    this.#links = chosenLinks(world, this.#victim, this.#ways);
    const count = (): number => this.#links.reduce((sum, { held }) => sum + held, 0);
    const before = count();
    for (const link of this.#links) link.set({ isCut: true });
    await until("bytes held back by a cut link", proofMs, () => count() > before);
    return `node ${this.#victim.id}, ${this.#links.length} links: ${count() - before} bytes held`;
  }

  async heal(world: World): Promise<void> {
    for (const link of this.#links) link.set({ isCut: false });
    if (this.#victim !== null) world.release(this.#victim);
    await Promise.resolve();
  }
}

class Slow implements Fault {
  readonly name: string;
  readonly #delayMs: number;
  #links: readonly Link[] = [];

  constructor(delayMs: number) {
    this.#delayMs = delayMs;
    this.name = `every link ${delayMs} ms slow`;
  }

  async start(world: World): Promise<string> {
    this.#links = world.network.links;
    const count = (): number => this.#links.reduce((sum, { delayed }) => sum + delayed, 0);
    const before = count();
    for (const link of this.#links) link.set({ delayMs: this.#delayMs });
    await until("bytes delayed", proofMs, () => count() > before);
    return `${count() - before} bytes delayed`;
  }

  async heal(): Promise<void> {
    for (const link of this.#links) link.set({ delayMs: 0 });
    await Promise.resolve();
  }
}

class Reset implements Fault {
  readonly name: string;
  readonly #times: number;

  constructor(times: number) {
    this.#times = times;
    this.name = `all connections reset ${times} times`;
  }

  async start({ network }: World): Promise<string> {
    let count = 0;
    for (let time = 0; time < this.#times; time++) {
      const before = count;
      await until("a connection to reset", proofMs, () => {
        count += network.resetWhere((from) => from !== 0);
        return count > before;
      });
    }
    return `${count} connections reset`;
  }

  async heal(): Promise<void> {
    await Promise.resolve();
  }
}

export const cutting: FaultKind = {
  name: "partition",
  lasts: true,
  whyNot: () => null,
  draw: (random: Random) => new Cut(random.pick(targets), random.pick(["both ways", "one peer"])),
};

export const cuttingOneWay: FaultKind = {
  name: "one-way partition",
  lasts: true,
  whyNot: () => null,
  draw: (random: Random) =>
    new Cut(random.pick(targets), random.pick(["what it sends", "what it is sent"])),
};

export const slowing: FaultKind = {
  name: "slow links",
  whyNot: () => null,
  draw: (random: Random) => new Slow(20 + random.below(300)),
};

export const resetting: FaultKind = {
  name: "resets",
  whyNot: () => null,
  draw: (random: Random) => new Reset(1 + random.below(4)),
};
