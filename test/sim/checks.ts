/**
 * What must hold after every event, told by an observer who sees all nodes and all disks at once: the
 * properties of Raft figure 3, and the promises about what is on disk before it is said.
 */

import { crc32 } from "node:zlib";
import { must } from "../../server/raft/assert.ts";
import type { LogStore } from "../../server/ports.ts";
import {
  index,
  type Entry,
  type HardState,
  type Index,
  type NodeId,
} from "../../server/raft/entry.ts";
import { majority } from "../../server/raft/quorum.ts";
import type { PeerMessage } from "../../server/peer-message.ts";
import type { AppliedPoint } from "./machine.ts";
import { claim } from "./trace.ts";

/** What an observer remembers of one node's disk. Outlives the node's processes. */
export interface Shadow {
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

export const emptyShadow = (): Shadow => ({
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

interface KnownEntry {
  readonly content: number;
  readonly previousTerm: number;
  readonly timeMs: number;
}

interface Committed {
  readonly term: number;
  /** The term of the node that was first seen to have it committed. */
  readonly inTerm: number;
}

/** What the checks look at in a running node. */
export interface Observed {
  readonly id: NodeId;
  readonly term: number;
  readonly isLeader: boolean;
  readonly commitIndex: number;
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

const indexesMax = 2 ** 24;

const placeOf = (term: number, at: number): number => term * indexesMax + at;

const contentOf = (entry: Entry): number =>
  crc32(entry.data, (entry.kind.length * 31 + entry.timeMs) >>> 0);

export class Checks {
  readonly #shadows: ReadonlyMap<NodeId, Shadow>;
  /** By index; the place before the first entry is there too. */
  readonly #committed: Committed[] = [{ term: 0, inTerm: 0 }];
  readonly #leaders = new Map<number, NodeId>();
  /** Every entry ever seen, by term and index. */
  readonly #entries = new Map<number, KnownEntry>();
  readonly #points: (AppliedPoint | undefined)[] = [];
  /** By voter and term. */
  readonly #votes = new Map<number, NodeId>();

  constructor(shadows: ReadonlyMap<NodeId, Shadow>) {
    this.#shadows = shadows;
  }

  get lastCommitted(): number {
    return this.#committed.length - 1;
  }

  // ------------------------------------------------------------------ the disk

  /** Before the log is told: from here on what is cut may be gone, and what is new may be there. */
  appending(id: NodeId, entries: readonly Entry[]): void {
    const shadow = this.#shadow(id);
    const first = must(entries[0], "an append has entries").index;
    claim(first <= shadow.lastIndex + 1, () => `node ${id} leaves a gap before entry ${first}`);
    claim(
      first > shadow.commitIndex,
      () => `node ${id} cuts off entry ${first}, which it knows to be committed`,
    );
    shadow.synced = Math.min(shadow.synced, first - 1);
    this.#record(id, entries, must(shadow.terms[first - 1], "the log reaches down to it"));
  }

  /** The disk had no room for what was being appended from `first` on: this is what is there instead. */
  refused(id: NodeId, first: number, log: Pick<LogStore, "lastIndex" | "term">): void {
    const shadow = this.#shadow(id);
    shadow.lastIndex = log.lastIndex;
    shadow.terms.length = log.lastIndex + 1;
    for (let at = first; at <= log.lastIndex; at++) {
      shadow.terms[at] = must(log.term(index(at)), "it is in the log");
    }
  }

  /** The log says that everything in it is durable. */
  synced(id: NodeId): void {
    const shadow = this.#shadow(id);
    shadow.synced = shadow.lastIndex;
  }

  saving(id: NodeId, state: HardState): void {
    const { hardState, attempted } = this.#shadow(id);
    claim(state.term >= hardState.term, () => `node ${id} writes an older term`);
    const isSecond = state.term === hardState.term && hardState.vote !== null;
    claim(!isSecond || state.vote === hardState.vote, () => `node ${id} writes a second vote`);
    attempted.push(state);
  }

  saved(id: NodeId, state: HardState): void {
    const shadow = this.#shadow(id);
    shadow.hardState = state;
    shadow.attempted = [];
  }

  /** What a start found on the disk holds all that was ever promised. */
  restarted(id: NodeId, found: FoundFiles): void {
    const shadow = this.#shadow(id);
    const { firstIndex, entries, hardState } = found;
    const base = firstIndex - 1;
    const last = entries[entries.length - 1]?.index ?? base;
    shadow.isRecovering = found.isRecovering;
    if (found.isRecovering && last < shadow.synced) {
      for (let at = last + 1; at <= shadow.synced; at++) {
        shadow.lost.add(placeOf(must(shadow.terms[at], "it was synced"), at));
      }
      shadow.synced = last;
    }
    claim(
      last >= shadow.synced,
      () => `node ${id} lost entries: its log ends at ${last}, and ${shadow.synced} was synced`,
    );
    this.#takeAsCommitted(id, base, found.baseTerm);
    claim(found.appliedIndex >= base, () => `node ${id} has neither entry ${base} nor its effect`);
    for (let at = firstIndex; at <= shadow.synced; at++) {
      claim(
        entries[at - firstIndex]?.term === shadow.terms[at],
        () => `node ${id} holds another entry ${at} than it had synced`,
      );
    }
    this.#checkMemory(id, hardState);
    shadow.lastIndex = base;
    this.#record(id, entries, found.baseTerm);
    shadow.synced = shadow.lastIndex;
    shadow.hardState = hardState;
    shadow.attempted = [];
    shadow.term = hardState.term;
    shadow.commitIndex = 0;
    const missing = found.isRecovering ? null : this.#missing(id);
    claim(missing === null, () => `node ${id} has forgotten that it lost entry ${missing}`);
  }

  /** A snapshot took the place of the log. */
  installed(id: NodeId, point: AppliedPoint & { term: number }): void {
    const shadow = this.#shadow(id);
    claim(point.index > shadow.commitIndex, () => `node ${id} takes back what is committed`);
    this.#takeAsCommitted(id, point.index, point.term);
    this.applied(id, point);
    shadow.lastIndex = point.index;
    shadow.synced = point.index;
    shadow.commitIndex = point.index;
  }

  /** A node whose log was damaged says that it has everything again: it may vote from here on. */
  recovered(id: NodeId): void {
    const missing = this.#missing(id);
    claim(
      missing === null,
      () => `node ${id} calls itself recovered without the committed entry ${missing}`,
    );
    const shadow = this.#shadow(id);
    shadow.isRecovering = false;
    // From here on it answers for all it holds, as everybody does.
    shadow.lost.clear();
  }

  /** Damage has taken entries from it, and it has not said that it has them again. */
  hasLost(id: NodeId): boolean {
    return this.#shadow(id).lost.size > 0;
  }

  /**
   * An entry that is committed, was acknowledged here, and is not here now. What another leader put in
   * the place of a lost entry is none: this node never had a word in it.
   */
  #missing(id: NodeId): number | null {
    const { lost, synced, terms } = this.#shadow(id);
    for (const place of lost) {
      const at = place % indexesMax;
      const term = this.#committed[at]?.term;
      if (term === undefined || placeOf(term, at) !== place) continue;
      if (at > synced || terms[at] !== term) return at;
    }
    return null;
  }

  /** Term and vote are what was saved, or what was about to be. */
  #checkMemory(id: NodeId, { term, vote }: HardState): void {
    const { hardState, attempted } = this.#shadow(id);
    const isKnown = [hardState, ...attempted].some(
      (known) => known.term === term && known.vote === vote,
    );
    claim(
      isKnown,
      () =>
        `node ${id} remembers term ${term}, vote ${vote}; it had saved ` +
        `term ${hardState.term}, vote ${hardState.vote}`,
    );
  }

  /** Where a log begins, everything before is committed, and equal everywhere. */
  #takeAsCommitted(id: NodeId, through: number, term: number): void {
    if (through === 0) return;
    const { terms } = this.#shadow(id);
    claim(
      this.#committed[through]?.term === term,
      () => `node ${id} begins behind entry ${through} of term ${term}, which is not committed`,
    );
    for (let at = 1; at <= through; at++) terms[at] = must(this.#committed[at], "it is").term;
  }

  // ------------------------------------------------------------------ what is said

  /** Whatever leaves is backed by the disk of the sender as it is now. */
  sent(from: NodeId, to: NodeId, message: PeerMessage): void {
    const shadow = this.#shadow(from);
    switch (message.type) {
      case "vote":
        this.#checkVote(from, from, message.term);
        break;
      case "voteResponse":
        if (message.granted) this.#checkVote(from, to, message.term);
        break;
      case "appendAccepted":
        claim(
          message.matchIndex <= shadow.synced,
          () => `node ${from} acknowledges ${message.matchIndex}, and synced ${shadow.synced}`,
        );
        this.#checkTerm(from, message.term);
        break;
      case "append":
      case "heartbeat":
      case "appendRejected":
      case "heartbeatResponse":
        this.#checkTerm(from, message.term);
        break;
      default:
    }
  }

  #checkTerm(from: NodeId, term: number): void {
    const saved = this.#shadow(from).hardState.term;
    claim(saved >= term, () => `node ${from} shows term ${term}, and its disk has ${saved}`);
  }

  /** One vote a term, written down before it is given, crashes or not. */
  #checkVote(voter: NodeId, candidate: NodeId, term: number): void {
    const { hardState, isRecovering } = this.#shadow(voter);
    // The core may know that it has recovered a moment before the note on the disk is gone.
    const missing = isRecovering ? this.#missing(voter) : null;
    claim(missing === null, () => `node ${voter} votes although it has lost entry ${missing}`);
    const isWritten = hardState.term === term && hardState.vote === candidate;
    claim(
      isWritten || hardState.term > term,
      () => `node ${voter} votes for ${candidate} in term ${term} before it is on disk`,
    );
    const place = term * 16 + voter;
    const known = this.#votes.get(place);
    claim(
      known === undefined || known === candidate,
      () => `node ${voter} votes for ${known} and ${candidate} in term ${term}`,
    );
    this.#votes.set(place, candidate);
  }

