/**
 * Who may talk to this node, and where they are. Once a cluster has formed, its members are those of
 * the log. A node that was away knows old ones, so it also lets in whoever knows a newer configuration
 * that has them both: that one will bring it up to date. What such a guest may count for is the core's
 * to say, and it counts for nothing.
 */

import { judgePeer } from "./formation.ts";
import type { PeerIdentity, Refusal } from "./handshake.ts";
import type { PeerMember } from "./identity.ts";
import { memberOf, membersMax, type Configurations, type Member } from "./raft/configuration.ts";
import type { NodeId } from "./raft/entry.ts";

/** Peers that are let in although our log does not know them; of more the oldest goes. */
const guestsMax = 16;

export interface RosterOptions {
  readonly self: NodeId;
  readonly incarnation: string;
  readonly clusterId: string;
  readonly configurations: Configurations;
  /** Where this node is, as it was started. */
  readonly address: Pick<Member, "raft" | "http">;
}

export class Roster {
  readonly #options: RosterOptions;
  #configurations: Configurations;
  readonly #guests = new Map<NodeId, PeerMember>();

  constructor(options: RosterOptions) {
    this.#options = options;
    this.#configurations = options.configurations;
  }

  update(configurations: Configurations): void {
    this.#configurations = configurations;
    for (const [id, { incarnation }] of this.#guests) {
      if (this.#member(id)?.incarnation === incarnation) this.#guests.delete(id);
    }
  }

  /**
   * What this node says of itself when it meets another one. A log may end before the entry that brings its
   * own node, and that entry may never have been committed: where the node is, it says all the same, so
   * that it can be taken in; as which directory, a configuration alone can say.
   */
  get identity(): PeerIdentity {
    const { self, incarnation, clusterId, address } = this.#options;
    const { members: found, revision } = this.#configurations.current;
    const members = found.map(peerMember);
    if (memberOf(this.#configurations.current, self) === undefined && members.length < membersMax) {
      members.push({ id: self, raft: address.raft, http: address.http, incarnation: null });
    }
    return { nodeId: self, incarnation, clusterId, members, revision };
  }

  judge(peer: PeerIdentity): Refusal | null {
    const { current, committed } = this.#configurations;
    // A removal that is not committed may still be taken back.
    const leaving = committed.members.filter(({ id }) => memberOf(current, id) === undefined);
    const members = [...this.identity.members, ...leaving.map(peerMember)];
    return judgePeer({ ...this.identity, members, retired: committed.retired }, peer);
  }

  /** A peer was let in. Returns whether it is a guest who was not there before. */
  welcome(peer: PeerIdentity): boolean {
    const { nodeId: id } = peer;
    const own = peer.members.find((member) => member.id === id);
    if (own === undefined || this.#member(id)?.incarnation === peer.incarnation) return false;
    if (this.#guests.get(id)?.raft === own.raft) return false;
    this.#guests.delete(id);
    this.#guests.set(id, own);
    if (this.#guests.size > guestsMax) {
      for (const oldest of this.#guests.keys()) {
        this.#guests.delete(oldest);
        break;
      }
    }
    return true;
  }

  /** The peers' own addresses by id, this node not among them. */
  get addresses(): ReadonlyMap<NodeId, string> {
    const { current, committed } = this.#configurations;
    const found = new Map<NodeId, string>();
    const all = [...committed.members, ...current.members, ...this.#guests.values()];
    for (const { id, raft } of all) if (id !== this.#options.self) found.set(id, raft);
    return found;
  }

  #member(id: NodeId): Member | undefined {
    const { current, committed } = this.#configurations;
    return memberOf(current, id) ?? memberOf(committed, id);
  }
}

const peerMember = ({ id, raft, http, incarnation }: Member): PeerMember => ({
  id,
  raft,
  http,
  incarnation: incarnation === "" ? null : incarnation,
});
