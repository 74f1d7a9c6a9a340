/** How long ago this node last knew that its applied state was the newest. */

import { must } from "./raft/assert.ts";
import type { Index, NodeId } from "./raft/entry.ts";

/** Questions that wait for an answer; older ones are forgotten, which only makes the state look older. */
const questionsMax = 64;

/** Once somebody has wanted to know the age, it is kept small for so long. */
const wantedForMs = 10_000;
/** While nobody does, it is asked so much more seldom: each question costs messages. */
const unwantedFactor = 5;

/**
 * It asks for read indexes, as linearizable reads do: what was acknowledged before the question stands
 * at or before the index that answers it. So the state was the newest when the *question* was asked,
 * however late the answer comes and however long it lay here: a node that stood still for a minute
 * finds the answers of a minute ago, and calls its state a minute old.
 */
export class Currency {
  /** By the monotonic clock. */
  readonly #nowMs: () => number;
  /** When each member was last heard from in a way that says "you lead". */
  readonly #answeredMs = new Map<NodeId, number>();
  /** By request id, oldest first: when it was asked. */
  readonly #asked = new Map<number, number>();
  /** Answered, and not applied that far. */
  #ahead: { readonly askedMs: number; readonly readIndex: Index }[] = [];
  #lastAskedMs = -Infinity;
  #wantedMs = -Infinity;
  #currentMs: number | null = null;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** `peer` follows this leader. */
  answered(peer: NodeId): void {
    this.#answeredMs.set(peer, this.#nowMs());
  }

  /** When this leader last got an answer of `peer`; null: never. */
  answeredMs(peer: NodeId): number | null {
    return this.#answeredMs.get(peer) ?? null;
  }

  /** Null: this node has never known. */
  get ageMs(): number | null {
    this.#wantedMs = this.#nowMs();
    return this.#currentMs === null ? null : this.#nowMs() - this.#currentMs;
  }

  /** Nothing was asked for so long; for longer, where the age interests nobody. */
  isDue(afterMs: number): boolean {
    const nowMs = this.#nowMs();
    const isWanted = nowMs - this.#wantedMs < wantedForMs;
    return nowMs - this.#lastAskedMs >= (isWanted ? afterMs : unwantedFactor * afterMs);
  }

  /** Before the question leaves. */
  asked(requestId: number): void {
    this.#lastAskedMs = this.#nowMs();
    this.#asked.set(requestId, this.#lastAskedMs);
    if (this.#asked.size <= questionsMax) return;
    this.#asked.delete(must(this.#asked.keys().next().value, "there are some"));
  }

  confirmed(requestId: number, readIndex: Index): void {
    const askedMs = this.#asked.get(requestId);
    if (askedMs === undefined) return;
    this.#asked.delete(requestId);
    this.#ahead.push({ askedMs, readIndex });
  }

  applied(appliedIndex: Index): void {
    if (this.#ahead.length === 0) return;
    for (const { askedMs, readIndex } of this.#ahead) {
      if (readIndex > appliedIndex) continue;
      this.#currentMs = Math.max(askedMs, this.#currentMs ?? askedMs);
    }
    this.#ahead = this.#ahead.filter(({ readIndex }) => readIndex > appliedIndex);
  }
}
