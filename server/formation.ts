/**
 * The first start: when may empty nodes become a cluster? Only when every node of the list is there
 * and empty at the same time. Two empty nodes that meet while the third is away cannot know that it
 * does not hold acknowledged data. And a cluster may have grown since: the nodes of the list may be those
 * that were wiped, and the members that live are not on it. Those dial a wiped one again and again, so
 * each node first listens for as long as that may take. Where a person knows, he says so to one of them: it then forms the
 * cluster with a majority, and the others follow it. Told to two nodes, it would make two clusters of
 * which at most one finds a majority, because every directory joins one cluster only.
 */

import { createHash } from "node:crypto";
import type { PeerIdentity, Refusal } from "./handshake.ts";
import type { PeerMember } from "./identity.ts";
import { assert } from "./raft/assert.ts";
import { configuration, type Configuration, type Member } from "./raft/configuration.ts";
import type { NodeId } from "./raft/entry.ts";
import { majority } from "./raft/quorum.ts";

/** A member as the command line names it. */
export type PlannedMember = Pick<Member, "id" | "raft" | "http">;

/** What every member of a cluster stores once, before anything else. */
export interface Formed {
  /** 32 hex digits. */
  readonly clusterId: string;
  readonly members: readonly Member[];
}

/** Whoever was away when the cluster formed is to vote like the others once its machine has come. */
export const formedConfiguration = ({ members }: Pick<Formed, "members">): Configuration =>
  configuration(members, {
    successors: members
      .filter(({ incarnation }) => incarnation === "")
      .map((member) => ({ ...member, role: "voter" })),
  });

/**
 * All nodes derive the id from the same incarnations, so nobody has to hand it out: an incarnation is
 * random, and a directory that was wiped has another one, so no two clusters share an id.
 */
export function clusterIdOf(members: readonly Pick<Member, "id" | "incarnation">[]): string {
  const sorted = [...members].sort((a, b) => a.id - b.id);
  const text = sorted.map(({ id, incarnation }) => `${id}=${incarnation}\n`).join("");
  return createHash("sha256").update(`kv cluster\n${text}`).digest("hex").slice(0, 32);
}

/** Who judges: what it would say of itself, and whom it knows never to let in again. */
export interface Judge extends PeerIdentity {
  readonly retired?: readonly string[];
}

/** Whether a peer may talk to us at all, given who we are; null: it may. */
export function judgePeer(own: Judge, peer: PeerIdentity): Refusal | null {
  if (peer.nodeId === own.nodeId) {
    return { reason: "self", detail: `both ends call themselves node ${own.nodeId}` };
  }
  if (own.clusterId !== null) return judgeByCluster(own, peer);
  // A cluster decides whom it takes in. Who has nothing yet has nothing to lose by listening.
  if (peer.clusterId !== null) return null;
  return judgeFellowNewcomer(own, peer);
}

/** `own` has a cluster; a peer is let in as the directory by which one of the two knows it. */
function judgeByCluster(own: Judge, peer: PeerIdentity): Refusal | null {
  const { nodeId: id, incarnation } = peer;
  if (peer.clusterId !== null && own.clusterId !== peer.clusterId) {
    const detail = `node ${id} belongs to cluster ${peer.clusterId}, node ${own.nodeId} to ${own.clusterId}`;
    return { reason: "wrongCluster", detail };
  }
  if (own.retired?.includes(incarnation)) {
    const detail =
      `the directory of node ${id} was removed from cluster ${own.clusterId} and does not come back ` +
      `(seen on node ${own.nodeId})`;
    return { reason: "retired", detail };
  }
  if (own.members.some((member) => member.id === id && member.incarnation === incarnation)) {
    return null;
  }
  if (knowsBetter(own, peer)) return null;
  if (!own.members.some((member) => member.id === id)) {
    const detail = `node ${id} is not a member of cluster ${own.clusterId}`;
    return { reason: "unknownMember", detail };
  }
  const expected = own.members.find((member) => member.id === id);
  if (expected?.incarnation === null) return { reason: "wiped", detail: awaited(expected, peer) };
  const detail =
    `node ${id} has an empty or different data directory, but cluster ${own.clusterId} ` +
    `(seen on node ${own.nodeId}) knows it with another one: it may have forgotten what it promised`;
  return { reason: "wiped", detail };
}

/** A machine that was added and has not come yet: it is known by where it says it is. */
function awaited({ id, raft }: PeerMember, { members }: PeerIdentity): string {
  const said = members.find((member) => member.id === id)?.raft;
  if (said === undefined || said === raft) return `node ${id} is new, and is about to be taken in`;
  return (
    `node ${id} is expected at ${raft} and calls itself ${said}: ` +
    `start it with the address that it was added with`
  );
}

/** Whether the peer goes by a newer configuration than ours, in which both of us are members. */
function knowsBetter(own: Judge, peer: PeerIdentity): boolean {
  if (peer.clusterId === null || peer.revision <= own.revision) return false;
  const has = ({ nodeId: id, incarnation }: PeerIdentity): boolean =>
    peer.members.some((member) => member.id === id && member.incarnation === incarnation);
  return has(own) && has(peer);
}

function judgeFellowNewcomer(own: PeerIdentity, peer: PeerIdentity): Refusal | null {
  const text = ({ members }: PeerIdentity): string =>
    members
      .map(({ id, raft, http }) => `${id}=${raft}/${http}`)
      .sort()
      .join(",");
  if (text(own) === text(peer)) return null;
  const detail =
    `the two nodes were started with different member lists: ` +
    `node ${own.nodeId} with ${text(own)}, node ${peer.nodeId} with ${text(peer)}`;
  return { reason: "differentMembers", detail };
}