  // ------------------------------------------------------------------ what is known

  /** After every event of a node. */
  observed({ id, term, isLeader, commitIndex }: Observed, voters: readonly NodeId[]): void {
    const shadow = this.#shadow(id);
    if (term !== shadow.term) {
      claim(term > shadow.term, () => `the term of node ${id} goes back to ${term}`);
      shadow.term = term;
    }
    if (isLeader && this.#leaders.get(term) !== id) this.#checkNewLeader(id, term);
    if (commitIndex === shadow.commitIndex) return;
    claim(commitIndex > shadow.commitIndex, () => `the commit index of node ${id} goes back`);
    for (let at = shadow.commitIndex + 1; at <= commitIndex; at++) {
      this.#checkCommitted(id, { at, term, voters });
    }
    shadow.commitIndex = commitIndex;
  }

  applied(id: NodeId, point: AppliedPoint): void {
    const known = this.#points[point.index];
    if (known === undefined) {
      this.#points[point.index] = point;
      return;
    }
    const isSame =
      known.history === point.history &&
      known.hashHigh === point.hashHigh &&
      known.hashLow === point.hashLow &&
      known.timeMs === point.timeMs &&
      known.members === point.members;
    claim(isSame, () => `node ${id} has another state at ${point.index} than another node had`);
  }

  /** A client was told that its write is done. */
  acknowledged(id: NodeId, revision: Index, voters: readonly NodeId[]): void {
    const committed = this.#committed[revision];
    claim(committed !== undefined, () => `node ${id} acknowledges ${revision}, not committed`);
    this.#checkDurable(id, { at: revision, term: committed.term, voters });
  }

  #shadow(id: NodeId): Shadow {
    return must(this.#shadows.get(id), "every node has a shadow");
  }

  /** Log matching, by induction: equal index and term have equal content and an equal predecessor. */
  #record(id: NodeId, entries: readonly Entry[], termBefore: number): void {
    const shadow = this.#shadow(id);
    let previousTerm = termBefore;
    for (const entry of entries) {
      const place = placeOf(entry.term, entry.index);
      const content = contentOf(entry);
      const known = this.#entries.get(place);
      claim(entry.term >= previousTerm, () => `the terms in the log of node ${id} go back`);
      const { timeMs } = entry;
      const before = this.#entries.get(placeOf(previousTerm, entry.index - 1));
      claim(
        timeMs >= (before?.timeMs ?? 0),
        () => `the time in the log of node ${id} goes back at ${entry.index}`,
      );
      if (known === undefined) this.#entries.set(place, { content, previousTerm, timeMs });
      else {
        claim(
          known.content === content && known.previousTerm === previousTerm,
          () => `entry ${entry.index} of term ${entry.term} exists twice, differently (node ${id})`,
        );
      }
      shadow.terms[entry.index] = entry.term;
      shadow.lastIndex = entry.index;
      previousTerm = entry.term;
    }
  }

