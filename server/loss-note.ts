/** Keeps the note that this node's files are damaged until all is there again. */

import type { DiskWatch } from "./disk-watch.ts";
import type { MendingStore } from "./ports.ts";
import type { Index } from "./raft/entry.ts";
import type { Raft } from "./raft/raft.ts";

export interface LossNoteOptions {
  readonly mending: MendingStore;
  readonly raft: Raft;
  readonly disk: DiskWatch;
  readonly warn: (text: string) => void;
}

export class LossNote {
  readonly #options: LossNoteOptions;
  /** The disk had no room for the note: it is tried again when the disk is looked at. */
  #isHeld = false;
  /** Where the log ended when it was known to be whole; only asked for while the state is made anew. */
  #wholeIndex: Index | null = null;

  constructor(options: LossNoteOptions) {
    this.#options = options;
  }

  /** A loss that showed itself just now outlives a restart; one that is made good is forgotten. */
  update(): void {
    const { mending, raft, warn } = this.#options;
    const { log, state } = mending.current;
    if (raft.recovery !== null) {
      if (log === null && !this.#isHeld) this.#noteLoss();
      return;
    }
    if (log === null && state === null) return;
    if (state !== null && !this.#isCaughtUp()) return;
    mending.clear();
    warn("what was damaged is whole again");
  }

  /** There may be room now. */
  resume(): void {
    const { raft, disk } = this.#options;
    this.#isHeld = false;
    if (raft.recovery === null) disk.foundRoom("note");
  }

  /** Without the note this life of the node, at least, knows of the loss, and has no vote. */
  #noteLoss(): void {
    const { mending, disk } = this.#options;
    while (mending.add("log", "it has lost entries that a leader was told of") === "full") {
      if (disk.foundFull("note")) continue;
      this.#isHeld = true;
      return;
    }
    disk.foundRoom("note");
  }

  /** Has applied all of a whole log: no earlier life of this state, which is never ahead of it, had more. */
  #isCaughtUp(): boolean {
    const { log } = this.#options.raft;
    this.#wholeIndex ??= log.lastIndex;
    return log.appliedIndex >= Math.min(this.#wholeIndex, log.lastIndex);
  }
}
