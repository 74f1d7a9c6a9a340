/** The configurations in force along the log, so that a truncated change is taken back. */

import { must } from "./assert.ts";
import {
  decodeConfiguration,
  memberOf,
  type Configuration,
  type Configurations,
} from "./configuration.ts";
import { index, type Entry, type Index, type NodeId } from "./entry.ts";
import type { LogView } from "./log-view.ts";

/** Entries read at once when a log is searched. */
const scanBytes = 1 << 20;

interface Dated {
  /** Where its entry stands; 0 for the one the cluster was formed with. */
  readonly index: Index;
  readonly configuration: Configuration;
}

/**
 * A configuration counts from the moment its entry is appended, committed or not (thesis §4.1).
 * Invariant: indexes rise; the first element is at or below everything that can still be truncated.
 */
export class ConfigurationHistory {
  #dated: Dated[];

  readonly #incarnation: string | null;

  /** `incarnation` is this node's own; null where each id has only one. */
  constructor(configuration: Configuration, incarnation: string | null = null) {
    this.#incarnation = incarnation;
    this.#dated = [{ index: index(0), configuration }];
  }

  get current(): Configuration {
    return this.#last.configuration;
  }

  /** The index of the entry that brought the current configuration. */
  get currentIndex(): Index {
    return this.#last.index;
  }

  /** The configuration in force at `at`. */
  at(at: Index): Configuration {
    const found = this.#dated.findLast((dated) => dated.index <= at);
    return must(found ?? this.#dated[0], "a history is never empty").configuration;
  }

  get newest(): Configurations {
    const [oldest] = this.#dated;
    const committed = must(oldest, "a history is never empty").configuration;
    return { current: this.current, committed };
  }

  /** Whether this node, in this life of its directory, is voter `self` of the current configuration. */
  isVoter(self: NodeId): boolean {
    return this.#isVoterIn(this.current, self);
  }

  /** The same in the newest configuration known to be committed, or in any after it. */
  mayBeVoter(self: NodeId): boolean {
    return this.#dated.some(({ configuration }) => this.#isVoterIn(configuration, self));
  }

  #isVoterIn(config: Configuration, self: NodeId): boolean {
    const member = memberOf(config, self);
    if (member?.role !== "voter") return false;
    return this.#incarnation === null || member.incarnation === this.#incarnation;
  }

  /** Entries were appended, and whatever stood at or after the first of them is gone. */
  appended(entries: readonly Entry[]): boolean {
    const first = entries[0];
    if (!first) return false;
    const before = this.#last;
    while (this.#dated.length > 1 && this.#last.index >= first.index) this.#dated.pop();
    for (const entry of entries) {
      if (entry.kind !== "configuration") continue;
      this.#dated.push({ index: entry.index, configuration: decodeConfiguration(entry.data) });
    }
    return this.#last !== before;
  }

  /** A start takes in those of its log that it has not applied, from `from` on. */
  find(log: Pick<LogView, "lastIndex" | "entries">, from: Index): void {
    while (from <= log.lastIndex) {
      const entries = log.entries(from, log.lastIndex, scanBytes);
      this.appended(entries);
      from = index(from + entries.length);
    }
  }

  /** What is committed cannot be truncated: older configurations are forgotten. */
  committed(commitIndex: Index): void {
    while (this.#dated.length > 1 && (this.#dated[1]?.index ?? Infinity) <= commitIndex) {
      this.#dated.shift();
    }
  }

  restore(at: Index, configuration: Configuration): void {
    this.#dated = [{ index: at, configuration }];
  }

  get #last(): Dated {
    return must(this.#dated[this.#dated.length - 1], "a history is never empty");
  }
}
