/** What peers have sent since the node last looked: bounded, and nobody's bulk keeps the rest out. */

import type { PeerMessage } from "./peer-message.ts";
import type { NodeId } from "./raft/entry.ts";

export interface Received {
  readonly from: NodeId;
  readonly message: PeerMessage;
  /** In which life of its directory it was sent. */
  readonly incarnation: string;
}

export class Inbox {
  readonly #messagesMax: number;
  #messages: Received[] = [];

  constructor(messagesMax: number) {
    this.#messagesMax = messagesMax;
  }

  /**
   * False where it is full and the message is dropped. The pieces of a snapshot, which are sent again where
   * they are missed, fill half of it: heartbeats behind them are what keeps the leader who sends them.
   */
  add(received: Received): boolean {
    const isBulk = received.message.type === "snapshotChunk";
    const max = isBulk ? this.#messagesMax / 2 : this.#messagesMax;
    if (this.#messages.length >= max) return false;
    this.#messages.push(received);
    return true;
  }

  /** In the order they came. */
  takeAll(): readonly Received[] {
    if (this.#messages.length === 0) return nothing;
    const taken = this.#messages;
    this.#messages = [];
    return taken;
  }
}

const nothing: readonly Received[] = [];
