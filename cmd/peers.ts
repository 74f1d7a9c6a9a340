/**
 * Whom this node knows and lets in: those of the plan until a cluster has formed, those of the log
 * afterwards; and what it makes of those with whom it does not get on.
 */

import { parseAddress } from "../server/address.ts";
import { Formation, judgePeer, type Formed } from "../server/formation.ts";
import type { PeerIdentity, Refusal } from "../server/handshake.ts";
import type { Node } from "../server/node.ts";
import type { Configurations } from "../server/raft/configuration.ts";
import type { NodeId } from "../server/raft/entry.ts";
import { majority } from "../server/raft/quorum.ts";
import { meaningOf, type Refused } from "../server/refusals.ts";
import { must } from "../server/raft/assert.ts";
import { Roster, type RosterOptions } from "../server/roster.ts";
import type { SocketAddress } from "../server/socket/socket.ts";
import { formationListenMs } from "../server/transport-limits.ts";
import { PeerTransport } from "../server/transport.ts";
import { addressOf, type NodeConfig } from "./config.ts";
import { StartError } from "./exit.ts";
import type { Log } from "./log.ts";
import type { NodeDirectory } from "./node-directory.ts";
import { foreignDirectory } from "./start-errors.ts";
import { systemClock, systemRandom } from "./system.ts";

/** How long a bootstrap looks for nodes that have a cluster already. */
const bootstrapWaitMs = 2_000;
/**
 * Between a change of the members and the end of connections that it makes unwelcome: whoever is removed
 * hears of it meanwhile, answers its clients, and ends by itself.
 */
const partingMs = 500;
/** Warnings that are remembered, so that they are not repeated. */
const warnedMax = 64;

export interface PeersOptions {
  readonly config: NodeConfig;
  readonly log: Log;
  /** Null until it was opened. */
  readonly directory: () => NodeDirectory | null;
  /** Null until the cluster has formed. */
  readonly node: () => Node | null;
  /** The cluster stands, and this node is a member of it. */
  readonly formed: (formed: Formed) => void;
  /** The cluster has removed this directory; comes again with every peer that says so. */
  readonly retired: (detail: string) => void;
  /** There is no going on with this directory, or with these flags. */
  readonly failed: (error: Error) => void;
}

export class Peers {
  readonly transport: PeerTransport;
  readonly #options: PeersOptions;
  #formation: Formation | null = null;
  /** Whom the log knows; before the cluster has formed, null. */
  #roster: Roster | null = null;
  /** Changes whose time of parting is not over. */
  #partings = 0;
  /** Who has told us that we belong to another cluster. */
  readonly #foreignTo = new Set<NodeId>();
  /** What was warned of since a peer was last connected. */
  readonly #warned = new Set<string>();

  constructor(options: PeersOptions) {
    this.#options = options;
    this.transport = this.#createTransport();
  }

