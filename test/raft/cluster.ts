/**
 * Cores of a few nodes with everything around them made of arrays: the network is a queue from which
 * a test picks what arrives, a disk is what a crash leaves, and no time passes but by ticks.
 */

import { AssertionError, must } from "../../server/raft/assert.ts";
import { memberOf, type Configuration } from "../../server/raft/configuration.ts";
import { index, nodeId, term, type Index, type NodeId } from "../../server/raft/entry.ts";
import type { Envelope, Message } from "../../server/raft/message.ts";
import { Raft } from "../../server/raft/raft.ts";
import type { ReadState, Ready } from "../../server/raft/ready.ts";
import { Invariants, type Disk } from "./invariants.ts";
import { MemoryLog } from "./memory-log.ts";
import { dataText, entryText, membersText, messageText } from "./message-text.ts";

export interface ClusterLimits {
  readonly appendBytesMax: number;
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  readonly uncommittedBytesMax: number;
  readonly commitWaitTicks: number;
  readonly restHeartbeatTicks: number;
  readonly catchUpTickBytes: number;
}

export const electionTicks = 10;
export const heartbeatTicks = 2;

export const defaultLimits: ClusterLimits = {
  appendBytesMax: 1000,
  inflightMessagesMax: 4,
  inflightBytesMax: 100_000,
  uncommittedBytesMax: 100_000,
  commitWaitTicks: 0,
  restHeartbeatTicks: heartbeatTicks,
  catchUpTickBytes: Infinity,
};

/**
 * A `Ready` whose write is under way. Several are done in order, which is more than a node asks for that
 * waits for each write: its core would see nothing of the world meanwhile.
 */
export interface Write {
  readonly ready: Ready;
  /** All that must not leave before this write, or before an earlier one of a term or vote. */
  readonly messages: readonly Envelope[];
  isWritten: boolean;
}

export interface TestNode {
  readonly id: NodeId;
  /** The id, and a quote for each time its disk was wiped; empty before the first. */
  readonly incarnation: string;
  readonly disk: Disk;
  /** Null while it is down. */
  raft: Raft | null;
  /** Writes wait for the test to complete them. */
  isHeld: boolean;
  writes: Write[];
  /** What the state machine holds, as far as a test looks at it. */
  applied: string[];
  random: () => number;
}

export interface Flight {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly message: Message;
  /** Of the sender, and of whom it takes the receiver for; left out where nobody was wiped. */
  readonly incarnations?: { readonly from: string; readonly to: string };
}

interface ClusterOptions {
  readonly configuration: Configuration;
  readonly limits?: Partial<ClusterLimits>;
  /** By default node n waits for 10 + n ticks, so that the lowest one is the first to stand. */
  readonly random?: (id: NodeId) => () => number;
  /** Off where nobody will read it. */
  readonly isTraced?: boolean;
  /** Whether an assertion of the core, or a message it refuses, fails the test and not only the node. */
  readonly areAssertionsFatal?: boolean;
}

/** A random number for which the core draws this many election ticks. */
export const randomFor = (ticks: number): number => (ticks - electionTicks + 0.5) / electionTicks;

export class Cluster {
  readonly nodes = new Map<NodeId, TestNode>();
  readonly invariants: Invariants;
  readonly limits: ClusterLimits;
  inFlight: Flight[] = [];
  /** One-way links that lose everything, as `from>to`. */
  readonly blocked = new Set<string>();
  /** What happened, a line each, until somebody takes it. */
  trace: string[] = [];
  readonly #disks = new Map<NodeId, Disk>();
  readonly #initial: Configuration;
  readonly #isTraced: boolean;
  readonly #areAssertionsFatal: boolean;
  readonly #random: (id: NodeId) => () => number;
  readonly #shown = new Map<NodeId, string[]>();
  #lives = 0;
  /** Snapshots lost while their sender is still in its drain. */
  #brokenStreams: Flight[] = [];

