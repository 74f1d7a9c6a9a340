/**
 * Brings committed entries into the state machine, in batches, and ends its transactions: seldom, so
 * that what is written again and again is stored once, and in parts, so that nobody waits long for one.
 * Checkpoints follow them. Where the disk has no room, what is applied waits in memory, and can be read;
 * once that is much, nothing more is applied until there is room.
 */

import type { DiskWatch } from "./disk-watch.ts";
import type { Limits } from "./limits.ts";
import { must } from "./raft/assert.ts";
import type { Entry, Index } from "./raft/entry.ts";
import type { Raft } from "./raft/raft.ts";
import type { CommandResult } from "./state-machine/command.ts";
import type { StateMachine } from "./state-machine/port.ts";

export interface ApplierOptions {
  readonly machine: StateMachine;
  readonly raft: Raft;
  readonly limits: Limits;
  readonly disk: DiskWatch;
  readonly answer: (entries: readonly Entry[], results: readonly (CommandResult | null)[]) => void;
  /** What is applied is durable up to there. */
  readonly synced: (index: Index) => void;
}

/** Batches at a time, before other work gets a turn: a restart may have much to apply. */
const batchesMax = 4;

/**
 * Rows that are changed in one go, unless by a single entry: entries of a few bytes may let go 400 each,
 * and a node that has been away for a moment has many of them to apply.
 */
const turnRowsMax = 1_000;

/** While room is short, what a checkpoint has to move is kept so much smaller. */
const shortCheckpointPart = 1 / 8;

/**
 * So many times what a checkpoint is begun at may be unsynced before a follower waits for it: whoever applies
 * faster than the disk syncs would never get to the end of one.
 */
const unsyncedFactorMax = 8;

/** Without room, so many times what is usually gathered for a transaction is held in memory. */
const heldFactorMax = 2;

/** Parts of a transaction in a tick, beside those that come with what is applied; more where nothing is. */
const tickPartsMax = 16;
const quietPartsMax = 64;

export class Applier {
  readonly #options: ApplierOptions;
  /** The disk is full: nothing is stored. */
  #isPaused = false;
  /** Nothing was applied since the last tick. */
  #isQuiet = true;
  /** Of those that were read together, what the last turn has left. */
  #left: readonly Entry[] = [];
  /** The last commit found no room: another one has to show that there is some. */
  #owesCommit = false;
  /** The same of a checkpoint; or one was asked for. */
  #owesCheckpoint = false;
  #isSyncing = false;
  /** Bytes given back since the last checkpoint. */
  #shrunkBytes = 0;
  #nowMs = 0;
  /** By the monotonic clock, as of a tick. */
  #committedMs = -Infinity;

  constructor(options: ApplierOptions) {
    this.#options = options;
  }

