/**
 * What lets a node live for years: checkpoints of the state machine, compaction of the log behind
 * them, and snapshots for whoever needs what is compacted. Driven by the node's ticks and messages.
 */

import {
  compactionTarget,
  isAheadOfLog,
  isCheckpointDue,
  neededFrom,
  type CompactionBounds,
} from "./compaction.ts";
import type { Limits } from "./limits.ts";
import type { SnapshotMessage, SnapshotOffer } from "./peer-message.ts";
import type { Clock, LogStore, Network, SnapshotStore } from "./ports.ts";
import { unreachable } from "./raft/assert.ts";
import { index, type Index, type NodeId } from "./raft/entry.ts";
import type { Snapshot } from "./raft/message.ts";
import type { Raft } from "./raft/raft.ts";
import type { SnapshotToInstall } from "./raft/ready.ts";
import { SnapshotReceiver } from "./snapshot-receiver.ts";
import { SnapshotSender, type Pace } from "./snapshot-sender.ts";
import type { StateMachine } from "./state-machine/port.ts";

export interface UpkeepOptions {
  readonly self: NodeId;
  /** Asked later than this is made. */
  readonly raft: () => Raft;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly network: Network;
  readonly log: LogStore;
  readonly machine: StateMachine;
  readonly snapshots: SnapshotStore;
  /** When a member last answered this leader, by the monotonic clock; null: never. */
  readonly answeredMs: (id: NodeId) => number | null;
  /** Has the state machine made durable soon; `synced` is told. */
  readonly wantCheckpoint: () => void;
  readonly warn: (text: string) => void;
}

/** Somebody wants the log given up. */
interface Wanted {
  readonly through: Index;
  readonly untilMs: number;
  readonly done: () => void;
}

/** Who asks for the log to be given up while so many wait is answered at once. */
const wantedMax = 64;

