/**
 * Writes on their way to the log: into the own one, or to the node that leads; and those that other
 * nodes have passed on to this one.
 */

import type { DiskWatch } from "./disk-watch.ts";
import type { Limits } from "./limits.ts";
import type { LogTime } from "./log-time.ts";
import type { ForwardRefused } from "./peer-message.ts";
import type { PendingWrite, PendingWrites } from "./pending-writes.ts";
import type { Clock, Network } from "./ports.ts";
import { must } from "./raft/assert.ts";
import type { NodeId } from "./raft/entry.ts";
import type { Raft } from "./raft/raft.ts";
import { SeenForwards } from "./seen-forwards.ts";
import { commandBytes, readCommandHeader } from "./state-machine/command-header.ts";

export interface WriteRouterOptions {
  readonly self: NodeId;
  /** This life of this node's directory. */
  readonly incarnation: string;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly network: Network;
  readonly raft: Raft;
  readonly writes: PendingWrites;
  readonly disk: DiskWatch;
  readonly logTime: LogTime;
}

export class WriteRouter {
  readonly #options: WriteRouterOptions;
  readonly #seenForwards = new SeenForwards();
  /** Waiting writes were refused: they are tried again with the next tick. */
  #isHeldBack = false;

  constructor(options: WriteRouterOptions) {
    this.#options = options;
  }

  tick(): void {
    this.#isHeldBack = false;
  }

  /** The leader did not take these. */
  refusedBy(message: ForwardRefused): void {
    this.#options.writes.refused(message);
    // Not at once again: an overloaded leader would only have more to refuse.
    if (message.reason !== "noSpace") this.#isHeldBack = true;
  }

  /** Sends what waits to the leader, or into the own log. */
  route(): void {
    if (!this.#options.writes.hasWaiting || this.#isHeldBack) return;
    const { leaderId, configurations } = this.#options.raft;
    // Nobody would take them, nor tell this node what became of them.
    if (configurations.newest.committed.retired.includes(this.#options.incarnation)) {
      this.#options.writes.giveUpWaiting();
      return;
    }
    if (leaderId === null) return;
    if (leaderId === this.#options.self) this.#proposeWaiting();
    else if (this.#options.network.isConnected(leaderId)) this.#forwardWaiting(leaderId);
  }

  #proposeWaiting(): void {
    const { role } = this.#options.raft;
    if (role.kind !== "leader" || role.transfer !== null) return;
    const timeMs = this.#options.logTime.nowMs(role.logTimeMs);
    const refusal = this.#options.disk.refusal(
      this.#options.raft.voters,
      this.#options.clock.monotonicMs(),
    );
    if (refusal) this.#options.writes.refuseWaiting(refusal);
    const { writes, frames } = this.#options.writes.takeWaiting();
    if (frames.length === 0) return;
    const proposed = this.#options.raft.propose(frames.map((data) => ({ data, timeMs })));
    if (proposed.ok) {
      this.#options.writes.proposed(writes, proposed.firstIndex, proposed.term);
      return;
    }
    for (const write of writes) this.#options.writes.returned(write);
    this.#isHeldBack = true;
  }

  #forwardWaiting(leaderId: NodeId): void {
    const { writes, frames } = this.#options.writes.takeWaiting();
    for (let start = 0; start < frames.length;) {
      let end = start;
      let bytes = 0;
      while (
        end < frames.length &&
        (end === start || bytes < this.#options.limits.appendBytesMax)
      ) {
        bytes += must(frames[end], "end is in range").byteLength;
        end++;
      }
      this.#forward(leaderId, writes.slice(start, end), frames.slice(start, end));
      start = end;
    }
    this.#options.network.flush();
  }

  #forward(leaderId: NodeId, writes: readonly PendingWrite[], commands: Uint8Array[]): void {
    this.#options.writes.forwarded(writes);
    if (this.#options.network.send(leaderId, { type: "forward", commands })) return;
    for (const write of writes) this.#options.writes.returned(write);
  }

  /** Another node has passed these on. */
  take(from: NodeId, commands: readonly Uint8Array[]): void {
    const all = commands.filter((command) => this.#seenForwards.isFresh(from, command));
    const refusal = this.#options.disk.refusal(
      this.#options.raft.voters,
      this.#options.clock.monotonicMs(),
    );
    const isRefused = (frame: Uint8Array): boolean => refusal?.(commandBytes(frame)) ?? false;
    const fresh = refusal ? all.filter((frame) => !isRefused(frame)) : all;
    if (fresh.length < all.length) this.refuse(from, "noSpace", all.filter(isRefused));
    if (fresh.length === 0) return;
    const { role } = this.#options.raft;
    const timeMs = role.kind === "leader" ? this.#options.logTime.nowMs(role.logTimeMs) : 0;
    const proposed = this.#options.raft.propose(fresh.map((data) => ({ data, timeMs })));
    if (proposed.ok) return;
    this.refuse(from, proposed.error === "overloaded" ? "overloaded" : "notLeader", fresh);
  }

  refuse(to: NodeId, reason: ForwardRefused["reason"], frames: readonly Uint8Array[]): void {
    const bySession = new Map<number, number[]>();
    for (const frame of frames) {
      const header = readCommandHeader(frame);
      if (header === null) continue;
      const sequences = bySession.get(header.session);
      if (sequences) sequences.push(header.sequence);
      else bySession.set(header.session, [header.sequence]);
    }
    for (const [session, sequences] of bySession) {
      this.#options.network.send(to, { type: "forwardRefused", reason, session, sequences });
    }
    this.#options.network.flush();
  }
}
