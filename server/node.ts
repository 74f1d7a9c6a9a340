/**
 * The node: the loop between the core and the world. Messages, client requests and ticks gather in
 * an inbox; one drain steps them all, writes and syncs once, sends, applies and answers.
 */

import { Applier } from "./applier.ts";
import { ClusterRequests } from "./cluster-requests.ts";
import { warnsOfContradictions } from "./contradictions.ts";
import { Currency } from "./currency.ts";
import { DiskWatch } from "./disk-watch.ts";
import type { PeerMessage, Room } from "./peer-message.ts";
import { Expiry } from "./expiry.ts";
import type { Limits } from "./limits.ts";
import { fittestSuccessor } from "./hand-over.ts";
import { Inbox } from "./inbox.ts";
import { isSameLeadership, leadershipOf, type Leadership } from "./leadership.ts";
import { LogTime } from "./log-time.ts";
import { raftLimits } from "./raft-limits.ts";
import { LossNote } from "./loss-note.ts";
import type { Newcomer } from "./member-change.ts";
import { Membership, type ClusterAnswer, type ClusterRequest } from "./membership.ts";
import { PendingReads, type ReadAnswer } from "./pending-reads.ts";
import { PendingWrites, type WriteAnswer } from "./pending-writes.ts";
import type {
  Clock,
  DiskSpace,
  HardStateStore,
  LogStore,
  Mending,
  MendingStore,
  Network,
  Random,
  SnapshotStore,
} from "./ports.ts";
import { must } from "./raft/assert.ts";
import type { Configuration, Configurations } from "./raft/configuration.ts";
import { entryBytes, type Entry, type Index, type NodeId } from "./raft/entry.ts";
import type { Envelope } from "./raft/message.ts";
import { Raft } from "./raft/raft.ts";
import type { Ready } from "./raft/ready.ts";
import { readCommandHeader } from "./state-machine/command-header.ts";
import type { CommandResult } from "./state-machine/command.ts";
import type { StateMachine } from "./state-machine/port.ts";
import { Ticker } from "./ticker.ts";
import { Upkeep } from "./upkeep.ts";
import { WriteRouter } from "./write-router.ts";

export interface NodeOptions {
  readonly self: NodeId;
  /** This life of this node's directory. */
  readonly incarnation: string;
  /** The members the cluster was formed with; a later configuration in the state or log wins. */
  readonly formed: Configuration;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly random: Random;
  readonly network: Network;
  readonly log: LogStore;
  readonly hardState: HardStateStore;
  readonly machine: StateMachine;
  readonly space: DiskSpace;
  readonly snapshots: SnapshotStore;
  readonly mending: MendingStore;
  /** The environment failed or a claim was false. The process has to end; nothing more is answered. */
  readonly fatal: (error: unknown) => void;
  /** Role, term or leader changed. */
  readonly leadershipChanged: (now: Leadership) => void;
  /** Members have come, gone or changed, or what was appended is committed. */
  readonly configurationChanged: (now: Configurations) => void;
  /** A sentence for the log; what is said of a peer comes once, however often its reason does. */
  readonly warn: (text: string) => void;
}

/** Nobody gets this far ahead by elections; a term from nowhere could use up all that are left. */
const termLeapMax = 2 ** 32;

export class Node {
  readonly #options: NodeOptions;
  readonly #raft: Raft;
  readonly #writes: PendingWrites;
  readonly #reads: PendingReads;
  readonly #disk: DiskWatch;
  readonly #applier: Applier;
  readonly #upkeep: Upkeep;
  readonly #lossNote: LossNote;
  readonly #membership: Membership;
  readonly #clusterRequests: ClusterRequests;
  readonly #inbox: Inbox;
  readonly #router: WriteRouter;
  readonly #logTime: LogTime;
  readonly #expiry: Expiry;
  readonly #currency: Currency;
  #leadership: Leadership;
  #configurations: Configurations;
  #isScheduled = false;
  #isStopped = false;
  #isWindingDown = false;
  /** Where the log ended when this life began: the entries up to here may have been acknowledged. */
  readonly #lastIndexBefore: Index;
  readonly #ticker: Ticker;

