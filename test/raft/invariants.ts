/**
 * What must hold of a cluster at every moment, told by an observer who sees all nodes at once: the
 * five properties of Raft figure 3, and the promises about what is on disk before it is said.
 */

import { must } from "../../server/raft/assert.ts";
import {
  decodeConfiguration,
  memberOf,
  type Configuration,
} from "../../server/raft/configuration.ts";
import { index, type Entry, type HardState, type Index } from "../../server/raft/entry.ts";
import type { NodeId } from "../../server/raft/entry.ts";
import type { Message } from "../../server/raft/message.ts";
import { majority } from "../../server/raft/quorum.ts";
import type { Raft } from "../../server/raft/raft.ts";
import type { ReadState, Ready } from "../../server/raft/ready.ts";
import type { MemoryLog } from "./memory-log.ts";
import { entryText, membersText } from "./message-text.ts";

/** What a crash leaves. */
export interface Disk {
  hardState: HardState;
  readonly log: MemoryLog;
  /** What the state machine holds durably, and the configuration in force there. */
  appliedIndex: Index;
  configuration: Configuration;
  snapshot: { lastIndex: Index; configuration: Configuration } | null;
  /** Its log has lost entries that it had acknowledged. */
  isRecovering: boolean;
}

export class InvariantError extends Error {
  override name = "InvariantError";
}

function claim(condition: boolean, text: () => string): asserts condition {
  if (!condition) throw new InvariantError(text());
}

interface Committed {
  readonly term: number;
  /** The term of the node that was first seen to have it committed. */
  readonly inTerm: number;
  readonly text: string;
  readonly timeMs: number;
  readonly configuration: Configuration;
}

export class Invariants {
  /** Set while a test sends what no core would, so that nothing can be expected of the answers. */
  areSuspended = false;
  readonly #disks: ReadonlyMap<NodeId, Disk>;
  /** By index; the place before the first entry is there too. */
  readonly #committed: Committed[];
  readonly #leaders = new Map<number, NodeId>();
  readonly #votes = new Map<string, NodeId>();
  /** Of every entry ever written, what stood before it and what it held. */
  readonly #entries = new Map<string, string>();
  readonly #commits = new Map<NodeId, Index>();
  readonly #terms = new Map<NodeId, number>();
  /** The incarnations of those that were wiped. */
  readonly #lives = new Map<NodeId, string>();
  /** By asker and request: the newest commit index anywhere when it was asked. */
  readonly #readFloors = new Map<string, number>();

  constructor(disks: ReadonlyMap<NodeId, Disk>, initial: Configuration) {
    this.#disks = disks;
    this.#committed = [{ term: 0, inTerm: 0, text: "", timeMs: 0, configuration: initial }];
  }