  constructor(options: ClusterOptions) {
    this.limits = { ...defaultLimits, ...options.limits };
    this.#initial = options.configuration;
    this.#random =
      options.random ?? ((id) => () => randomFor(electionTicks + (id % electionTicks)));
    this.#isTraced = options.isTraced ?? true;
    this.#areAssertionsFatal = options.areAssertionsFatal ?? false;
    this.invariants = new Invariants(this.#disks, options.configuration);
    for (const { id, incarnation } of options.configuration.members) this.add(id, incarnation);
    this.trace = [];
  }

  /** A new machine with an empty disk, member or not. */
  add(id: NodeId, incarnation = ""): TestNode {
    const disk: Disk = {
      hardState: { term: term(0), vote: null },
      log: new MemoryLog(),
      appliedIndex: index(0),
      configuration: this.#initial,
      snapshot: null,
      isRecovering: false,
    };
    const random = this.#random(id);
    const rest = { raft: null, isHeld: false, writes: [], applied: [], random };
    const node: TestNode = { id, incarnation, disk, ...rest };
    this.nodes.set(id, node);
    this.#disks.set(id, disk);
    this.start(node);
    return node;
  }

  /** Everything a node ever wrote is gone, and a new life of it begins. */
  wipe(node: TestNode): TestNode {
    if (node.raft) this.crash(node);
    const incarnation = `${node.incarnation || node.id}'`;
    this.invariants.wiped(node.id, incarnation);
    return this.add(node.id, incarnation);
  }

  node(id: number): TestNode {
    return must(this.nodes.get(nodeId(id)), `there is no node ${id}`);
  }

  /** The core of a node that is up. */
  raft(id: number): Raft {
    return must(this.node(id).raft, `node ${id} is down`);
  }

  start(node: TestNode): void {
    const { disk } = node;
    const { appendBytesMax, catchUpTickBytes, uncommittedBytesMax } = this.limits;
    const { inflightMessagesMax: messagesMax, inflightBytesMax: bytesMax } = this.limits;
    node.raft = new Raft({
      self: node.id,
      incarnation: node.incarnation,
      configuration: disk.configuration,
      hardState: disk.hardState,
      reader: disk.log,
      appliedIndex: disk.appliedIndex,
      random: () => node.random(),
      electionTicks,
      heartbeatTicks,
      commitWaitTicks: this.limits.commitWaitTicks,
      restHeartbeatTicks: this.limits.restHeartbeatTicks,
      appendBytesMax,
      catchUpTickBytes,
      inflight: { messagesMax, bytesMax },
      uncommittedBytesMax,
      latestSnapshot: () => snapshotOf(disk),
      appliedTimeMs: () => this.invariants.timeAt(disk.appliedIndex),
      refused: (_, { type }, claim) => this.#refused(node, type, claim),
      lifeId: ++this.#lives,
      isRecovering: disk.isRecovering,
    });
    this.invariants.started(node.id, node.raft);
    this.#shown.delete(node.id);
    this.#showChanges(node, node.raft);
  }

  /** Whatever was not written is gone. */
  crash(node: TestNode): void {
    node.raft = null;
    node.writes = [];
    this.note(`${node.id} is down`);
  }

  /**
   * The node stops, and its log is found damaged from `from` on. Where the state machine is ahead of
   * what is left, it takes the log's place.
   */
  damage(node: TestNode, from: Index): void {
    if (node.raft) this.crash(node);
    const { disk } = node;
    const { appliedIndex, log } = disk;
    disk.isRecovering = true;
    if (from > appliedIndex) {
      log.lose(from);
      return;
    }
    log.reset(appliedIndex, must(log.term(appliedIndex), "what is applied has a term"));
    const configuration = this.invariants.configurationAt(appliedIndex);
    disk.snapshot = { lastIndex: appliedIndex, configuration };
  }

  note(line: string): void {
    if (this.#isTraced) this.trace.push(line);
  }

  takeTrace(): string[] {
    const lines = this.trace;
    this.trace = [];
    return lines;
  }

  /**
   * Lets something happen to one core, and does what its `Ready` asks for. An assertion of the core
   * that fails ends the node, as it would end the process.
   */
  run(node: TestNode, act: (raft: Raft) => void): void {
    const { raft } = node;
    if (!raft) return;
    try {
      act(raft);
      this.#drain(node, raft);
    } catch (error) {
      if (!(error instanceof AssertionError)) throw error;
      if (this.#areAssertionsFatal) throw error;
      this.note(`${node.id} asserts: ${error.message}`);
      this.crash(node);
    }
    for (const flight of this.#brokenStreams.splice(0)) this.#endStream(flight, false);
  }

  /** Among honest nodes no message contradicts what another one knows. */
  #refused(node: TestNode, type: string, claim: string): void {
    if (this.#areAssertionsFatal) throw new AssertionError(claim);
    this.note(`${node.id} refuses ${type}: ${claim}`);
  }

  /** Hands over messages that are in flight; each receiver takes all of its own in one drain. */
  deliver(flights: readonly Flight[]): void {
    const taken = new Set(flights);
    this.inFlight = this.inFlight.filter((flight) => !taken.has(flight));
    for (const id of new Set(flights.map(({ to }) => to))) {
      const node = this.nodes.get(id);
      const own = flights.filter((flight) => flight.to === id && !isForAnother(flight, node));
      if (node?.raft) {
        this.run(node, (raft) => {
          for (const { from, message, incarnations } of own) {
            raft.step(from, message, incarnations?.from ?? null);
          }
        });
      }
      for (const flight of flights.filter(({ to }) => to === id)) {
        this.#endStream(flight, node?.raft !== null && own.includes(flight));
      }
    }
  }

  lose(flights: readonly Flight[]): void {
    const lost = new Set(flights);
    this.inFlight = this.inFlight.filter((flight) => !lost.has(flight));
    for (const flight of flights) this.#endStream(flight, false);
  }

  /** Writes and syncs what the oldest `Ready` of a held node asks for; says nothing yet. */
  write(node: TestNode): Write | null {
    const { raft } = node;
    const write = node.writes.find(({ isWritten }) => !isWritten);
    if (!raft || !write) return null;
    const { ready } = write;
    this.writeHardState(node, ready);
    if (ready.snapshot) this.#install(node, ready.snapshot);
    if (ready.snapshot) raft.snapshotInstalled(ready.snapshot.lastIndex, ready.snapshot.lastTerm);
    node.disk.log.append(ready.entries);
    this.invariants.appended(node.id, ready.entries);
    const last = ready.entries[ready.entries.length - 1];
    if (last) raft.persisted(last.index, last.term);
    write.isWritten = true;
    return write;
  }

  writeHardState(node: TestNode, ready: Ready): void {
    if (!ready.hardState) return;
    const before = node.disk.hardState;
    node.disk.hardState = ready.hardState;
    this.invariants.written(node.id, before);
  }

  /** Writes the oldest `Ready` of a held node and goes on to what may follow it without a write. */
  persist(node: TestNode): void {
    this.run(node, (raft) => {
      do this.#complete(node, raft);
      while (node.writes[0] && !touchesDisk(node.writes[0].ready));
    });
  }

  #complete(node: TestNode, raft: Raft): void {
    const write = node.writes[0];
    if (!write) return;
    if (!write.isWritten) this.write(node);
    node.writes.shift();
    this.#showWrite(node.id, write.ready);
    this.invariants.observed(node.id, raft);
    this.#showChanges(node, raft);
    this.#send(node.id, write.messages);
    this.#apply(node, raft);
    for (const read of write.ready.reads) this.#answer(node.id, read);
  }

  #drain(node: TestNode, raft: Raft): void {
    for (;;) {
      const ready = raft.ready();
      this.invariants.observed(node.id, raft);
      this.#showChanges(node, raft);
      if (!ready) return;
      this.invariants.handedOut(node.id, raft, ready);
      const isTermWaiting = node.writes.some((write) => write.ready.hardState && !write.isWritten);
      if (!isTermWaiting) this.#send(node.id, ready.messages);
      const ahead = isTermWaiting ? ready.messages : [];
      const messages = [...ahead, ...ready.messagesAfterSync];
      node.writes.push({ ready, messages, isWritten: false });
      const isWaiting = node.isHeld && (node.writes.length > 1 || touchesDisk(ready));
      if (!isWaiting) this.#complete(node, raft);
    }
  }

  #send(from: NodeId, envelopes: readonly Envelope[]): void {
    const { raft, disk } = this.node(from);
    if (raft) disk.isRecovering = raft.recovery !== null;
    for (const { to, message } of envelopes) {
      this.invariants.sent(from, to, message);
      const flight = { from, to, message, incarnations: this.#incarnations(from, to, message) };
      const isLost = this.blocked.has(`${from}>${to}`);
      if (this.#isTraced) this.note(`${flightText(flight)}${isLost ? " (lost)" : ""}`);
      if (isLost) this.#brokenStreams.push(flight);
      else this.inFlight.push(flight);
    }
  }

  /**
   * Somebody speaks to the directory that his configuration names, and answers the one that has spoken
   * to him, whatever he knows of it.
   */
  #incarnations(from: NodeId, to: NodeId, { type }: Message): { from: string; to: string } {
    const sender = must(this.nodes.get(from), "a sender");
    const isAnswer = type.endsWith("Response") || /^append(?:Accepted|Rejected)$/.test(type);
    const known = sender.raft && memberOf(sender.raft.configuration, to)?.incarnation;
    const present = this.nodes.get(to)?.incarnation ?? "";
    return { from: sender.incarnation, to: isAnswer ? present : (known ?? present) };
  }

  /** A snapshot travels as a stream, and the leader is told how it ended. */
  #endStream({ from, to, message }: Flight, arrived: boolean): void {
    const sender = this.nodes.get(from);
    if (message.type !== "snapshot" || !sender?.raft) return;
    this.note(`${from}: the snapshot for ${to} ${arrived ? "arrived" : "was lost"}`);
    this.run(sender, (raft) => {
      raft.snapshotFinished(to, arrived);
    });
  }

  #install(node: TestNode, snapshot: NonNullable<Ready["snapshot"]>): void {
    const { lastIndex, lastTerm, configuration } = snapshot;
    node.disk.log.reset(lastIndex, lastTerm);
    node.disk.appliedIndex = lastIndex;
    node.disk.configuration = configuration;
    node.disk.snapshot = { lastIndex, configuration };
    node.applied = [`…${lastIndex}`];
  }

