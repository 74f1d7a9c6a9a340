/** What the observer of a simulation remembers of one directory. */

import type { Configurations } from "../../server/raft/configuration.ts";
import type { Entry, HardState, NodeId } from "../../server/raft/entry.ts";
import type { DatedConfiguration } from "./electorates.ts";

/** Outlives the node's processes, and the directory. */
export interface Shadow {
  readonly incarnation: string;
  /** The configurations in its log. */
  trail: DatedConfiguration[];
  /** By index; what stands behind `synced` may or may not be there after a crash. */
  readonly terms: number[];
  lastIndex: number;
  /** Everything up to here survives whatever may happen to an undamaged disk. */
  synced: number;
  hardState: HardState;
  /** Begun and perhaps not done: found after a crash, or not. */
  attempted: HardState[];
  term: number;
  commitIndex: number;
  /** Entries, by term and index, that were synced and are known to have been lost to damage. */
  readonly lost: Set<number>;
  /** Until it has everything again: then it has no vote. */
  isRecovering: boolean;
}

/** What a start finds. */
export interface FoundFiles {
  readonly firstIndex: number;
  /** Of the place before `firstIndex`. */
  readonly baseTerm: number;
  readonly entries: readonly Entry[];
  readonly hardState: HardState;
  readonly appliedIndex: number;
  /** The node knows that damage has taken entries from it. */
  readonly isRecovering: boolean;
}

/** A machine, as the observer sees it. */
export interface Looked {
  readonly id: NodeId;
  /** Of the directory that it has now. */
  readonly shadow: Shadow;
  /** What the node that runs on it goes by, whether or not that is on its disk. */
  readonly life?: { readonly node: { readonly configurations: Configurations } } | null;
}

export const emptyShadow = (incarnation: string): Shadow => ({
  incarnation,
  trail: [],
  terms: [0],
  lastIndex: 0,
  synced: 0,
  hardState: { term: 0 as HardState["term"], vote: null },
  attempted: [],
  term: 0,
  commitIndex: 0,
  lost: new Set(),
  isRecovering: false,
});

/** More than a simulated log has. */
export const indexesMax = 2 ** 24;

/** One number for a term and an index. */
export const placeOf = (term: number, at: number): number => term * indexesMax + at;

/** Forgets the configurations in entries that were cut off from `from` on. */
export function cutTrail({ trail }: Shadow, from: number): void {
  while (trail.length > 1 && (trail[trail.length - 1]?.index ?? 0) >= from) trail.pop();
}