  /** Election safety and leader completeness (Raft figure 3). */
  #checkNewLeader(id: NodeId, term: number): void {
    const known = this.#leaders.get(term);
    claim(known === undefined, () => `nodes ${known} and ${id} both lead term ${term}`);
    this.#leaders.set(term, id);
    const shadow = this.#shadow(id);
    // What is committed in later terms does not bind a leader that was elected late. By log matching
    // the newest entry that does stands for all before it.
    for (let at = this.lastCommitted; at > 0; at--) {
      const { term: entryTerm, inTerm } = must(this.#committed[at], "it is committed");
      if (inTerm >= term) continue;
      const has = at <= shadow.lastIndex && shadow.terms[at] === entryTerm;
      claim(has, () => `node ${id} leads term ${term} without the committed entry ${at}`);
      break;
    }
  }

  #checkCommitted(
    id: NodeId,
    { at, term, voters }: { at: number; term: number; voters: readonly NodeId[] },
  ): void {
    const shadow = this.#shadow(id);
    claim(at <= shadow.lastIndex, () => `node ${id} commits entry ${at}, which it does not have`);
    const entryTerm = must(shadow.terms[at], "it is in the log");
    const known = this.#committed[at];
    if (known) {
      claim(
        known.term === entryTerm,
        () => `node ${id} commits entry ${at} of term ${entryTerm}, others of ${known.term}`,
      );
      return;
    }
    this.#checkDurable(id, { at, term: entryTerm, voters });
    this.#committed.push({ term: entryTerm, inTerm: term });
  }

  #checkDurable(
    id: NodeId,
    { at, term, voters }: { at: number; term: number; voters: readonly NodeId[] },
  ): void {
    const holders = voters.filter((voter) => {
      const shadow = this.#shadow(voter);
      // Damage took it from there, after it had been acknowledged: of a minority it may.
      if (shadow.lost.has(placeOf(term, at))) return true;
      return shadow.synced >= at && shadow.terms[at] === term;
    });
    claim(
      holders.length >= majority(voters.length),
      () =>
        `node ${id} takes entry ${at} for committed; it is durable on ${holders.join(",")} only`,
    );
  }
}
