/**
 * The first start: when may empty nodes become a cluster? Only when every node of the list is there
 * and empty at the same time. Two empty nodes that meet while the third is away cannot know that it
 * does not hold acknowledged data.
 */

import { createHash } from "node:crypto";
import type { PeerIdentity, Refusal } from "./handshake.ts";
import { assert } from "./raft/assert.ts";
import type { Member } from "./raft/configuration.ts";
import type { NodeId } from "./raft/entry.ts";

/** A member as the command line names it. */
export type PlannedMember = Pick<Member, "id" | "raft" | "http">;

/** What every member of a cluster stores once, before anything else. */
export interface Formed {
  /** 32 hex digits. */
  readonly clusterId: string;
  readonly members: readonly Member[];
}

/**
 * All nodes derive the id from the same incarnations, so nobody has to hand it out: an incarnation is
 * random, and a directory that was wiped has another one, so no two clusters share an id.
 */
export function clusterIdOf(members: readonly Pick<Member, "id" | "incarnation">[]): string {
  const sorted = [...members].sort((a, b) => a.id - b.id);
  const text = sorted.map(({ id, incarnation }) => `${id}=${incarnation}\n`).join("");
  return createHash("sha256").update(`kv cluster\n${text}`).digest("hex").slice(0, 32);
}

/** Whether a peer may talk to us at all, given who we are; null: it may. */
export function judgePeer(own: PeerIdentity, peer: PeerIdentity): Refusal | null {
  if (peer.nodeId === own.nodeId) {
    return { reason: "self", detail: `both ends call themselves node ${own.nodeId}` };
  }
  if (own.clusterId !== null && peer.clusterId !== null) return judgeFormedPeer(own, peer);
  if (own.clusterId !== null) return judgeNewcomer(own, peer);
  if (peer.clusterId !== null) return judgeNewcomer(peer, own);
  return judgeFellowNewcomer(own, peer);
}

function judgeFormedPeer(own: PeerIdentity, peer: PeerIdentity): Refusal | null {
  if (own.clusterId !== peer.clusterId) {
    const detail = `node ${peer.nodeId} belongs to cluster ${peer.clusterId}, node ${own.nodeId} to ${own.clusterId}`;
    return { reason: "wrongCluster", detail };
  }
  return judgeNewcomer(own, peer);
}

/** `formed` has a cluster; `other` is let in only as the very directory that was there at its formation. */
function judgeNewcomer(formed: PeerIdentity, other: PeerIdentity): Refusal | null {
  const known = formed.members.find((member) => member.id === other.nodeId);
  if (!known) {
    const detail = `node ${other.nodeId} is not a member of cluster ${formed.clusterId}`;
    return { reason: "unknownMember", detail };
  }
  if (known.incarnation !== other.incarnation) {
    const detail =
      `node ${other.nodeId} has an empty or different data directory, but cluster ${formed.clusterId} ` +
      `(seen on node ${formed.nodeId}) knows it with another one: it may have forgotten what it promised`;
    return { reason: "wiped", detail };
  }
  return null;
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

/** Watches who is there, and says when the cluster is formed. */
export class Formation {
  readonly #self: NodeId;
  readonly #incarnation: string;
  readonly #plan: readonly PlannedMember[];
  /** Empty nodes of our plan that are connected right now. */
  readonly #present = new Map<NodeId, string>();

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
    if (adopted) return adopted;
    this.#present.set(peer.nodeId, peer.incarnation);
    return this.form();
  }

  disconnected(peer: NodeId): void {
    this.#present.delete(peer);
  }

  /** A member that has formed already vouches for the cluster that counts us in. */
  adopt(peer: PeerIdentity): Formed | null {
    if (peer.clusterId === null) return null;
    const members = peer.members.map(({ id, raft, http, incarnation }) => {
      assert(incarnation !== null, "a formed cluster knows its members' directories");
      return { id, role: "voter" as const, raft, http, incarnation };
    });
    const own = members.find(({ id }) => id === this.#self);
    assert(own?.incarnation === this.#incarnation, "a cluster is joined only by its members");
    return { clusterId: peer.clusterId, members };
  }

  /** All are there and empty: the cluster. (A plan of one node needs nobody else.) */
  form(): Formed | null {
    const members: Member[] = [];
    for (const { id, raft, http } of this.#plan) {
      const incarnation = id === this.#self ? this.#incarnation : this.#present.get(id);
      if (incarnation === undefined) return null;
      members.push({ id, role: "voter", raft, http, incarnation });
    }
    return { clusterId: clusterIdOf(members), members };
  }

  /** Whom formation still waits for. */
  get missing(): NodeId[] {
    return this.#plan
      .map(({ id }) => id)
      .filter((id) => id !== this.#self && !this.#present.has(id));
  }
}
