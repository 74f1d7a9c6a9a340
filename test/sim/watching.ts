/** What a node tells of the changes of its state, and what it leaves of them to its next life. */

import type { Clock } from "../../server/ports.ts";
import type { Index } from "../../server/raft/entry.ts";
import { Watches } from "../../server/watch/watches.ts";
import { HistoryFile } from "../../storage/history-file.ts";
import type { SimDisk } from "./disk.ts";
import type { SimMachine } from "./machine.ts";
import type { SimOptions } from "./options.ts";
import type { Coverage } from "./trace.ts";
import { groupDirectory } from "./watched.ts";

export interface WatchingOptions {
  readonly disk: SimDisk;
  readonly clusterId: string;
  readonly machine: SimMachine;
  readonly clock: Clock;
  readonly options: SimOptions;
  readonly coverage: Coverage;
}

/** For one life of the process. */
export class Watching {
  readonly watches: Watches;
  /** Up to here it was a life before this one that applied. */
  readonly startIndex: Index;
  readonly #file: HistoryFile;
  readonly #machine: SimMachine;

  constructor({ disk, clusterId, machine, clock, options, coverage }: WatchingOptions) {
    const { limits, watcherLimits } = options;
    const { appliedIndex } = machine.applied;
    this.#file = new HistoryFile({ disk, directory: groupDirectory, clusterId });
    this.#machine = machine;
    this.startIndex = appliedIndex;
    const remembered = this.#file.take(machine.digest());
    this.watches = new Watches({ clock, limits, watcherLimits, appliedIndex, remembered });
    if (this.watches.oldestRevision < appliedIndex) coverage.add("a history outlived its process");
    machine.watch(this.watches);
  }

  /** Whoever watches is sent elsewhere. */
  close(): void {
    this.watches.close();
  }

  /** Of the state as it is now, at an orderly end. What finds no room is not there. */
  save(): void {
    this.#file.save(this.#machine.digest(), this.watches.remembered);
  }
}
