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
import type { Configuration, Member } from "../../server/raft/configuration.ts";
import type { PeerMessage } from "../../server/peer-message.ts";
import {
  configurationIn,
  inForceAt,
  isMajority,
  mayBeCommitted,
  unheraldedVoter,
  type DatedConfiguration,
  type Trail,
} from "./electorates.ts";
import type { AppliedPoint } from "./machine.ts";
import {
  cutTrail,
  indexesMax,
  placeOf,
  type FoundFiles,
  type Looked,
  type Shadow,
} from "./shadow.ts";
import { claim } from "./trace.ts";

interface KnownEntry {
  readonly content: number;
  readonly previousTerm: number;
  readonly timeMs: number;
  readonly configuration: Configuration | null;
}

interface Committed {
  readonly term: number;
  /** The term of the node that was first seen to have it committed. */
  readonly inTerm: number;
  /** By whose majorities, as far as the node knew that was first seen to have it committed. */
  readonly trail: Trail;
}

/** What the checks look at in a running node. */
export interface Observed {
  readonly id: NodeId;
  readonly term: number;
  readonly isLeader: boolean;
  readonly commitIndex: number;
  /** What its state has made durable: all that a start knows to be committed. */
  readonly durableIndex: number;
  /** The one it goes by, on its disk or not yet. */
  readonly configuration: Configuration;
  /** It has nothing that found no room on its disk. */
  readonly isWritten: boolean;
}

const contentOf = (entry: Entry): number =>
  crc32(entry.data, (entry.kind.length * 31 + entry.timeMs) >>> 0);

export class Checks {
  /** With the directories that they have now. */
  readonly #nodes: () => readonly Looked[];
  /** Of those that are gone as well, by incarnation. */
  readonly #everyShadow = new Map<string, Shadow>();
  /** By index; the place before the first entry is there too. */
  readonly #committed: Committed[] = [{ term: 0, inTerm: 0, trail: [] }];
  /** Those of the committed entries, oldest first. */
  readonly #configurations: DatedConfiguration[];
  /** By term: the directory's incarnation. */
  readonly #leaders = new Map<number, string>();
  /** Every entry ever seen, by term and index. */
  readonly #entries = new Map<number, KnownEntry>();
  readonly #points: (AppliedPoint | undefined)[] = [];
  /** By the voter's incarnation and term. */
  readonly #votes = new Map<string, NodeId>();
  /** The newest of which a client was told. */
  lastAcknowledged = 0;

  /** `nodes` in the order of their ids, which count from 1. */
  constructor(nodes: () => readonly Looked[], formed: Configuration) {
    this.#nodes = nodes;
    this.#configurations = [{ index: 0, configuration: formed }];
  }

  get lastCommitted(): number {
    return this.#committed.length - 1;
  }

  /** The committed configurations, oldest first. */
  get configurations(): Trail {
    return this.#configurations;
  }