  /** An empty directory looks for the others of its plan, or for the cluster that takes it in. */
  seek(incarnation: string): void {
    const { config, log } = this.#options;
    this.#formation = new Formation({ self: config.nodeId, incarnation, plan: config.plan });
    const { missing } = this.#formation;
    const waitMs = config.bootstrap ? bootstrapWaitMs : formationListenMs;
    systemClock.after(waitMs, () => this.#mayForm());
    if (missing.length > 0) log.info(`waiting for ${namesOf(missing)} to form a cluster`);
  }

  /** From now on the log says who the members are. */
  joined(options: Omit<RosterOptions, "address">): void {
    const { plan, nodeId } = this.#options.config;
    const address = must(
      plan.find(({ id }) => id === nodeId),
      "a node is in its own plan",
    );
    this.#roster = new Roster({ ...options, address });
    this.#dialMembers(this.#roster);
  }

  configurationChanged(now: Configurations): void {
    const roster = this.#roster;
    if (!roster) return;
    const before = roster.addresses;
    roster.update(now);
    const after = roster.addresses;
    const isParting = [...before].some(([id, address]) => after.get(id) !== address);
    if (isParting) this.#partings++;
    systemClock.after(isParting ? partingMs : 0, () => {
      if (isParting) this.#partings--;
      if (this.#partings > 0) return;
      this.transport.readmit();
      this.#dialMembers(roster);
    });
  }

  /** Whoever has a cluster has had the time to reach us. */
  #mayForm(): void {
    const { config, formed } = this.#options;
    const listened = this.#formation?.listened();
    const found = listened ?? (config.bootstrap ? this.#formation?.bootstrap() : null);
    if (found) formed(found);
  }

  #createTransport(): PeerTransport {
    const { nodeId, plan, raftListen, secret } = this.#options.config;
    const peers = new Map(
      plan
        .filter(({ id }) => id !== nodeId)
        .map(({ id, raft }) => [id, addressOf(raft, "--cluster")] as const),
    );
    return new PeerTransport({
      self: nodeId,
      listen: raftListen,
      peers,
      secret,
      clock: systemClock,
      random: systemRandom,
      identity: () => this.#identity(),
      events: {
        admit: (peer) => this.#admit(peer),
        connected: (peer) => this.#connected(peer),
        disconnected: (peer) => this.#disconnected(peer),
        refused: (peer, refused) => this.#refused(peer, refused),
        message: (from, message, incarnation) =>
          this.#options.node()?.receive(from, message, incarnation),
        warn: (text) => this.#options.log.warn(text),
      },
    });
  }

  #identity(): PeerIdentity {
    if (this.#roster) return this.#roster.identity;
    const { nodeId, plan } = this.#options.config;
    const incarnation = this.#options.directory()?.identity.incarnation ?? "0".repeat(32);
    const members = plan.map((member) => ({ ...member, incarnation: null }));
    return { nodeId, incarnation, clusterId: null, members, revision: 0 };
  }

  #admit(peer: PeerIdentity): Refusal | null {
    if (!this.#options.directory()) return { reason: "malformed", detail: "still starting" };
    const roster = this.#roster;
    if (roster) {
      const refusal = roster.judge(peer);
      if (refusal) this.#noteNewcomer(peer, refusal);
      else if (roster.welcome(peer)) systemClock.soon(() => this.#dialMembers(roster));
      return refusal;
    }
    const own = this.#identity();
    const formation = this.#formation;
    const refusal = formation ? formation.judge(own, peer) : judgePeer(own, peer);
    if (refusal) return refusal;
    if (!formation || peer.clusterId === null) return null;
    // A member that dials us and has formed already tells what we have missed, or that we were wiped.
    const formed = formation.adopt(peer);
    if (formed) systemClock.soon(() => this.#options.formed(formed));
    else formation.metCluster(peer.nodeId);
    return null;
  }

  /** The leader decides whether, and as what, a directory that nobody knows is taken in. */
  #noteNewcomer(peer: PeerIdentity, { reason }: Refusal): void {
    const own = peer.members.find(({ id }) => id === peer.nodeId);
    if (own === undefined || (reason !== "wiped" && reason !== "unknownMember")) return;
    const { nodeId: id, incarnation } = peer;
    this.#options.node()?.knocked({ id, incarnation, raft: own.raft, http: own.http });
  }

  #dialMembers(roster: Roster): void {
    const peers = new Map<NodeId, SocketAddress>();
    for (const [id, raft] of roster.addresses) {
      const address = parseAddress(raft);
      if (address) peers.set(id, address);
      else this.#warnOnce(`node ${id} cannot be reached: ${JSON.stringify(raft)} is no address`);
    }
    this.transport.setPeers(peers);
  }

  #connected(peer: PeerIdentity): void {
    this.#foreignTo.delete(peer.nodeId);
    this.#warned.clear();
    this.#options.log.debug(`connected to node ${peer.nodeId}`);
    if (this.#options.node()) return;
    const formed = this.#formation?.connected(peer);
    if (formed) this.#options.formed(formed);
  }

  #disconnected(peer: NodeId): void {
    this.#options.log.debug(`lost the connection to node ${peer}`);
    this.#formation?.disconnected(peer);
    this.#options.node()?.unreachable(peer);
  }

  #refused(peer: NodeId, refused: Refused): void {
    const { config, failed } = this.#options;
    const { identity, refusal } = refused;
    const { reason, detail } = refusal;
    const node = this.#options.node();
    switch (meaningOf(refused, node !== null)) {
      case "foreign":
        // One stranger among our own is his affair; strangers all around, and it is ours.
        this.#foreignTo.add(peer);
        if (this.#foreignTo.size < majority(node?.configuration.members.length ?? 1)) return;
        failed(foreignDirectory(config, detail));
        return;
      case "retired":
        this.#options.retired(detail);
        return;
      case "waiting":
        if (identity) this.#formation?.refusedBy(identity);
        this.#warnOnce(
          `${config.directory} is new: node ${config.nodeId} waits until it is taken in (${detail})`,
        );
        return;
      case "differentMembers":
        this.#warnOnce(detail);
        if (!this.#formation?.disagrees(peer, systemClock.monotonicMs())) return;
        failed(new StartError(`${detail}; start all with the same --cluster`));
        return;
      case "strange":
        this.#warnOnce(`node ${peer}: ${detail} (${reason})`);
    }
  }

  /** A refusal comes again with every attempt to connect; it is told when something has changed. */
  #warnOnce(text: string): void {
    if (this.#warned.has(text)) return;
    if (this.#warned.size >= warnedMax) this.#warned.clear();
    this.#warned.add(text);
    this.#options.log.warn(text);
  }
}

/** `node 1`, or `nodes 1 and 3`. */
function namesOf(ids: readonly NodeId[]): string {
  const last = ids.at(-1);
  const before = ids.slice(0, -1).join(", ");
  return before === "" ? `node ${last}` : `nodes ${before} and ${last}`;
}
