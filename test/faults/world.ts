/** A cluster between whose nodes, and under whose feet, there is something that can fail. */

import { must } from "../../server/raft/assert.ts";
import { Cluster, type ClusterNode, formationMs } from "../e2e/cluster.ts";
import type { Scope } from "../e2e/scope.ts";
import { until } from "../e2e/wait.ts";
import { fakeClocks } from "./clock-faults.ts";
import type { Target } from "./fault.ts";
import { Network } from "./network.ts";
import { Volume, whyNoVolumes } from "./volume.ts";

/** How long a fault may wait for somebody whom it can meet. */
const targetMs = 15_000;

export interface WorldOptions {
  readonly fakesClocks?: boolean;
  readonly hasVolumes?: boolean;
}

export class World {
  readonly scope: Scope;
  readonly cluster: Cluster;
  readonly network: Network;
  readonly #volumes: readonly Volume[];
  /** Nodes that a fault disables at the moment; the next one meets somebody else. */
  readonly #claimed = new Set<ClusterNode>();

  private constructor(
    scope: Scope,
    cluster: Cluster,
    parts: { network: Network; volumes: readonly Volume[] },
  ) {
    this.scope = scope;
    this.cluster = cluster;
    this.network = parts.network;
    this.#volumes = parts.volumes;
  }

  /** With clocks that can jump and disks that can fill up, where the machine has what they need. */
  static async start(scope: Scope, options: WorldOptions = {}): Promise<World> {
    const { fakesClocks = true, hasVolumes = true } = options;
    const cluster = await Cluster.prepare(scope, { behindProxies: true });
    const network = await Network.start(scope, cluster);
    if (fakesClocks) fakeClocks(scope, cluster);
    const volumes: Volume[] = [];
    for (const node of hasVolumes && whyNoVolumes() === null ? cluster.nodes : []) {
      const volume = new Volume(scope);
      volume.hold(node);
      volumes.push(volume);
    }
    cluster.startAll();
    await cluster.whole();
    return new World(scope, cluster, { network, volumes });
  }

  volumeOf(node: ClusterNode): Volume {
    return must(this.#volumes[node.id - 1], "a world with volumes");
  }

  /** A node that runs, is ready and is nobody else's victim; it is the caller's until `release`. */
  async claim(target: Target): Promise<ClusterNode> {
    const node = await until(`a ${target} to meet`, targetMs, async () => {
      const free = this.cluster.running.filter((each) => !this.#claimed.has(each));
      const known = await Promise.all(
        free.map(async (each) => ({ each, status: await each.status().catch(() => null) })),
      );
      const fit = known.filter(({ status }) => status !== null && status.leaderId !== null);
      const wanted = fit.find(
        ({ status }) => (status?.role === "leader") === (target === "leader"),
      );
      // The leader may be somebody else's victim, and then there is none to be had.
      return (wanted ?? (this.#claimed.size > 0 ? fit[0] : undefined))?.each;
    });
    this.#claimed.add(node);
    return node;
  }

  release(node: ClusterNode): void {
    this.#claimed.delete(node);
  }

  /** Releases it, and starts it if nobody else has. */
  revive(node: ClusterNode): void {
    this.release(node);
    if (!node.isRunning) node.start();
  }

  /** Another node with which it has something to talk about. */
  peerOf(node: ClusterNode): ClusterNode {
    const peers = this.cluster.running.filter((each) => each !== node);
    return must(peers.find((peer) => !this.#claimed.has(peer)) ?? peers[0], "somebody else runs");
  }

  /** All nodes run and follow one leader. */
  async whole(within = formationMs): Promise<ClusterNode> {
    this.cluster.startAll();
    return this.cluster.whole(within);
  }
}