  /** There is no room, and no more is to be held in memory. */
  get #isHeldUp(): boolean {
    const { machine, limits } = this.#options;
    return this.#isPaused && machine.uncommittedBytes >= heldFactorMax * limits.commitBytes;
  }

  resume(): void {
    this.#isPaused = false;
  }

  /** What is applied is to be durable soon, however little it is. */
  wantCheckpoint(): void {
    this.#owesCheckpoint = true;
  }

  /** Applies what is committed. "more": there is more, and other work comes first. */
  run(): "more" | "done" {
    const { raft, limits } = this.#options;
    let rows = 0;
    for (let batch = 0; batch < batchesMax && rows < turnRowsMax && !this.#isHeldUp; batch++) {
      // The next tick goes on.
      if (this.#isFarAhead) return "done";
      const entries = this.#committed();
      if (entries.length === 0) break;
      const applied = this.#apply(entries, turnRowsMax - rows);
      rows += applied.rows;
      this.#left = entries.slice(applied.count);
      // Faster than what comes in, so that it comes to an end.
      this.#store(Math.max(limits.commitRows, 2 * applied.rows));
    }
    if (this.#isHeldUp) return "done";
    const { appliedIndex, commitIndex, stableIndex } = raft.log;
    return appliedIndex < Math.min(commitIndex, stableIndex) ? "more" : "done";
  }

  /** What is to be applied next. */
  #committed(): readonly Entry[] {
    const { raft, limits } = this.#options;
    const { appliedIndex, pendingSnapshot } = raft.log;
    const isNext = pendingSnapshot === null && this.#left[0]?.index === appliedIndex + 1;
    return isNext ? this.#left : raft.toApply(limits.applyBytesMax);
  }

  /** One at least, and as many more as it takes to change about so many rows. */
  #apply(entries: readonly Entry[], rowsMax: number): { count: number; rows: number } {
    const { machine, raft, answer } = this.#options;
    const results: (CommandResult | null)[] = [];
    let rows = 0;
    while (results.length < entries.length && rows < rowsMax) {
      const result = machine.apply(must(entries[results.length], "one is left"));
      results.push(result);
      rows += rowsOf(result);
    }
    this.#isQuiet = false;
    const count = results.length;
    raft.applied(must(entries[count - 1], "one is applied").index);
    answer(entries.slice(0, count), results);
    return { count, rows };
  }

  tick(nowMs: number): void {
    const { limits, machine } = this.#options;
    this.#nowMs = nowMs;
    if (this.#isSyncing && !this.#isPaused) this.#sync();
    const partsMax = this.#isQuiet ? quietPartsMax : tickPartsMax;
    this.#isQuiet = true;
    for (let part = 0; part < partsMax; part++) {
      this.#store(limits.commitRows);
      if (!machine.isCommitting) break;
    }
    this.#shrink();
  }

  /** What is deleted goes out of the file as well, in small steps; the file gets shorter by a checkpoint. */
  #shrink(): void {
    const { machine, limits } = this.#options;
    if (this.#isPaused || this.#isSyncing || machine.isCommitting) return;
    const bytes = machine.shrinkSome(limits.shrinkTickBytes);
    this.#shrunkBytes += bytes;
    const isDue = bytes === 0 ? this.#shrunkBytes > 0 : this.#shrunkBytes >= limits.shrinkBytes;
    if (!isDue) return;
    this.#shrunkBytes = 0;
    this.#owesCheckpoint = true;
  }

  /** Begins a transaction where one is due, or goes on with it. */
  #store(rowsMax: number): void {
    const { machine, disk, limits } = this.#options;
    if (this.#isPaused || this.#isSyncing) return;
    if (!machine.isCommitting) {
      // One checkpoint of several such transactions would be no smaller than one of each.
      const isScattered = machine.scatteredPages(limits.commitBytes) >= limits.commitPages;
      if (isScattered) this.#owesCheckpoint = true;
      if (!this.#isCommitDue()) return;
    }
    let outcome = machine.commitSome(rowsMax);
    while (outcome === "full" && disk.foundFull("state")) outcome = machine.commitSome(rowsMax);
    this.#owesCommit = outcome === "full";
    this.#isPaused = outcome === "full";
    if (outcome !== "done") return;
    disk.foundRoom("state");
    this.#committedMs = this.#nowMs;
    // Half of it: what comes with the next transaction would be far more than the whole.
    if (this.#owesCheckpoint || machine.unsyncedBytes >= this.#checkpointBytes / 2) this.#sync();
  }

  #isCommitDue(): boolean {
    const { machine, limits } = this.#options;
    return (
      this.#owesCommit ||
      this.#owesCheckpoint ||
      machine.uncommittedBytes >= limits.commitBytes ||
      machine.unsyncedBytes >= this.#checkpointBytes ||
      this.#nowMs - this.#committedMs >= limits.commitMs
    );
  }

  /** Of those who follow: a leader's clients would wait with it. */
  get #isFarAhead(): boolean {
    const { machine, limits, raft } = this.#options;
    if (!this.#isSyncing || raft.role.kind === "leader") return false;
    if (machine.uncommittedBytes < limits.commitBytes) return false;
    return machine.unsyncedBytes >= unsyncedFactorMax * limits.checkpointBytes;
  }

  get #checkpointBytes(): number {
    const { disk, limits } = this.#options;
    return limits.checkpointBytes * (disk.own === "ok" ? 1 : shortCheckpointPart);
  }

  /** Begins to make durable what is committed, or goes on with it. */
  #sync(): void {
    const { machine, disk, synced } = this.#options;
    let outcome = machine.syncSome(disk.own === "ok");
    while (outcome === "full" && disk.foundFull("checkpoint")) outcome = machine.syncSome(false);
    this.#isSyncing = outcome === "more";
    if (outcome === "more") return;
    // Where there was no room, what follows would only make the next one larger.
    this.#owesCheckpoint = outcome === "full";
    this.#isPaused = outcome === "full";
    if (outcome === "full") return;
    disk.foundRoom("checkpoint");
    synced(outcome);
  }
}

function rowsOf(result: CommandResult | null): number {
  if (result?.op === "expired") return 1 + result.keys.length;
  if (result?.op !== "transaction") return 1;
  let rows = 1 + result.results.length;
  for (const each of result.results) if ("deleted" in each) rows += each.deleted;
  return rows;
}
