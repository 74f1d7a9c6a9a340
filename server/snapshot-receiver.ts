/**
 * The follower's side of a snapshot: takes the pieces in, lets a new state be made of them as they come,
 * and only then tells the core. Until then this node votes, acknowledges and serves as before.
 */

import type { Limits } from "./limits.ts";
import type { PeerMessage, SnapshotChunk, SnapshotOffer } from "./peer-message.ts";
import type { Clock, SnapshotInfo, SnapshotStore } from "./ports.ts";
import { assert, must } from "./raft/assert.ts";
import type { NodeId } from "./raft/entry.ts";
import type { Snapshot } from "./raft/message.ts";

export interface SnapshotReceiverOptions {
  readonly store: SnapshotStore;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly send: (to: NodeId, message: PeerMessage) => boolean;
  /** A sentence for the log. */
  readonly warn: (text: string) => void;
}

const noRoom = "there is no room on the disk for a snapshot";

interface Incoming {
  readonly from: NodeId;
  readonly message: Snapshot;
  readonly info: SnapshotInfo;
  offset: number;
  heardMs: number;
  /** How far the sender was told that it is, and when. It is told of nothing that is still to be built. */
  toldOffset: number;
  toldMs: number;
}

export class SnapshotReceiver {
  readonly #options: SnapshotReceiverOptions;
  #incoming: Incoming | null = null;

  constructor(options: SnapshotReceiverOptions) {
    this.#options = options;
  }

  get isIdle(): boolean {
    return this.#incoming === null;
  }

  /** Takes the place of whatever comes in, unless it is the same file: then that goes on. */
  offer(from: NodeId, offer: SnapshotOffer, nowMs: number): void {
    const { term, lastIndex, lastTerm, configuration, id, bytes } = offer;
    const info = { id, bytes, lastIndex, lastTerm, configuration };
    const message = { type: "snapshot", term, lastIndex, lastTerm, configuration } as const;
    const offset = this.#options.store.accept(info);
    const times = { heardMs: nowMs, toldMs: nowMs };
    const start = offset === "full" ? 0 : offset;
    this.#incoming = { from, message, info, offset: start, toldOffset: start, ...times };
    if (offset === "full") {
      this.#end("noRoom", noRoom);
      return;
    }
    this.#tell(this.#incoming, nowMs);
  }

  /** Nobody needs it: the core has answered for itself. */
  decline(from: NodeId, { id, bytes }: SnapshotOffer): void {
    const { send } = this.#options;
    send(from, { type: "snapshotProgress", id, offset: bytes, phase: "installed" });
  }

  chunk(from: NodeId, { id, offset, data }: SnapshotChunk, nowMs: number): void {
    const incoming = this.#incoming;
    if (incoming?.from !== from || incoming.info.id !== id) {
      this.#options.send(from, { type: "snapshotProgress", id, offset: 0, phase: "refused" });
      return;
    }
    incoming.heardMs = nowMs;
    const { limits, store } = this.#options;
    // Twice, or behind one that was lost: the answer says where to go on.
    const isNext = offset === incoming.offset && offset + data.byteLength <= incoming.info.bytes;
    // More than anybody sends who waits for answers is not gathered in memory.
    const isInWindow = offset - incoming.toldOffset < limits.snapshotWindowBytes;
    if (isNext && data.byteLength > 0 && (isInWindow || !store.hasWork)) {
      store.write(data);
      incoming.offset += data.byteLength;
    }
    if (!store.hasWork) this.#tell(incoming, nowMs);
  }

  /** Returns the core's message once a state has been made of the snapshot. */
  tick(nowMs: number): { from: NodeId; message: Snapshot } | null {
    const incoming = this.#incoming;
    if (!incoming) return null;
    const { limits, store } = this.#options;
    const isWhole = incoming.offset === incoming.info.bytes;
    if (isWhole || store.hasWork) return this.#build(incoming, nowMs);
    if (nowMs - incoming.heardMs >= limits.snapshotTimeoutMs) this.drop();
    return null;
  }

  /** The core has taken the snapshot: state and log are replaced. */
  install(lastIndex: number): void {
    const { from, info } = must(this.#incoming, "a snapshot was built");
    assert(info.lastIndex === lastIndex, "the core takes the snapshot that is here");
    this.#options.store.install();
    this.#incoming = null;
    const { id, bytes } = info;
    this.#options.send(from, { type: "snapshotProgress", id, offset: bytes, phase: "installed" });
  }

  drop(): void {
    if (!this.#incoming) return;
    this.#incoming = null;
    this.#options.store.drop();
  }

  #build(incoming: Incoming, nowMs: number): { from: NodeId; message: Snapshot } | null {
    const { clock, limits, store } = this.#options;
    if (nowMs - incoming.toldMs >= limits.snapshotRetryMs) this.#sayBusy(incoming, nowMs);
    for (let step = 0; step < limits.snapshotTickSteps; step++) {
      const result = store.build();
      if (result === "more") {
        if (!store.hasWork) {
          this.#tell(incoming, nowMs);
          return null;
        }
        if (clock.monotonicMs() - nowMs >= limits.snapshotTickMs) return null;
        continue;
      }
      if (result === "built") return incoming;
      if (result === "full") this.#end("noRoom", noRoom);
      else
        this.#end(
          "damaged",
          `node ${incoming.from} sent a snapshot that is damaged: ${result.damage}`,
        );
      return null;
    }
    return null;
  }

  /** A sign of life that asks for nothing more: what has come is in memory until it is built. */
  #sayBusy(incoming: Incoming, nowMs: number): void {
    const { from, info, toldOffset } = incoming;
    const offset = incoming.offset === info.bytes ? info.bytes : toldOffset;
    incoming.toldMs = nowMs;
    this.#options.send(from, { type: "snapshotProgress", id: info.id, offset, phase: "building" });
  }

  #tell(incoming: Incoming, nowMs: number): void {
    const { from, info, offset } = incoming;
    incoming.toldMs = nowMs;
    incoming.toldOffset = offset;
    // While there was work, the sender was not to send: its silence begins here.
    incoming.heardMs = nowMs;
    const phase = offset === info.bytes ? "building" : "receiving";
    this.#options.send(from, { type: "snapshotProgress", id: info.id, offset, phase });
  }

  #end(phase: "noRoom" | "damaged", why: string): void {
    const { from, info } = must(this.#incoming, "a snapshot comes in");
    this.#incoming = null;
    this.#options.warn(why);
    this.#options.send(from, { type: "snapshotProgress", id: info.id, offset: 0, phase });
  }
}
