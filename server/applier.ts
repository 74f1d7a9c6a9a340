/**
 * Brings committed entries into the state machine, in batches, and ends its transactions. A full disk
 * may take back what was applied since the last commit: then it waits for room, and applies again.
 */

import type { DiskWatch } from "./disk-watch.ts";
import type { Limits } from "./limits.ts";
import { assert } from "./raft/assert.ts";
import { index, type Entry, type Index } from "./raft/entry.ts";
import type { Raft } from "./raft/raft.ts";
import type { CommandResult } from "./state-machine/command.ts";
import type { StateMachine } from "./state-machine/port.ts";

export interface ApplierOptions {
  readonly machine: StateMachine;
  readonly raft: Raft;
  readonly limits: Limits;
  readonly disk: DiskWatch;
  /** Applied for the first time in this life. */
  readonly answer: (entries: readonly Entry[], results: readonly (CommandResult | null)[]) => void;
  /** Makes what is applied durable; returns up to where it is. */
  readonly checkpoint: () => Index;
}

/** Batches at a time, before other work gets a turn: a restart may have much to apply. */
const batchesMax = 4;

/** While room is short, what a checkpoint moves has to be so much smaller. */
const shortCheckpointPart = 1 / 8;

export class Applier {
  readonly #options: ApplierOptions;
  #isPaused = false;
  /** A full disk has kept the state machine from coming so far. */
  #failedIndex = index(0);

  constructor(options: ApplierOptions) {
    this.#options = options;
  }

  /** The disk is full: nothing is applied, and what is applied is still there to be read. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  resume(): void {
    this.#isPaused = false;
  }

  /** Applies what is committed. "more": there is more, and other work comes first. */
  run(): "more" | "done" {
    const { machine, raft, limits } = this.#options;
    this.#checkpointIfDue();
    for (let batch = 0; batch < batchesMax && !this.#isPaused; batch++) {
      const entries = this.#next();
      const last = entries[entries.length - 1];
      if (!last) break;
      const results = machine.apply(entries);
      if (results === "full") this.#foundFull(last.index);
      else this.#applied(entries, { last: last.index, results });
    }
    if (machine.uncommittedBytes >= limits.commitBytes) this.commit();
    if (this.#isPaused) return "done";
    const { commitIndex, stableIndex } = raft.log;
    return machine.applied.appliedIndex < Math.min(commitIndex, stableIndex) ? "more" : "done";
  }

  commit(): void {
    const { machine, disk } = this.#options;
    if (this.#isPaused) return;
    const { appliedIndex } = machine.applied;
    if (machine.commit() === "full") this.#foundFull(appliedIndex);
    else if (appliedIndex >= this.#failedIndex) disk.foundRoom("state");
  }

  /** Entries that were applied before a full disk took them back come first. */
  #next(): Entry[] {
    const { machine, raft, limits } = this.#options;
    const { appliedIndex } = machine.applied;
    const known = raft.log.appliedIndex;
    if (appliedIndex === known) return raft.toApply(limits.applyBytesMax);
    assert(appliedIndex < known, "the state is never ahead of what the core knows to be applied");
    return raft.log.entries(index(appliedIndex + 1), known, limits.applyBytesMax);
  }

  #applied(
    entries: readonly Entry[],
    { last, results }: { last: Index; results: readonly (CommandResult | null)[] },
  ): void {
    const { raft, answer } = this.#options;
    assert(results.length === entries.length, "every entry has a result");
    // A repetition was answered the first time.
    if (last <= raft.log.appliedIndex) return;
    raft.applied(last);
    answer(entries, results);
  }

  #checkpointIfDue(): void {
    const { machine, limits, disk, checkpoint } = this.#options;
    const part = disk.own === "ok" ? 1 : shortCheckpointPart;
    if (this.#isPaused || machine.unsyncedBytes < limits.checkpointBytes * part) return;
    // Where it finds no room it may take back what was not committed: `applied` tells nothing then.
    const { appliedIndex } = machine.applied;
    if (checkpoint() >= appliedIndex) disk.foundRoom("checkpoint");
    // What follows would only make the next one larger.
    else if (!disk.foundFull("checkpoint")) this.#isPaused = true;
  }

  /** Where some room was made free at once, it is tried again in this very turn. */
  #foundFull(triedIndex: Index): void {
    if (triedIndex > this.#failedIndex) this.#failedIndex = triedIndex;
    if (!this.#options.disk.foundFull("state")) this.#isPaused = true;
  }
}
