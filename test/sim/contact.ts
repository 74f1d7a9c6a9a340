/** Whom a node has heard of since when, by its own ticks: a leader without a majority has to go. */

import type { Limits } from "../../server/limits.ts";
import type { Leadership } from "../../server/leadership.ts";
import type { NodeId } from "../../server/raft/entry.ts";
import { majority } from "../../server/raft/quorum.ts";
import { claim } from "./trace.ts";

/** It looks once in an election timeout, at whoever was heard since the last time. */
const timeoutsMax = 3;

export class Contact {
  readonly #self: NodeId;
  readonly #ticksMax: number;
  #ticks = 0;
  #isLeader = false;
  /** By node: the tick at which it was last heard, or was elected over. */
  readonly #heardAt: number[] = [];
  #lastHeardAt = 0;

  constructor(self: NodeId, { electionTimeoutMs, tickMs }: Limits) {
    this.#self = self;
    this.#ticksMax = (timeoutsMax * electionTimeoutMs) / tickMs;
  }

  /** Whatever it said. */
  heard(from: NodeId): void {
    this.#heardAt[from] = this.#ticks;
    if (from !== this.#self) this.#lastHeardAt = this.#ticks;
  }

  /** It has heard of nobody for longer than anybody believes in a leader. */
  get isCutOff(): boolean {
    return this.#ticks - this.#lastHeardAt > this.#ticksMax;
  }

  /** After every tick, and after several that passed at once. */
  ticked({ role }: Leadership, voters: readonly NodeId[], count: number): void {
    this.#ticks += count;
    if (role !== "leader") {
      this.#isLeader = false;
      return;
    }
    if (!this.#isLeader) for (const id of voters) this.heard(id);
    this.#isLeader = true;
    this.heard(this.#self);
    const oldest = this.#ticks - this.#ticksMax;
    const inTouch = voters.filter((id) => (this.#heardAt[id] ?? 0) >= oldest);
    claim(
      inTouch.length >= majority(voters.length),
      () => `node ${this.#self} still leads, and has long heard of ${inTouch.join(",")} only`,
    );
  }
}