  /** A directory that nobody has used before. */
  opened(shadow: Shadow): void {
    this.#everyShadow.set(shadow.incarnation, shadow);
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
    cutTrail(shadow, first);
    for (let at = first; at <= log.lastIndex; at++) {
      const known = this.#entries.get((shadow.terms[at] ?? 0) * indexesMax + at);
      if (known?.configuration) {
        shadow.trail.push({ index: at, configuration: known.configuration });
      }
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
    this.#noteVote(id);
  }

  /** What a start found on the disk holds all that was ever promised. */
  restarted(id: NodeId, found: FoundFiles): void {
    const shadow = this.#shadow(id);
    const { firstIndex, entries, hardState } = found;
    const base = firstIndex - 1;
    const last = entries[entries.length - 1]?.index ?? base;
    shadow.isRecovering = found.isRecovering;
    if (this.#isReplaced(shadow, base, found.baseTerm)) shadow.synced = base;
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
    shadow.trail = [this.#configurationAt(base)];
    this.#record(id, entries, found.baseTerm);
    shadow.synced = shadow.lastIndex;
    shadow.hardState = hardState;
    shadow.attempted = [];
    shadow.term = hardState.term;
    shadow.commitIndex = 0;
    this.#noteVote(id);
    const missing = found.isRecovering ? null : this.#missing(id);
    claim(missing === null, () => `node ${id} has forgotten that it lost entry ${missing}`);
  }

  /**
   * A process died while a snapshot took the place of a log that contradicts it, after the switch and
   * before `installed` was told. What another entry than the committed one leads up to can never be
   * committed (log matching, leader completeness): no acknowledged write goes with it (promise 1), and
   * the node has the entry that counts, so it can vouch for what it has (promise 3). A log that agrees
   * with the snapshot's last entry has to keep all that stands behind it.
   */
  #isReplaced({ synced, terms }: Shadow, base: number, baseTerm: number): boolean {
    const isCommitted = this.#committed[base]?.term === baseTerm;
    return isCommitted && base < synced && terms[base] !== baseTerm;
  }

  /** A snapshot took the place of the log. */
  installed(id: NodeId, point: AppliedPoint & { term: number }): void {
    const shadow = this.#shadow(id);
    claim(point.index > shadow.commitIndex, () => `node ${id} takes back what is committed`);
    this.#takeAsCommitted(id, point.index, point.term);
    this.applied(id, point);
    shadow.trail = [this.#configurationAt(point.index)];
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
    this.#voted(voter, candidate, term);
  }

  #noteVote(id: NodeId): void {
    const { term, vote } = this.#shadow(id).hardState;
    if (vote !== null) this.#voted(id, vote, term);
  }

  #voted(voter: NodeId, candidate: NodeId, term: number): void {
    const place = `${this.#shadow(voter).incarnation} ${term}`;
    const known = this.#votes.get(place);
    claim(
      known === undefined || known === candidate,
      () => `node ${voter} votes for ${known} and ${candidate} in term ${term}`,
    );
    this.#votes.set(place, candidate);
  }

  // ------------------------------------------------------------------ what is known

  /** After every event of a node. */
  observed(seen: Observed): void {
    const { id, term, isLeader, commitIndex, durableIndex } = seen;
    const shadow = this.#shadow(id);
    if (term !== shadow.term) {
      claim(term > shadow.term, () => `the term of node ${id} goes back to ${term}`);
      shadow.term = term;
    }
    if (isLeader && this.#leaders.get(term) !== shadow.incarnation) this.#checkNewLeader(id, term);
    const { trail } = shadow;
    while ((trail[1]?.index ?? Infinity) <= durableIndex) trail.shift();
    if (commitIndex === shadow.commitIndex) {
      this.#checkChanges(seen);
      return;
    }
    claim(commitIndex > shadow.commitIndex, () => `the commit index of node ${id} goes back`);
    this.committed(seen);
    this.#checkChanges(seen);
  }

  /** All that there is to see of a leader that ends in the middle of an event. */
  committed({ id, term, commitIndex, configuration }: Observed): void {
    const shadow = this.#shadow(id);
    for (let at = shadow.commitIndex + 1; at <= commitIndex; at++) {
      this.#checkCommitted(id, { at, term, configuration });
    }
    shadow.commitIndex = Math.max(shadow.commitIndex, commitIndex);
  }

  /** One change at a time, none before the term's own entry, and what is cut off is not in force. */
  #checkChanges({ id, isLeader, configuration, isWritten }: Observed): void {
    const { trail, terms, lastIndex } = this.#shadow(id);
    const { revision } = configuration;
    const [base = 0] = trail.map(({ index: at }) => at);
    if (isWritten && revision > base && revision <= lastIndex) {
      claim(
        trail.some(({ index: at }) => at === revision),
        () => `node ${id} goes by configuration ${revision}, which is not in its log`,
      );
    }
    if (trail.length < 2) return;
    const pending = trail.filter(({ index: at }) => at > this.lastCommitted);
    claim(pending.length < 2, () => `node ${id} has two changes of the members under way`);
    const [change] = pending;
    if (!change || !isLeader || terms[change.index] !== this.#shadow(id).term) return;
    const inTerm = terms[change.index];
    // Others may have a newer leader by now, and have committed what it brought.
    const isEarlier = this.#committed.findLast(({ term }) => term <= (inTerm ?? 0));
    claim(
      isEarlier?.term === inTerm,
      () => `node ${id} changes the members before an entry of its term is committed`,
    );
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
  acknowledged(id: NodeId, revision: Index): void {
    this.lastAcknowledged = Math.max(this.lastAcknowledged, revision);
    const committed = this.#committed[revision];
    claim(committed !== undefined, () => `node ${id} acknowledges ${revision}, not committed`);
    const { term, trail } = committed;
    this.#checkDurable(id, { at: revision, term, trail });
  }

  #shadow(id: NodeId): Shadow {
    return must(this.#nodes()[id - 1], "every node has a shadow").shadow;
  }

  /** Log matching, by induction: equal index and term have equal content and an equal predecessor. */
  #record(id: NodeId, entries: readonly Entry[], termBefore: number): void {
    const shadow = this.#shadow(id);
    let previousTerm = termBefore;
    if (entries[0]) cutTrail(shadow, entries[0].index);
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
      let configuration = known?.configuration ?? null;
      if (known === undefined) {
        configuration = configurationIn(entry);
        this.#entries.set(place, { content, previousTerm, timeMs, configuration });
      } else {
        claim(
          known.content === content && known.previousTerm === previousTerm,
          () => `entry ${entry.index} of term ${entry.term} exists twice, differently (node ${id})`,
        );
      }
      if (configuration) shadow.trail.push({ index: entry.index, configuration });
      shadow.terms[entry.index] = entry.term;
      shadow.lastIndex = entry.index;
      previousTerm = entry.term;
    }
  }

  /** Election safety and leader completeness (Raft figure 3). */
  #checkNewLeader(id: NodeId, term: number): void {
    const known = this.#leaders.get(term);
    const shadow = this.#shadow(id);
    const { incarnation, trail } = shadow;
    claim(known === undefined, () => `${known} and ${incarnation} both lead term ${term}`);
    this.#leaders.set(term, incarnation);
    const hasVoted = (voter: Member): boolean =>
      this.#votes.get(`${voter.incarnation} ${term}`) === id;
    const newest = must(trail[trail.length - 1], "a log has a configuration").configuration;
    claim(
      isMajority(newest, hasVoted),
      () => `node ${id} leads term ${term} without the votes of a majority`,
    );
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
    { at, term, configuration }: { at: number; term: number; configuration: Configuration },
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
    const trail = this.#judges(shadow, at, configuration);
    this.#checkDurable(id, { at, term: entryTerm, trail });
    this.#committed.push({ term: entryTerm, inTerm: term, trail });
    const entry = this.#entries.get(entryTerm * indexesMax + at);
    if (entry?.configuration) {
      const newcomer = unheraldedVoter(
        this.#configurationAt(at).configuration,
        entry.configuration,
      );
      claim(newcomer === undefined, () => `node ${newcomer?.id} votes and was never promoted`);
      this.#configurations.push({ index: at, configuration: entry.configuration });
    }
  }

