/** Linearizable reads at the leader: which ones wait for which round of heartbeats (thesis §6.4). */

import type { Index, NodeId } from "./entry.ts";

export interface WaitingRead {
  readonly from: NodeId;
  readonly requestId: number;
}

export interface ReleasedRead extends WaitingRead {
  readonly readIndex: Index;
}

interface Round {
  readonly number: number;
  readonly readIndex: Index;
  readonly reads: WaitingRead[];
}

/** Read requests (not reads: a node sends one for all reads of a drain) that may wait at once. */
export const waitingReadsMax = 4096;

/**
 * A read that arrives joins the gathering; `open` turns the gathering into a round, whose number
 * goes out with the next heartbeats; once a majority has answered that number or a later one, the
 * leader was still the leader after the read arrived, and the commit index of then is safe.
 */
export class ReadRounds {
  #gathering: WaitingRead[] = [];
  #rounds: Round[] = [];
  #newest = 0;
  #waiting = 0;

  /** Returns false where the limit is reached; the asker tries again. */
  gather(read: WaitingRead): boolean {
    if (this.#waiting >= waitingReadsMax) return false;
    this.#waiting++;
    this.#gathering.push(read);
    return true;
  }

  get hasGathered(): boolean {
    return this.#gathering.length > 0;
  }

  /** Starts a round for all gathered reads and returns its number. */
  open(commitIndex: Index): number {
    this.#newest++;
    this.#rounds.push({ number: this.#newest, readIndex: commitIndex, reads: this.#gathering });
    this.#gathering = [];
    return this.#newest;
  }

  /** What heartbeats carry: the newest round while any round is open, otherwise 0. */
  get wanted(): number {
    return this.#rounds.length > 0 ? this.#newest : 0;
  }

  /** The newest round's number, with which the leader itself always agrees. */
  get newest(): number {
    return this.#newest;
  }

  /** A majority has confirmed `round`: the reads of it and of all earlier ones are free. */
  release(round: number): ReleasedRead[] {
    const released: ReleasedRead[] = [];
    while (this.#rounds.length > 0) {
      const oldest = this.#rounds[0];
      if (!oldest || oldest.number > round) break;
      for (const read of oldest.reads) {
        released.push({
          from: read.from,
          requestId: read.requestId,
          readIndex: oldest.readIndex,
        });
      }
      this.#rounds.shift();
    }
    this.#waiting -= released.length;
    return released;
  }
}