/** Long enough to hear of a cluster in which the lists have changed, or that one is to join. */
const disagreementMs = 2_000;

/** Watches who is there, and says when the cluster is formed. */
export class Formation {
  readonly #self: NodeId;
  readonly #incarnation: string;
  readonly #plan: readonly PlannedMember[];
  /** Empty nodes of our plan that are connected right now. */
  readonly #present = new Map<NodeId, string>();
  /** Nodes that have a cluster already, in which this directory is not. */
  readonly #formed = new Set<NodeId>();
  /** Empty nodes that say that they have met one of those. */
  readonly #waiting = new Set<NodeId>();
  /** Empty nodes that were started with another list, and since when that is known. */
  readonly #otherwise = new Map<NodeId, number>();
  #hasListened = false;
  #isMajorityEnough = false;

  constructor(options: { self: NodeId; incarnation: string; plan: readonly PlannedMember[] }) {
    this.#self = options.self;
    this.#incarnation = options.incarnation;
    this.#plan = options.plan;
    assert(
      this.#plan.some(({ id }) => id === this.#self),
      "a node is in its own plan",
    );
  }

  /** A connection to an admitted peer stands. Returns what the cluster is, where that is now known. */
  connected(peer: PeerIdentity): Formed | null {
    const adopted = this.adopt(peer);
    if (peer.clusterId !== null) this.metCluster(peer.nodeId);
    if (adopted || peer.clusterId !== null) return adopted;
    this.#otherwise.delete(peer.nodeId);
    this.#formed.delete(peer.nodeId);
    this.#waiting.delete(peer.nodeId);
    this.#present.set(peer.nodeId, peer.incarnation);
    return this.form();
  }

  /**
   * Whether a peer may talk to us while we have no cluster. Once a member of one was met, no empty node
   * may: it is to hear of that cluster as well, and forms none with us.
   */
  judge(own: PeerIdentity, peer: PeerIdentity): Refusal | null {
    const [met] = this.#formed;
    if (met === undefined || peer.clusterId !== null) return judgePeer(own, peer);
    const detail =
      `node ${own.nodeId} was reached by node ${met}, which has a cluster: ` +
      `while that one lives, empty nodes wait for it and form no other`;
    return { reason: "unknownMember", detail };
  }

  /** Who has a cluster has had the time to reach us. Returns what `form` does. */
  listened(): Formed | null {
    this.#hasListened = true;
    return this.form();
  }

  /** This node has a cluster, whether or not it lets us in: a word of a person does not undo that. */
  metCluster(peer: NodeId): void {
    this.#formed.add(peer);
  }

  /**
   * An empty node was started with another list; told again with every attempt to connect. Returns
   * whether that has to end this node: not while there is a cluster that either may wait for, and not
   * before one could have been heard of.
   */
  disagrees(peer: NodeId, nowMs: number): boolean {
    const sinceMs = this.#otherwise.get(peer) ?? nowMs;
    this.#otherwise.set(peer, sinceMs);
    return nowMs - sinceMs >= disagreementMs && this.#formed.size + this.#waiting.size === 0;
  }

  /** A peer holds against us that there is a cluster without us: its own, or one that it has met. */
  refusedBy({ nodeId: id, clusterId }: Pick<PeerIdentity, "nodeId" | "clusterId">): void {
    if (clusterId === null) this.#waiting.add(id);
    else this.metCluster(id);
  }

  disconnected(peer: NodeId): void {
    this.#present.delete(peer);
  }

  /**
   * A member that has formed already vouches for the cluster that counts us in. Null where it does not
   * yet. Whoever is not of the members that the cluster was formed with, whose incarnations its id is
   * made of, has no vote before the log says so: the member that vouches may be a newcomer itself, which
   * has heard as little of the log, and two of them are no majority.
   */
  adopt(peer: PeerIdentity): Formed | null {
    if (peer.clusterId === null) return null;
    const own = peer.members.find(({ id }) => id === this.#self);
    if (own?.incarnation !== this.#incarnation) return null;
    const listed = peer.members.map((member) => {
      return { ...member, incarnation: member.incarnation ?? "" };
    });
    const isFounder = clusterIdOf(listed) === peer.clusterId;
    const members = listed.map((member): Member => {
      const isLate = member.incarnation === "" || (member.id === this.#self && !isFounder);
      return { ...member, role: isLate ? "learner" : "voter" };
    });
    return { clusterId: peer.clusterId, members };
  }

  /**
   * A person says that whoever of the plan is away holds nothing: a majority that is there and empty is
   * enough from now on, unless somebody who has a cluster was met. Returns what `form` does.
   */
  bootstrap(): Formed | null {
    this.#isMajorityEnough = true;
    return this.form();
  }

  /**
   * All are there and empty, and nobody is known to have a cluster: then they are one. (A plan of one node
   * needs nobody else.) After `bootstrap`, who is away is a learner whose machine has not come yet.
   */
  form(): Formed | null {
    if (!this.#hasListened || this.#formed.size + this.#waiting.size > 0) return null;
    const isEnough = this.#isMajorityEnough
      ? this.#present.size + 1 >= majority(this.#plan.length)
      : this.missing.length === 0;
    if (!isEnough) return null;
    const members = this.#plan.map(({ id, raft, http }): Member => {
      const incarnation = id === this.#self ? this.#incarnation : this.#present.get(id);
      if (incarnation === undefined) return { id, role: "learner", raft, http, incarnation: "" };
      return { id, role: "voter", raft, http, incarnation };
    });
    return { clusterId: clusterIdOf(members), members };
  }

  /** Whom formation still waits for. */
  get missing(): NodeId[] {
    return this.#plan
      .map(({ id }) => id)
      .filter((id) => id !== this.#self && !this.#present.has(id));
  }
}