  /**
   * The configurations by which whoever committed `at` may have done so: this node's, and where the
   * leader has ended before it could be looked at, or its disk is full, those that only others have.
   */
  #judges({ trail }: Shadow, at: number, newest: Configuration): Trail {
    const first = Math.max(0, trail.findLastIndex(({ index: place }) => place <= at) - 1);
    const own = first === 0 ? [...trail] : trail.slice(first);
    let last = own[own.length - 1]?.index ?? 0;
    if (newest.revision > last) own.push({ index: newest.revision, configuration: newest });
    last = Math.max(last, newest.revision);
    for (const { shadow } of this.#nodes()) {
      for (const dated of shadow.trail) if (dated.index > Math.max(at, last)) own.push(dated);
      last = own[own.length - 1]?.index ?? 0;
    }
    for (const { life } of this.#nodes()) {
      const current = life?.node.configurations.current;
      if (current === undefined || current.revision <= Math.max(at, last)) continue;
      own.push({ index: current.revision, configuration: current });
      last = current.revision;
    }
    return own;
  }

  /** In force behind a committed index. */
  #configurationAt(at: number): DatedConfiguration {
    return must(inForceAt(this.#configurations, at), "the cluster was formed with one");
  }

  /** The newest committed one, and whatever logs have beyond it, or with `all` do not know to be older. */
  configurationsInForce(all: boolean): Configuration[] {
    const found = [this.#configurationAt(this.lastCommitted).configuration];
    for (const { shadow } of this.#nodes()) {
      for (const { index: at, configuration } of shadow.trail) {
        if (all || at > this.lastCommitted) found.push(configuration);
      }
    }
    return found;
  }

  /**
   * The one that came after `revision`, and is committed whether or not a node has shown that yet: a
   * leader whose disk is full commits what most of the others have on theirs, and may say so, while its
   * own log lacks the entry; and what its own log lacks is not looked at.
   */
  configurationAfter(revision: number): Configuration | null {
    const seen = this.#configurations.find(({ index: at }) => at > revision);
    if (seen) return seen.configuration;
    const { lastCommitted: committed } = this;
    let next: DatedConfiguration | null = null;
    for (const { shadow } of this.#nodes()) {
      for (const dated of shadow.trail) {
        const { index: at } = dated;
        if (at <= committed || at >= (next?.index ?? Infinity)) continue;
        const isHolder = this.#holders(at, must(shadow.terms[at], "it is in the log"));
        if (mayBeCommitted(shadow.trail, at, isHolder)) next = dated;
      }
    }
    return next?.configuration ?? null;
  }

  #checkDurable(id: NodeId, { at, term, trail }: { at: number; term: number; trail: Trail }): void {
    const isHolder = this.#holders(at, term);
    claim(mayBeCommitted(trail, at, isHolder), () => {
      const members = trail[trail.length - 1]?.configuration.members ?? [];
      const holders = members.filter(isHolder).map((member) => member.id);
      return `node ${id} takes entry ${at} for committed; it is durable on ${holders.join(",")} only`;
    });
  }

  /** Whether a member has that entry on its disk. */
  #holders(at: number, term: number): (member: Member) => boolean {
    return ({ incarnation }) => {
      const shadow = this.#everyShadow.get(incarnation);
      if (!shadow) return false;
      // Damage took it from there, after it had been acknowledged: of a minority it may.
      if (shadow.lost.has(placeOf(term, at))) return true;
      return shadow.synced >= at && shadow.terms[at] === term;
    };
  }
}