  #apply(node: TestNode, raft: Raft): void {
    const entries = raft.toApply(Infinity);
    const last = entries[entries.length - 1];
    if (!last) return;
    this.invariants.applied(node.id, entries);
    for (const { kind, data } of entries) {
      if (kind === "command") node.applied.push(dataText(data));
    }
    node.disk.appliedIndex = last.index;
    node.disk.configuration = this.invariants.configurationAt(last.index);
    raft.applied(last.index);
  }

  #answer(id: NodeId, read: ReadState): void {
    this.invariants.answered(id, read);
    this.note(`${id} answers request ${read.requestId} at index ${read.readIndex}`);
  }

  #showWrite(id: NodeId, { hardState, snapshot, entries }: Ready): void {
    if (!this.#isTraced) return;
    const parts: string[] = [];
    if (hardState) parts.push(`term=${hardState.term} vote=${hardState.vote ?? "none"}`);
    if (snapshot) parts.push(`snapshot=${snapshot.lastIndex}/${snapshot.lastTerm}`);
    parts.push(...entries.map(entryText));
    if (parts.length > 0) this.note(`${id} writes ${parts.join(" ")}`);
  }

  /** The parts of a node's state that are not what they were when last shown. */
  #showChanges(node: TestNode, raft: Raft): void {
    if (!this.#isTraced) return;
    const state = stateText(raft);
    const before = this.#shown.get(node.id);
    this.#shown.set(node.id, state);
    const changed = before ? state.filter((part, i) => part !== before[i]) : state;
    if (changed.length > 0) this.note(`${node.id}: ${changed.join(" ")}`);
  }
}

