/**
 * Brings committed entries into the state machine, in batches, and ends its transactions. Where the
 * disk has no room for one, nothing more is applied until it has; what is applied can be read.
 */

import type { DiskWatch } from "./disk-watch.ts";
import type { Limits } from "./limits.ts";
import { assert } from "./raft/assert.ts";
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
  /** Makes what is applied durable; returns up to where it is. */
  readonly checkpoint: () => Index;
}

/** Batches at a time, before other work gets a turn: a restart may have much to apply. */
const batchesMax = 4;

/** While room is short, what a checkpoint has to move is kept so much smaller. */
const shortCheckpointPart = 1 / 8;

export class Applier {
  readonly #options: ApplierOptions;
  #isPaused = false;
  /** The last checkpoint found no room: another one has to show that there is some. */
  #owesCheckpoint = false;

  constructor(options: ApplierOptions) {
    this.#options = options;
  }

  /** The disk is full. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  resume(): void {
    this.#isPaused = false;
  }

  /** Applies what is committed. "more": there is more, and other work comes first. */
  run(): "more" | "done" {
    const { machine, raft, limits, answer } = this.#options;
    for (let batch = 0; batch < batchesMax && !this.#isPaused; batch++) {
      const entries = raft.toApply(limits.applyBytesMax);
      const last = entries[entries.length - 1];
      if (!last) break;
      const results = machine.apply(entries);
      assert(results.length === entries.length, "every entry has a result");
      raft.applied(last.index);
      answer(entries, results);
      if (machine.uncommittedBytes >= limits.commitBytes) this.commit();
    }
    this.#checkpointIfDue();
    if (this.#isPaused) return "done";
    const { appliedIndex, commitIndex, stableIndex } = raft.log;
    return appliedIndex < Math.min(commitIndex, stableIndex) ? "more" : "done";
  }

  commit(): void {
    const { machine, disk } = this.#options;
    while (!this.#isPaused && machine.commit() === "full") {
      if (!disk.foundFull("state")) this.#isPaused = true;
    }
    if (!this.#isPaused) disk.foundRoom("state");
  }

  #checkpointIfDue(): void {
    const { machine, limits, disk, checkpoint } = this.#options;
    const part = disk.own === "ok" ? 1 : shortCheckpointPart;
    const isDue = this.#owesCheckpoint || machine.unsyncedBytes >= limits.checkpointBytes * part;
    if (this.#isPaused || !isDue) return;
    this.#owesCheckpoint = checkpoint() < machine.applied.appliedIndex;
    if (!this.#owesCheckpoint) disk.foundRoom("checkpoint");
    // What follows would only make the next one larger.
    else if (!disk.foundFull("checkpoint")) this.#isPaused = true;
  }
}
