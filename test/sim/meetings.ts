/**
 * How the simulated nodes meet: by what the real roster, formation and judge say of each other. Messages
 * go only between two that let each other in; an empty directory knocks until it is taken in; whoever
 * hears that its directory was removed leaves.
 */

import { judgePeer } from "../../server/formation.ts";
import type { PeerIdentity } from "../../server/handshake.ts";
import { must } from "../../server/raft/assert.ts";
import type { SimNetwork } from "./network.ts";
import type { SimProcess } from "./process.ts";
import type { SimWorld } from "./world.ts";

export interface MeetingOptions extends SimWorld {
  readonly network: SimNetwork;
  /** Between two attempts to connect. */
  readonly everyMs: number;
}

export class Meetings {
  readonly #world: MeetingOptions;
  /** Grows whenever somebody says something else of himself, or lets in others. */
  #version = 0;
  /** By pair, what was found at which version. */
  readonly #verdicts = new Map<number, { version: number; isWelcome: boolean }>();

  constructor(world: MeetingOptions) {
    this.#world = world;
  }

  start(): void {
    const { time, everyMs, processes } = this.#world;
    time.at(time.nowMs + everyMs, () => {
      for (const process of processes) {
        if (process.newcomer) this.#knock(process);
        else if (this.#version > processes.length) this.#hearOfRefusal(process);
      }
      this.start();
    });
  }

  changed(): void {
    this.#version++;
  }

  /** Both run, and let each other in. */
  areConnected(a: SimProcess, b: SimProcess): boolean {
    if (!a.life || !b.life) return false;
    const pair = a.id < b.id ? a.id * 16 + b.id : b.id * 16 + a.id;
    const known = this.#verdicts.get(pair);
    if (known?.version === this.#version) return known.isWelcome;
    const isWelcome = meet(a, b) && meet(b, a) && (dials(a, b) || dials(b, a));
    this.#verdicts.set(pair, { version: this.#version, isWelcome });
    return isWelcome;
  }

  #canReach(a: SimProcess, b: SimProcess): boolean {
    const { network } = this.#world;
    if (network.link(a.id, b.id).isCut || network.link(b.id, a.id).isCut) return false;
    return network.isUp(a.id, b.id) && network.isUp(b.id, a.id);
  }

  /** Who has a cluster is refused too: for good, or until that cluster knows its directory again. */
  #hearOfRefusal(process: SimProcess): void {
    for (const other of this.#world.processes) {
      const identity = process.life?.roster.identity;
      const { life } = other;
      if (!identity || !life || other === process || !this.#canReach(process, other)) continue;
      const refusal = life.roster.judge(identity);
      if (refusal?.reason === "retired") {
        process.leave();
        return;
      }
      const own = identity.members.find(({ id }) => id === process.id);
      if (own === undefined || !dials(process, other)) continue;
      if (refusal?.reason !== "wiped" && refusal?.reason !== "unknownMember") continue;
      const { nodeId: id, incarnation } = identity;
      const { raft, http } = own;
      other.enter(life, () => life.node.knocked({ id, incarnation, raft, http }));
    }
  }

  #knock(process: SimProcess): void {
    for (const other of this.#world.processes) {
      const { newcomer } = process;
      if (!newcomer) return;
      if (other === process) continue;
      const isThere = this.#canReach(process, other);
      if (isThere && other.life) this.#knockAt(process, other);
      else if (isThere && other.newcomer) this.#meetNewcomer(process, other.newcomer.identity);
      else newcomer.formation.disconnected(other.id);
    }
  }

  #knockAt(process: SimProcess, member: SimProcess): void {
    const { formation, identity } = must(process.newcomer, "it waits");
    const life = must(member.life, "the member runs");
    formation.disconnected(member.id);
    const isPlanned = identity.members.some(({ id }) => id === member.id);
    if (!isPlanned && !life.roster.addresses.has(process.id)) return;
    const refusal = life.roster.judge(identity);
    if (refusal?.reason === "retired") {
      process.leave();
    } else if (refusal) {
      const { nodeId: id, incarnation } = identity;
      const { raft, http } = must(
        identity.members.find((planned) => planned.id === id),
        "a node is in its own plan",
      );
      this.#world.coverage.add(`an empty directory is told: ${refusal.reason}`);
      member.enter(life, () => life.node.knocked({ id, incarnation, raft, http }));
    } else {
      this.#meetNewcomer(process, life.roster.identity);
    }
  }

  #meetNewcomer(process: SimProcess, peer: PeerIdentity): void {
    const { formation, identity } = must(process.newcomer, "it waits");
    if (judgePeer(identity, peer) !== null) return;
    const formed = formation.connected(peer);
    if (!formed) return;
    this.#world.coverage.add("an empty directory is taken in");
    process.form(formed);
  }
}

/** Whether `host` lets the other one in, whose address it then remembers. */
function meet(host: SimProcess, guest: SimProcess): boolean {
  const roster = must(host.life, "it runs").roster;
  const { identity } = must(guest.life, "it runs").roster;
  if (roster.judge(identity) !== null) return false;
  roster.welcome(identity);
  return true;
}

const dials = (a: SimProcess, b: SimProcess): boolean =>
  a.life?.roster.addresses.has(b.id) === true;
