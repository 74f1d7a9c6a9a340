/** What a node tells of the changes of its state, and what it leaves of them to its next life. */

import type { Node } from "../../server/node.ts";
import { NodeClient } from "../../server/node-client.ts";
import type { Clock } from "../../server/ports.ts";
import { must } from "../../server/raft/assert.ts";
import type { Index, NodeId } from "../../server/raft/entry.ts";
import type { ChangeSink } from "../../server/state-machine/changes.ts";
import { Watches } from "../../server/watch/watches.ts";
import { HistoryFile } from "../../storage/history-file.ts";
import type { CommittedChange, CommittedChanges } from "./changes.ts";
import type { SimDisk } from "./disk.ts";
import type { SimMachine } from "./machine.ts";
import type { SimOptions } from "./options.ts";
import type { Coverage } from "./trace.ts";
import { groupDirectory } from "./watched.ts";

export interface WatchingOptions {
  readonly id: NodeId;
  readonly disk: SimDisk;
  readonly clusterId: string;
  readonly machine: SimMachine;
  readonly clock: Clock;
  readonly options: SimOptions;
  readonly coverage: Coverage;
  readonly changes: CommittedChanges;
  readonly hasLeader: () => boolean;
}

/** More than a change takes in a history besides its key and its values. */
const changeBytesMax = 1_000;

/** For one life of the process. */
export class Watching {
  readonly watches: Watches;
  readonly clock: Clock;
  /** What its HTTP routes ask. */
  readonly store: NodeClient;
  /** Up to here it was a life before this one that applied. */
  readonly startIndex: Index;
  readonly #file: HistoryFile;
  readonly #machine: SimMachine;
  readonly #options: WatchingOptions;
  /** No history reaches further back than this, whatever its limits are. */
  #base: number;

  constructor(given: WatchingOptions) {
    const { id, disk, clusterId, machine, clock, options, coverage, hasLeader } = given;
    const { limits, watcherLimits } = options;
    this.#options = given;
    const { appliedIndex } = machine.applied;
    this.#file = new HistoryFile({ disk, directory: groupDirectory, clusterId });
    this.#machine = machine;
    this.startIndex = appliedIndex;
    const remembered = this.#file.take(machine.digest());
    const own = { clock, limits, watcherLimits, hasLeader };
    this.watches = new Watches({ ...own, appliedIndex, remembered });
    if (this.watches.oldestRevision < appliedIndex) coverage.add("a history outlived its process");
    this.#base = this.watches.oldestRevision;
    machine.watch(this.#sink());
    this.clock = clock;
    this.store = new NodeClient({
      ...{ self: id, version: "", limits, clock, plan: [], isConnected: () => true },
      failed: (error) => {
        throw error;
      },
    });
  }

  /** Its node is made. */
  formed(node: Node): void {
    this.store.formed(node, this.#options.clusterId, this.watches);
  }

  #sink(): ChangeSink {
    const { watches } = this;
    return {
      get wantsRowBefore() {
        return watches.wantsRowBefore;
      },
      changed: (change) => watches.changed(change),
      applied: (at) => watches.applied(at),
      replaced: (at) => {
        this.#base = at;
        watches.replaced(at);
      },
    };
  }

  /** An operator has changes up to there forgotten. */
  forget(revision: Index): void {
    this.#base = Math.max(this.#base, revision);
    this.watches.compact(revision);
  }

  /** All changes behind this revision have to be remembered: its limits leave room for them. */
  get oldestDue(): number {
    const { changes, options } = this.#options;
    const { watchChangesMax, watchBytesMax } = options.limits;
    let [count, bytes] = [0, 0];
    for (let at: number = this.watches.appliedIndex; at > this.#base; at--) {
      for (const change of changes.of(at)) {
        count++;
        bytes += bytesMaxOf(change);
        // Of a revision that does not fit in whole nothing need be left.
        if (count > watchChangesMax || bytes > watchBytesMax) return at;
      }
    }
    return this.#base;
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

const bytesMaxOf = ({ key, before, after }: CommittedChange): number =>
  changeBytesMax +
  2 * key.length +
  (before?.value.byteLength ?? 0) +
  (after?.value.byteLength ?? 0);

/** Of a life in a seed where somebody watches. */
export const watchingIn = (life: { readonly watching: Watching | null }): Watching =>
  must(life.watching ?? undefined, "it can be watched");
