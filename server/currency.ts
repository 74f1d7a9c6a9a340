/** How long ago this node last knew that its applied state was the newest. */

import { majority } from "./raft/quorum.ts";
import type { Index, NodeId, Term } from "./raft/entry.ts";
import type { Raft } from "./raft/raft.ts";

export interface CurrencyOptions {
  readonly raft: Raft;
  /** By the monotonic clock. */
  readonly nowMs: () => number;
}

export class Currency {
  readonly #options: CurrencyOptions;
  /** When each member was last heard from in a way that says "you lead". */
  readonly #answeredMs = new Map<NodeId, number>();
  /** What the leader of that term called committed in its last append. */
  #leaderCommit = { term: -1, index: 0 };
  #currentMs: number | null = null;

  constructor(options: CurrencyOptions) {
    this.#options = options;
  }

  /** `peer` follows this leader. */
  answered(peer: NodeId): void {
    this.#answeredMs.set(peer, this.#options.nowMs());
  }

  leaderCommitted(term: Term, index: Index): void {
    this.#leaderCommit = { term, index };
  }

  /** When `peer` last answered this leader; null: never. */
  answeredMs(peer: NodeId): number | null {
    return this.#answeredMs.get(peer) ?? null;
  }

  /** Null: this node has never known. */
  get ageMs(): number | null {
    const { raft, nowMs } = this.#options;
    if (raft.role.kind === "leader") return this.#leaderAgeMs();
    return this.#currentMs === null ? null : nowMs() - this.#currentMs;
  }

  /**
   * A follower is current when it has applied all that its leader ever sent or called committed: what
   * the leader has committed without us it had sent us before. A leader is when a majority has
   * answered it. What is known then outlives the role.
   */
  note(): void {
    const { raft, nowMs } = this.#options;
    const { role, log } = raft;
    if (role.kind === "leader") {
      const ageMs = this.#leaderAgeMs();
      if (ageMs !== null) this.#currentMs = nowMs() - ageMs;
      return;
    }
    const hearsLeader =
      role.kind === "follower" && role.leaderId !== null && role.electionElapsed === 0;
    const { term, index: leaderCommit } = this.#leaderCommit;
    const hasAll = log.appliedIndex === log.lastIndex && log.appliedIndex >= leaderCommit;
    if (hearsLeader && hasAll && term === raft.term) this.#currentMs = nowMs();
  }

  /** A leader was current when the last member of a majority answered it. */
  #leaderAgeMs(): number | null {
    const { raft } = this.#options;
    const nowMs = this.#options.nowMs();
    const ages = raft.voters
      .map((id) => (id === raft.self ? 0 : nowMs - (this.#answeredMs.get(id) ?? -Infinity)))
      .sort((a, b) => a - b);
    const age = ages[majority(ages.length) - 1] ?? Infinity;
    return Number.isFinite(age) ? age : null;
  }
}