  constructor(options: NodeOptions) {
    const { limits, machine, random } = options;
    this.#options = options;
    this.#inbox = new Inbox(limits.inboxMessagesMax);
    this.#ticker = new Ticker({
      ...{ clock: options.clock, tickMs: limits.tickMs },
      tick: (count) => this.#tick(count),
      restTicks: () => this.#restTicks,
    });
    this.#upkeep = new Upkeep({
      ...options,
      raft: () => this.#raft,
      wantCheckpoint: () => this.#applier.wantCheckpoint(),
      answeredMs: (id) => this.#currency.answeredMs(id),
    });
    this.#membership = new Membership({
      ...options,
      raft: () => this.#raft,
      answeredMs: (id) => this.#currency.answeredMs(id),
      handOver: () => this.handOver(),
    });
    this.#clusterRequests = new ClusterRequests({
      ...options,
      raft: () => this.#raft,
      membership: this.#membership,
      firstRequestId: Math.floor(random.fraction() * 2 ** 31) * 2 ** 20,
    });
    this.#raft = new Raft({
      self: options.self,
      incarnation: options.incarnation,
      configuration: machine.applied.configuration ?? options.formed,
      hardState: options.hardState.current,
      reader: options.log,
      appliedIndex: machine.applied.appliedIndex,
      random: () => random.fraction(),
      ...raftLimits(limits),
      latestSnapshot: (to) => this.#upkeep.latestSnapshot(to),
      appliedTimeMs: () => machine.applied.appliedTimeMs,
      refused: warnsOfContradictions(options.warn),
      lifeId: Math.floor(random.fraction() * 2 ** 48),
      isRecovering: options.mending.current.log !== null,
    });
    this.#writes = new PendingWrites({
      self: options.self,
      session: Math.floor(random.fraction() * 2 ** 32),
      writesMax: limits.pendingWritesMax,
      bytesMax: limits.pendingWriteBytesMax,
    });
    this.#reads = new PendingReads({
      readsMax: limits.pendingReadsMax,
      firstRequestId: Math.floor(random.fraction() * 2 ** 31) * 2 ** 20,
    });
    this.#currency = new Currency(() => this.#nowMs());
    this.#disk = new DiskWatch(options);
    const { firstIndex, lastIndex } = this.#raft.log;
    const [newest] = lastIndex < firstIndex ? [] : options.log.entries(lastIndex, lastIndex, 1);
    this.#logTime = new LogTime(options.clock, newest?.timeMs ?? machine.applied.appliedTimeMs);
    this.#expiry = new Expiry({
      machine,
      raft: this.#raft,
      writes: this.#writes,
      logTime: this.#logTime,
      nowMs: () => this.#nowMs(),
      added: () => this.#schedule(),
    });
    this.#router = new WriteRouter({
      ...options,
      raft: this.#raft,
      writes: this.#writes,
      disk: this.#disk,
      logTime: this.#logTime,
    });
    this.#lossNote = new LossNote({ ...options, raft: this.#raft, disk: this.#disk });
    this.#applier = new Applier({
      machine,
      limits,
      raft: this.#raft,
      disk: this.#disk,
      answer: (entries, results) => this.#answer(entries, results),
      synced: (durable) => this.#upkeep.synced(durable),
    });
    this.#leadership = leadershipOf(this.#raft);
    this.#configurations = this.#raft.configurations.newest;
    this.#lastIndexBefore = this.#raft.log.lastIndex;
  }

  start(): void {
    this.#ticker.start();
    this.#schedule();
  }

  /** A message of an authenticated peer, and of which life of its directory it is. */
  receive(from: NodeId, message: PeerMessage, incarnation: string): void {
    if (this.#isStopped) {
      if (message.type === "forward") this.#router.refuse(from, "notLeader", message.commands);
      return;
    }
    if (this.#inbox.add({ from, message, incarnation })) this.#schedule();
  }

  /** The connection to `peer` broke. */
  unreachable(peer: NodeId): void {
    this.#raft.unreachable(peer);
    this.#schedule();
  }

  /** Sends a command through the log. `done` is called exactly once, never from within this call. */
  write(command: Uint8Array, done: (answer: WriteAnswer) => void): void {
    const refuse = (error: "stopping" | "overloaded"): void =>
      this.#options.clock.soon(() => done({ ok: false, error, outcome: "not_applied" }));
    if (this.#isStopped || this.#isWindingDown) refuse("stopping");
    else if (this.#writes.add(command, this.#nowMs(), done)) this.#schedule();
    else refuse("overloaded");
  }

  /** Calls `done` once, at a moment when the state machine reflects every write acknowledged so far. */
  read(done: (answer: ReadAnswer) => void): void {
    const refuse = (error: "stopping" | "overloaded"): void =>
      this.#options.clock.soon(() => done({ ok: false, error }));
    if (this.#isStopped || this.#isWindingDown) refuse("stopping");
    else if (this.#reads.add(this.#nowMs(), done)) this.#schedule();
    else refuse("overloaded");
  }

  /** Asks the leader for a change of the cluster. `done` is called once, never from within this call. */
  changeCluster(request: ClusterRequest, done: (answer: ClusterAnswer) => void): void {
    this.#clusterRequests.ask(request, done);
    if (this.#isStopped) this.#options.clock.soon(() => this.#clusterRequests.close());
  }

  /** Gives the log up as far as nobody needs it; `done` is called later. */
  giveUpLog(through: Index, done: () => void): void {
    this.#upkeep.giveUpLog(through, done);
  }

  /** A directory asked to be let in that the configuration does not name. */
  knocked(newcomer: Newcomer): void {
    this.#membership.knocked(newcomer);
  }

  get machine(): StateMachine {
    return this.#options.machine;
  }

  get leadership(): Leadership {
    return this.#leadership;
  }

  get configuration(): Configuration {
    return this.#raft.configuration;
  }

  get configurations(): Configurations {
    return this.#configurations;
  }

  get commitIndex(): Index {
    return this.#raft.log.commitIndex;
  }

  get firstLogIndex(): Index {
    return this.#raft.log.firstIndex;
  }

  get lastLogIndex(): Index {
    return this.#raft.log.lastIndex;
  }

  /** What lies beyond is in memory only, or on its way to the disk. */
  get stableLogIndex(): Index {
    return this.#raft.log.stableIndex;
  }

  /** This node's own disk. */
  get disk(): { readonly freeBytes: number; readonly room: Room } {
    return { freeBytes: this.#disk.freeBytes, room: this.#disk.own };
  }

  /** How far the state on disk stands for the log: it may be compacted up to here. */
  get snapshotIndex(): Index {
    return this.#upkeep.syncedIndex;
  }

  /** On the leader: how far `peer`'s log is known to equal ours. */
  matchIndex(peer: NodeId): Index | null {
    const { role } = this.#raft;
    return role.kind === "leader" ? (role.progress.get(peer)?.match ?? null) : null;
  }

  /** Milliseconds since this node last knew that its applied state was the newest; null: never. */
  get ageMs(): number | null {
    return this.#currency.ageMs;
  }

  /**
   * The log still holds entries of an earlier life that the state has not applied. They may have been
   * acknowledged, and only a leader can tell, so that what the state lacks may be there all the same.
   */
  get mayLackAcknowledged(): boolean {
    const { appliedIndex, lastIndex } = this.#raft.log;
    return appliedIndex < Math.min(this.#lastIndexBefore, lastIndex);
  }

  /**
   * Leader: hands over to the voter that has most of the log. Returns whom it asked, null where
   * there is nothing to hand over or nobody to take it.
   */
  handOver(): NodeId | null {
    const best = fittestSuccessor(this.#raft, {
      isConnected: (id) => this.#options.network.isConnected(id),
      answeredMs: (id) => this.#currency.answeredMs(id) ?? 0,
      // Who has not answered for two heartbeats may be frozen, however complete its log is.
      freshMs: this.#nowMs() - 2 * this.#options.limits.restHeartbeatMs,
    });
    if (best === null || !this.#raft.transferLeadership(best)) return null;
    this.#schedule();
    return best;
  }

  /** What is damaged here and not yet whole again; null where nothing is. */
  get mending(): Mending | null {
    const { current } = this.#options.mending;
    return current.log === null && current.state === null ? null : current;
  }

  /** From here on new requests are refused, and surely change nothing; those under way go on. */
  windDown(): void {
    this.#isWindingDown = true;
  }

  /** Requests that have no answer yet. */
  get pendingWriteCount(): number {
    return this.#writes.count;
  }

  /** Ends the loop and answers what is pending. Nothing is written afterwards. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#ticker.cancel();
    this.#writes.close();
    this.#reads.close();
    this.#clusterRequests.close();
    this.#upkeep.close();
  }

  // ------------------------------------------------------------------ the loop

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isStopped) return;
    this.#isScheduled = true;
    this.#options.clock.soon(() => this.#drain());
  }

  /** How many ticks nobody needs, this node nor others. */
  get #restTicks(): number {
    const isNeeded =
      !this.#reads.isEmpty || this.#writes.count > 0 || !this.#clusterRequests.isEmpty;
    return isNeeded || !this.#upkeep.isAtRest ? 1 : this.#raft.restTicks;
  }

  #tick(count: number): void {
    const { limits } = this.#options;
    const times = {
      nowMs: this.#nowMs(),
      leaderlessMs: limits.leaderlessHoldMs,
      deadlineMs: limits.requestDeadlineMs,
      hasLeader: this.#raft.leaderId !== null,
    };
    // What has arrived is older than this tick: a node that stalled hears its leader first.
    this.#guarded(() => {
      this.#pass(count - 1);
      this.#stepInbox();
      this.#raft.tick();
      this.#router.tick();
      this.#writes.expire(times);
      this.#reads.tick(times);
      if (this.#disk.tick(times.nowMs)) this.#lookAfterDisk();
      this.#applier.tick(times.nowMs);
      for (const id of this.#reads.unanswered(times.nowMs, 2 * limits.heartbeatMs)) {
        this.#raft.readIndex(id);
      }
      // Reads or not: a local one says how old its answer may be. Heartbeats may come a little early.
      const askMs = 2 * limits.heartbeatMs - limits.tickMs;
      if (this.#raft.leaderId !== null && this.#currency.isDue(askMs)) {
        this.#askFor(this.#reads.nextId());
      }
      this.#upkeep.tick(() => this.#handleReady());
      if (!this.#isWindingDown) this.#expiry.tick();
      this.#clusterRequests.tick();
      this.#membership.tick();
    });
    // To come back for it costs an idle node as much as all that it does. Reads that wait may find their
    // answers in what has arrived and is taken in only before the next turn.
    if (!this.#reads.isEmpty) this.#schedule();
    else if (!this.#isScheduled) this.#drain();
  }

  /** So many ticks of a rest, in which there was nothing to do. */
  #pass(ticks: number): void {
    for (let tick = 0; tick < ticks; tick++) this.#raft.tick();
  }

  #drain(): void {
    this.#isScheduled = false;
    // What a leader says of its own accord and a tick take one turn.
    const isAwaited = !this.#reads.isEmpty || this.#writes.count > 0;
    if (!isAwaited && this.#raft.role.kind !== "leader" && this.#ticker.tickEarly()) return;
    this.#guarded(() => {
      this.#pass(this.#ticker.takePassed());
      this.#stepInbox();
      this.#router.route();
      if (this.#raft.leaderId !== null) this.#askForReads();
      this.#handleReady();
      // First the answer: who has asked to be removed is cut off by what follows.
      this.#clusterRequests.settle();
      this.#noteConfigurations();
      this.#noteLeadership();
      this.#apply();
      this.#lossNote.update();
      if (this.#restTicks === 1) this.#ticker.wake();
    });
  }

  #askForReads(): void {
    const nowMs = this.#nowMs();
    if (this.#reads.isDue(nowMs)) this.#askFor(this.#reads.ask(nowMs));
  }

  #askFor(requestId: number): void {
    this.#currency.asked(requestId);
    this.#raft.readIndex(requestId);
  }

  /** An error in the loop is the environment's or a bug: either way nothing more may be promised. */
  #guarded(run: () => void): void {
    if (this.#isStopped) return;
    try {
      run();
    } catch (error) {
      this.#isStopped = true;
      this.#ticker.cancel();
      this.#options.fatal(error);
    }
  }

  #stepInbox(): void {
    for (const { from, message, incarnation } of this.#inbox.takeAll()) {
      if ("term" in message && message.term > this.#raft.term + termLeapMax) continue;
      switch (message.type) {
        case "forward":
          // Who is none of us any more would never hear what became of them.
          if (this.#raft.isNamed(from, incarnation)) this.#router.take(from, message.commands);
          else this.#router.refuse(from, "notLeader", message.commands);
          break;
        case "diskReport":
          if (!this.#raft.isNamed(from, incarnation)) break;
          this.#disk.report(from, message.room, this.#nowMs());
          break;
        case "forwardRefused":
          this.#router.refusedBy(message);
          break;
        case "ask":
        case "answer":
          this.#clusterRequests.receive(from, message);
          break;
        case "snapshotOffer":
        case "snapshotChunk":
        case "snapshotProgress":
          // A file for another directory of the same id is no news about this one's.
          if (message.type === "snapshotProgress" && !this.#raft.isNamed(from, incarnation)) break;
          this.#upkeep.receive(from, message);
          break;
        default:
          // What cannot be written is not gathered in memory: the leader sends it again.
          if (message.type === "append" && message.entries.length > 0 && this.#raft.log.isHeld) {
            continue;
          }
          if (message.type === "heartbeatResponse" || message.type === "appendAccepted") {
            if (this.#raft.isNamed(from, incarnation)) this.#currency.answered(from);
          }
          this.#raft.step(from, message, incarnation);
      }
    }
  }

  #handleReady(): void {
    for (let ready = this.#raft.ready(); ready; ready = this.#raft.ready()) this.#handle(ready);
  }

  #handle(ready: Ready): void {
    const { log, hardState, machine, network } = this.#options;
    this.#send(ready.messages);
    if (ready.hardState) hardState.save(ready.hardState);
    if (ready.snapshot) {
      this.#upkeep.install(ready.snapshot);
      this.#logTime.observe(machine.applied.appliedTimeMs);
    }
    const last = ready.entries[ready.entries.length - 1];
    if (last) {
      if (this.#append(ready.entries) === "full") this.#raft.holdWrites();
      else {
        log.sync();
        this.#raft.persisted(last.index, last.term);
      }
    }
    this.#send(this.#raft.withoutHeld(ready.messagesAfterSync));
    network.flush();
    for (const { requestId, readIndex } of ready.reads) {
      this.#reads.confirm(requestId, readIndex);
      this.#currency.confirmed(requestId, readIndex);
    }
    // Those that came meanwhile have waited for this, and whoever comes in this turn goes with them.
    if (ready.reads.length > 0 && this.#reads.hasGathered) this.#schedule();
  }

  #append(entries: readonly Entry[]): "written" | "full" {
    const { log } = this.#options;
    while (log.append(entries) === "full") if (!this.#disk.foundFull("log")) return "full";
    this.#disk.foundRoom("log");
    const { role, term } = this.#raft;
    this.#logTime.observeEntries(entries, role.kind === "leader" ? term : null);
    let bytes = 0;
    for (const entry of entries) bytes += entryBytes(entry);
    this.#disk.wrote(bytes);
    return "written";
  }

  /** What found no room is tried again; a leader hears how this disk is while there is little. */
  #lookAfterDisk(): void {
    const { leaderId } = this.#raft;
    const { own } = this.#disk;
    if (own === "full") this.#upkeep.makeRoom();
    this.#raft.resumeWrites();
    this.#lossNote.resume();
    // What was held may have been replaced by a snapshot since.
    if (!this.#raft.log.hasUnwritten) this.#disk.foundRoom("log");
    this.#applier.resume();
    if (own === "ok" || leaderId === null || leaderId === this.#options.self) return;
    this.#options.network.send(leaderId, { type: "diskReport", room: own });
    this.#options.network.flush();
  }

  #send(envelopes: readonly Envelope[]): void {
    if (envelopes.length === 0) return;
    for (const { to, message } of envelopes) {
      if (message.type === "snapshot") this.#upkeep.send(to, message);
      else this.#options.network.send(to, message);
    }
    this.#options.network.flush();
  }

  #apply(): void {
    if (this.#applier.run() === "more") this.#schedule();
    this.#reads.applied(this.appliedIndex);
    this.#currency.applied(this.appliedIndex);
  }

  #answer(entries: readonly Entry[], results: readonly (CommandResult | null)[]): void {
    for (let i = 0; i < entries.length; i++) {
      const { index: at, kind, data } = must(entries[i], "i is in range");
      const header = kind === "command" ? readCommandHeader(data) : null;
      this.#writes.applied({ index: at, header }, results[i] ?? null);
      // A client of that node waits for its answer until the node hears that the entry is committed.
      if (!header || header.origin === this.#options.self) continue;
      this.#raft.announceCommit(header.origin);
      if (this.#raft.role.kind === "leader") this.#schedule();
    }
  }

  // ------------------------------------------------------------------ who leads, and who belongs to it

  #noteConfigurations(): void {
    const { current, committed } = this.#raft.configurations.newest;
    const before = this.#configurations;
    if (before.current === current && before.committed === committed) return;
    this.#configurations = { current, committed };
    this.#options.configurationChanged(this.#configurations);
  }

  #noteLeadership(): void {
    const [before, now] = [this.#leadership, leadershipOf(this.#raft)];
    if (isSameLeadership(before, now)) return;
    if (before.role === "leader") this.#upkeep.leadershipLost();
    this.#leadership = now;
    this.#options.leadershipChanged(now);
    // Writes and reads that waited for a leader can go now.
    if (now.leaderId !== null) this.#schedule();
  }

  /** The index a local read is made at. */
  get appliedIndex(): Index {
    return this.#options.machine.applied.appliedIndex;
  }
}