export class Upkeep {
  readonly #options: UpkeepOptions;
  #wanted: Wanted[] = [];
  #isClosed = false;
  readonly #sender: SnapshotSender;
  readonly #receiver: SnapshotReceiver;
  #syncedIndex = index(0);
  /** The index applied last, and since when it is that. */
  #idle = { index: index(0), sinceMs: 0 };
  /** What the last look at the log went by. */
  #compacted: Pick<CompactionBounds, "syncedIndex" | "pinnedIndex" | "matchIndex"> & {
    readonly lastIndex: Index;
  } = { lastIndex: index(0), syncedIndex: index(0), pinnedIndex: null, matchIndex: null };

  constructor(options: UpkeepOptions) {
    const { clock, limits, network, snapshots, warn } = options;
    this.#options = options;
    const transfers = {
      store: snapshots,
      limits,
      clock,
      send: network.send.bind(network),
    };
    this.#receiver = new SnapshotReceiver({ ...transfers, warn });
    this.#sender = new SnapshotSender({
      ...transfers,
      warn,
      finished: (to, arrived) => options.raft().snapshotFinished(to, arrived),
      pace: (gone) => this.#pace(gone),
    });
  }

  /** What the state machine is known to keep through a power loss. */
  get syncedIndex(): Index {
    return this.#syncedIndex;
  }

  /** All that there is in the log is durable in the state as well, and nobody is sent a snapshot. */
  get isAtRest(): boolean {
    if (this.#wanted.length > 0 || this.#syncedIndex < this.#options.log.lastIndex) return false;
    return this.#sender.isIdle && this.#receiver.isIdle;
  }

  /** For the core: a snapshot to send, or null until there is one. */
  latestSnapshot(to: NodeId): Omit<Snapshot, "type" | "term"> | null {
    return this.#sender.want(to, index(this.#options.log.firstIndex - 1), this.#nowMs());
  }

  /** Up to there the state machine keeps its state, whatever happens. */
  synced(durable: Index): void {
    this.#syncedIndex = durable;
  }

  /** The disk is full: a snapshot for others is the first that can be spared. */
  makeRoom(): void {
    this.#sender.abandon();
  }

  /** Before `handleReady` is called the core may have been told of a snapshot that is here. */
  tick(handleReady: () => void): void {
    const raft = this.#options.raft();
    const nowMs = this.#nowMs();
    if (raft.role.kind === "leader") this.#sender.tick(nowMs);
    const built = this.#receiver.tick(nowMs);
    if (built) {
      raft.step(built.from, built.message);
      handleReady();
      // Another leader, or the log after all, was faster: then it is of no use any more.
      this.#receiver.drop();
    }
    this.#options.network.flush();
    this.#checkpointIdle(nowMs);
    this.#compact();
  }

  receive(from: NodeId, message: SnapshotMessage): void {
    switch (message.type) {
      case "snapshotOffer":
        this.#takeOffer(from, message);
        return;
      case "snapshotChunk":
        this.#receiver.chunk(from, message, this.#nowMs());
        return;
      case "snapshotProgress":
        if (this.#options.raft().role.kind !== "leader") return;
        this.#sender.progress(from, message, this.#nowMs());
        return;
      default:
        unreachable(message);
    }
  }

  /** The core sends `to` a snapshot: its file goes with it. */
  send(to: NodeId, message: Snapshot): void {
    this.#sender.start(to, message, this.#nowMs());
  }

  /** The core takes the snapshot that was built: state and log are replaced when this returns. */
  install({ lastIndex, lastTerm }: SnapshotToInstall): void {
    this.#receiver.install(lastIndex);
    this.#options.raft().snapshotInstalled(lastIndex, lastTerm);
    this.#syncedIndex = lastIndex;
  }

  /**
   * Gives the log up through `through`, as far as nobody needs it. `done` is called later, when that has
   * happened or a request's time is over.
   */
  giveUpLog(through: Index, done: () => void): void {
    const { clock, limits } = this.#options;
    const untilMs = this.#nowMs() + limits.requestDeadlineMs;
    if (!this.#isClosed && this.#wanted.length < wantedMax)
      this.#wanted.push({ through, untilMs, done });
    else clock.soon(done);
  }

  /** The node ends: who waits is answered with what was reached. */
  close(): void {
    this.#isClosed = true;
    for (const { done } of this.#wanted.splice(0)) done();
  }

  leadershipLost(): void {
    this.#sender.stop();
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  /** What was written last is not to wait for more before it is in the database and out of the log. */
  #checkpointIdle(nowMs: number): void {
    const { limits, machine } = this.#options;
    const { appliedIndex } = machine.applied;
    if (appliedIndex !== this.#idle.index) this.#idle = { index: appliedIndex, sinceMs: nowMs };
    if (appliedIndex === this.#syncedIndex) return;
    if (nowMs - this.#idle.sinceMs >= limits.checkpointIdleMs) this.#options.wantCheckpoint();
  }

  #takeOffer(from: NodeId, offer: SnapshotOffer): void {
    const raft = this.#options.raft();
    const { term, lastIndex, lastTerm, configuration } = offer;
    const isUseful = raft.needsSnapshot(lastIndex, lastTerm);
    if (term >= raft.term && isUseful) {
      this.#receiver.offer(from, offer, this.#nowMs());
      return;
    }
    // The core answers what it has already, and a leader that is one no more.
    raft.step(from, { type: "snapshot", term, lastIndex, lastTerm, configuration });
    if (!isUseful) this.#receiver.decline(from, offer);
  }

  /** A transfer should end while the log behind it has room to spare for what was written meanwhile. */
  #pace(gone: number): Pace {
    const { log, raft } = this.#options;
    const { role } = raft();
    if (role.kind !== "leader" || role.catchUp.isQuiet) return "full";
    const bounds = this.#bounds();
    if (isAheadOfLog(log, { gone, part: 3 / 4 }, bounds)) {
      return role.catchUp.isStrained ? "yielding" : "leisure";
    }
    return isAheadOfLog(log, { gone, part: 1 }, bounds) ? "brisk" : "full";
  }

  #bounds(): CompactionBounds {
    const { limits, machine } = this.#options;
    return {
      syncedIndex: this.#syncedIndex,
      pinnedIndex: this.#sender.pinnedIndex,
      matchIndex: this.#slowestMatch(),
      stateBytes: machine.stateBytes - machine.reusableBytes,
      limits,
    };
  }

  #compact(): void {
    if (!this.#isThereNews()) return;
    const { log } = this.#options;
    const bounds = this.#bounds();
    const wanted = this.#wantedIndex();
    const given = compactionTarget(log, bounds);
    const isDue = given >= log.firstIndex && isCheckpointDue(given, bounds);
    if (isDue || wanted > this.#syncedIndex) this.#options.wantCheckpoint();
    const target = Math.max(given, Math.min(wanted, neededFrom(bounds)));
    if (target >= log.firstIndex) log.compact(index(Math.min(target, this.#syncedIndex)));
    if (this.#wanted.length > 0) this.#answerWanted();
  }

  /** Otherwise nothing can have become superfluous; and to look, the database has to be asked. */
  #isThereNews(): boolean {
    const before = this.#compacted;
    const now = {
      lastIndex: this.#options.log.lastIndex,
      syncedIndex: this.#syncedIndex,
      pinnedIndex: this.#sender.pinnedIndex,
      matchIndex: this.#slowestMatch(),
    };
    this.#compacted = now;
    return (
      this.#wanted.length > 0 ||
      before.lastIndex !== now.lastIndex ||
      before.syncedIndex !== now.syncedIndex ||
      before.pinnedIndex !== now.pinnedIndex ||
      before.matchIndex !== now.matchIndex
    );
  }

  #wantedIndex(): number {
    let wanted = 0;
    for (const { through } of this.#wanted) wanted = Math.max(wanted, through);
    return wanted;
  }

  #answerWanted(): void {
    const nowMs = this.#nowMs();
    const isOver = ({ through, untilMs }: Wanted): boolean =>
      through <= this.#syncedIndex || untilMs <= nowMs;
    const over = this.#wanted.filter(isOver);
    this.#wanted = this.#wanted.filter((wanted) => !isOver(wanted));
    for (const { done } of over) done();
  }

  /** Of the members that answer; null where this node does not lead. */
  #slowestMatch(): Index | null {
    const { answeredMs, limits, raft, self } = this.#options;
    const { role } = raft();
    if (role.kind !== "leader") return null;
    const liveMs = this.#nowMs() - limits.snapshotTimeoutMs;
    let slowest: Index | null = null;
    for (const [id, { match }] of role.progress) {
      const isLive = id === self || (answeredMs(id) ?? -Infinity) >= liveMs;
      if (isLive && (slowest === null || match < slowest)) slowest = match;
    }
    return slowest;
  }
}