  get lastCommitted(): Index {
    return index(this.#committed.length - 1);
  }

  configurationAt(at: Index): Configuration {
    return must(this.#committed[at], "the index is committed").configuration;
  }

  timeAt(at: Index): number {
    return must(this.#committed[at], "the index is committed").timeMs;
  }

  /** A script laid this log down; its first `applied` entries are committed. */
  planted(log: MemoryLog, applied: Index): void {
    if (log.lastIndex < log.firstIndex) return;
    const entries = log.entries(log.firstIndex, log.lastIndex, Infinity);
    this.#checkLogMatching(entries, log.term(index(log.firstIndex - 1)) ?? 0);
    for (const entry of entries)
      if (entry.index <= applied) this.#checkCommitted(entry, entry.term);
  }

  started(id: NodeId, raft: Raft): void {
    this.#commits.set(id, raft.log.commitIndex);
    const disk = must(this.#disks.get(id), "a node has a disk");
    claim(raft.term === disk.hardState.term, () => `${id} starts with the term on its disk`);
    this.#terms.set(id, raft.term);
    this.#checkConfiguration(id, raft);
  }

  /** What its earlier life promised binds nobody: it is another node now. */
  wiped(id: NodeId, incarnation: string): void {
    this.#commits.delete(id);
    this.#terms.delete(id);
    this.#lives.set(id, incarnation);
    for (const vote of this.#votes.keys()) if (vote.startsWith(`${id}.`)) this.#votes.delete(vote);
  }

  /** After each drain, before anything of it is written. */
  observed(id: NodeId, raft: Raft): void {
    if (this.areSuspended) return;
    this.#checkTerm(id, raft);
    if (raft.role.kind === "leader") this.#checkLeader(id, raft);
    this.#checkCommits(id, raft);
  }

  handedOut(id: NodeId, raft: Raft, ready: Ready): void {
    if (this.areSuspended) return;
    const first = ready.entries[0];
    if (first) this.#checkLogTime(id, raft, first);
    if (first || ready.snapshot) this.#checkConfiguration(id, raft);
  }

  /** Whatever leaves is backed by the disk of the sender as it is now. */
  sent(from: NodeId, to: NodeId, message: Message): void {
    if (this.areSuspended) return;
    const { hardState, log } = must(this.#disks.get(from), "a node has a disk");
    const isPromise =
      message.type === "preVote" || (message.type === "preVoteResponse" && message.granted);
    claim(
      isPromise || hardState.term >= message.term,
      () => `${from} shows a term not on its disk`,
    );
    if (message.type === "append") this.#checkLogMatching(message.entries, message.previousTerm);
    const isVote = message.type === "vote" || message.type === "preVote";
    const isGrant =
      (message.type === "voteResponse" || message.type === "preVoteResponse") && message.granted;
    claim(
      !this.#isRecovering(from) || !(isVote || isGrant),
      () => `${from} takes part in an election without its log`,
    );
    if (message.type === "vote") this.#checkVote(from, from, message.term);
    if (message.type === "voteResponse" && message.granted) {
      this.#checkVote(from, to, message.term);
    }
    if (message.type === "appendAccepted" && message.term === hardState.term) {
      claim(message.matchIndex <= log.lastIndex, () => `${from} acknowledges what is not on disk`);
    }
  }

  appended(id: NodeId, entries: readonly Entry[]): void {
    if (this.areSuspended) return;
    const first = entries[0];
    if (!first) return;
    const { log } = must(this.#disks.get(id), "a node has a disk");
    const before = log.term(index(first.index - 1));
    this.#checkLogMatching(entries, must(before, "the log reaches down to a new entry"));
  }

  written(id: NodeId, before: HardState): void {
    if (this.areSuspended) return;
    const { hardState } = must(this.#disks.get(id), "a node has a disk");
    claim(hardState.term >= before.term, () => `${id} writes an older term`);
    const isSecond = hardState.term === before.term && before.vote !== null;
    claim(!isSecond || hardState.vote === before.vote, () => `${id} writes a second vote`);
  }

  applied(id: NodeId, entries: readonly Entry[]): void {
    if (this.areSuspended) return;
    const { log } = must(this.#disks.get(id), "a node has a disk");
    for (const entry of entries) {
      this.#checkSame(entry, `${id} applies`);
      claim(log.term(entry.index) === entry.term, () => `${id} applies what is not on its disk`);
    }
  }

  asked(id: NodeId, requestId: number): void {
    this.#readFloors.set(`${id}.${requestId}`, this.lastCommitted);
  }

  /** Thesis §6.4: a read sees all that was committed anywhere when it was asked. */
  answered(id: NodeId, read: ReadState): void {
    if (this.areSuspended) return;
    const floor = this.#readFloors.get(`${id}.${read.requestId}`);
    claim(floor !== undefined, () => `${id} gets an answer it did not ask for`);
    claim(read.readIndex >= floor, () => `${id} reads at ${read.readIndex}, before ${floor}`);
    claim(read.readIndex <= this.lastCommitted, () => `${id} reads what is not committed`);
  }

  #isRecovering(id: NodeId): boolean {
    return must(this.#disks.get(id), "a node has a disk").isRecovering;
  }

  #checkTerm(id: NodeId, raft: Raft): void {
    claim(raft.term >= (this.#terms.get(id) ?? 0), () => `the term of ${id} goes back`);
    this.#terms.set(id, raft.term);
  }

  /** Election safety and leader completeness. */
  #checkLeader(id: NodeId, raft: Raft): void {
    // Until the term is on its disk nobody has heard of it, and a crash makes it undone.
    if (must(this.#disks.get(id), "a node has a disk").hardState.term < raft.term) return;
    const known = this.#leaders.get(raft.term);
    if (known === id) return;
    claim(known === undefined, () => `${known} and ${id} both lead term ${raft.term}`);
    this.#leaders.set(raft.term, id);
    // A leader that was elected late, of an older term, is not bound by what later terms committed.
    const { log } = raft;
    for (let at: number = log.firstIndex; at <= this.lastCommitted; at++) {
      const committed = must(this.#committed[at], "the index is committed");
      if (committed.inTerm >= raft.term) break;
      claim(
        log.term(index(at)) === committed.term,
        () => `${id} leads without the committed entry ${at}`,
      );
    }
  }

  #checkCommits(id: NodeId, raft: Raft): void {
    const before = this.#commits.get(id) ?? 0;
    const { commitIndex, firstIndex } = raft.log;
    claim(commitIndex >= before, () => `the commit index of ${id} goes back`);
    if (commitIndex === before) return;
    this.#commits.set(id, commitIndex);
    for (let at = Math.max(before + 1, firstIndex); at <= commitIndex; at++) {
      const isNew = at > this.lastCommitted;
      const entry = must(raft.log.entries(index(at), index(at), 0)[0], "one is asked for");
      this.#checkCommitted(entry, raft.term);
      if (isNew) this.#checkDurable(id, raft, index(at));
    }
    claim(commitIndex <= this.lastCommitted, () => `${id} commits what nobody has seen`);
    const base = raft.log.term(commitIndex);
    claim(base === this.#committed[commitIndex]?.term, () => `${id} commits another entry`);
  }

  /** What is new to be committed is on the disks of a majority: nobody counted too early. */
  #checkDurable(id: NodeId, raft: Raft, at: Index): void {
    const expected = raft.log.term(at);
    const holders = raft.voters.filter((voter) => {
      const { incarnation } = must(memberOf(raft.configuration, voter), "a voter is a member");
      // What it acknowledged before it was wiped cannot be looked up any more.
      if (incarnation !== (this.#lives.get(voter) ?? incarnation)) return true;
      const disk = this.#disks.get(voter);
      if (disk === undefined) return false;
      const { log } = disk;
      // A damaged disk's late acknowledgement counts: until it is whole again its node has no vote.
      return disk.isRecovering || log.firstIndex > at || log.term(at) === expected;
    });
    claim(
      holders.length >= majority(raft.voters.length),
      () => `${id} commits ${at}, which is on the disks of ${holders.join(",")} only`,
    );
  }

  #checkCommitted(entry: Entry, inTerm: number): void {
    if (entry.index <= this.lastCommitted) {
      this.#checkSame(entry, "somebody commits");
      return;
    }
    claim(entry.index === this.#committed.length, () => `a gap before committed ${entry.index}`);
    const current = this.configurationAt(this.lastCommitted);
    const next = entry.kind === "configuration" ? decodeConfiguration(entry.data) : current;
    const text = entryText(entry);
    const { term, timeMs } = entry;
    this.#committed.push({ term, inTerm, text, timeMs, configuration: next });
  }

  /** State machine safety: nothing takes the place of a committed entry. */
  #checkSame(entry: Entry, who: string): void {
    const known = this.#committed[entry.index]?.text;
    const text = entryText(entry);
    claim(known === text, () => `${who} ${text} where ${known} is committed`);
  }

  /** By induction: equal index and term have equal content and an equal predecessor. */
  #checkLogMatching(entries: readonly Entry[], termBefore: number): void {
    let previous = termBefore;
    for (const entry of entries) {
      claim(entry.term >= previous, () => `the terms of a log go back at ${entry.index}`);
      const place = `${entry.index}/${entry.term}`;
      const content = `${entryText(entry)} behind term ${previous} at ${entry.timeMs} ms`;
      const known = this.#entries.get(place);
      claim(known === undefined || known === content, () => `${place}: ${known}, ${content}`);
      this.#entries.set(place, content);
      previous = entry.term;
    }
  }

  /** One vote a term, written down before it is given, crashes or not. */
  #checkVote(voter: NodeId, candidate: NodeId, inTerm: number): void {
    const { hardState } = must(this.#disks.get(voter), "a node has a disk");
    const isWritten = hardState.term === inTerm && hardState.vote === candidate;
    // A later term on the disk says that the vote was overtaken in the same write.
    claim(isWritten || hardState.term > inTerm, () => `${voter} votes before it is on disk`);
    const known = this.#votes.get(`${voter}.${inTerm}`);
    claim(known === undefined || known === candidate, () => `${voter} votes twice in ${inTerm}`);
    this.#votes.set(`${voter}.${inTerm}`, candidate);
  }

  /** The leader's clock may jump; the log's time does not go back. */
  #checkLogTime(id: NodeId, raft: Raft, first: Entry): void {
    const { firstIndex, lastIndex } = raft.log;
    const from = index(Math.max(firstIndex, first.index - 1));
    let before = 0;
    for (const { index: at, timeMs } of raft.log.entries(from, lastIndex, Infinity)) {
      claim(timeMs >= before, () => `the log time of ${id} goes back at ${at}`);
      before = timeMs;
    }
  }

  /** The member list is the newest in the log, or the committed one the log begins behind. */
  #checkConfiguration(id: NodeId, raft: Raft): void {
    const { firstIndex, lastIndex } = raft.log;
    const entries = lastIndex < firstIndex ? [] : raft.log.entries(firstIndex, lastIndex, Infinity);
    const newest = entries.findLast(({ kind }) => kind === "configuration");
    const expected = newest
      ? decodeConfiguration(newest.data)
      : this.configurationAt(index(firstIndex - 1));
    const [has, should] = [membersText(raft.configuration), membersText(expected)];
    claim(has === should, () => `${id} goes by the members ${has} instead of ${should}`);
  }
}
