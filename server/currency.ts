/** How old the state is that this node would read from by itself, and who has confirmed that it leads. */

import type { Clock } from "./ports.ts";
import type { NodeId } from "./raft/entry.ts";
import { majority } from "./raft/quorum.ts";
import type { Raft } from "./raft/raft.ts";

export interface CurrencyOptions {
  readonly self: NodeId;
  readonly clock: Clock;
  readonly raft: () => Raft;
}

export class Currency {
  readonly #options: CurrencyOptions;
  /** When each member was last heard from in a way that says "you lead", by the monotonic clock. */
  readonly #answeredMs = new Map<NodeId, number>();
  /** What the leader of that term called committed in its last append. */
  #leaderCommit = { term: -1, index: 0 };
  #currentMs: number | null = null;

  constructor(options: CurrencyOptions) {
    this.#options = options;
  }

  answered(id: NodeId): void {
    this.#answeredMs.set(id, this.#nowMs());
  }

  /** Null: never. */
  answeredMs(id: NodeId): number | null {
    return this.#answeredMs.get(id) ?? null;
  }

  appended(by: { readonly term: number; readonly commitIndex: number }): void {
    this.#leaderCommit = { term: by.term, index: by.commitIndex };
  }

  /** Whether this node ever knew its state to be the newest. */
  get wasCurrent(): boolean {
    return this.#currentMs !== null;
  }

  /** Milliseconds since this node last knew that its applied state was the newest; null: never. */
  get ageMs(): number | null {
    if (this.#options.raft().role.kind === "leader") return this.#leaderAgeMs();
    return this.#currentMs === null ? null : this.#nowMs() - this.#currentMs;
  }

  /**
   * A follower is current when it has applied all that its leader ever sent or called committed: what
   * the leader has committed without us it had sent us before. A leader is when a majority has
   * answered it. What is known then outlives the role.
   */
  note(): void {
    const raft = this.#options.raft();
    const { role, log } = raft;
    if (role.kind === "leader") {
      const ageMs = this.#leaderAgeMs();
      if (ageMs !== null) this.#currentMs = this.#nowMs() - ageMs;
      return;
    }
    const hearsLeader =
      role.kind === "follower" && role.leaderId !== null && role.electionElapsed === 0;
    const { term, index: leaderCommit } = this.#leaderCommit;
    const hasAll = log.appliedIndex === log.lastIndex && log.appliedIndex >= leaderCommit;
    if (hearsLeader && hasAll && term === raft.term) this.#currentMs = this.#nowMs();
  }

  /** A leader was current when the last member of a majority answered it. */
  #leaderAgeMs(): number | null {
    const nowMs = this.#nowMs();
    const ages = this.#options
      .raft()
      .voters.map((id) => {
        if (id === this.#options.self) return 0;
        const answered = this.#answeredMs.get(id);
        return answered === undefined ? Infinity : nowMs - answered;
      })
      .sort((a, b) => a - b);
    const age = ages[majority(ages.length) - 1] ?? Infinity;
    return Number.isFinite(age) ? age : null;
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }
}