/** Meant for an earlier life of the receiver: its connection broke with that life. */
const isForAnother = ({ incarnations }: Flight, node: TestNode | undefined): boolean =>
  incarnations !== undefined && incarnations.to !== node?.incarnation;

const touchesDisk = ({ hardState, snapshot, entries }: Ready): boolean =>
  hardState !== null || snapshot !== null || entries.length > 0;

export const flightText = ({ from, to, message }: Flight): string =>
  `${from}->${to} ${messageText(message)}`;

export function stateText(raft: Raft): string[] {
  return [
    roleText(raft),
    `term=${raft.term}`,
    `vote=${raft.vote ?? "none"}`,
    `leader=${raft.leaderId ?? "none"}`,
    `commit=${raft.log.commitIndex}`,
    `members=${membersText(raft.configuration)}`,
  ];
}

function roleText({ recovery, role, isLearner }: Raft): string {
  if (recovery) return "recovering";
  return isLearner && role.kind === "follower" ? "learner" : role.kind;
}

function snapshotOf({ snapshot, log }: Disk): ReturnType<Raft["options"]["latestSnapshot"]> {
  if (!snapshot) return null;
  const { lastIndex, configuration } = snapshot;
  const lastTerm = must(log.term(lastIndex), "a snapshot ends where the log still is");
  return { lastIndex, lastTerm, configuration };
}
