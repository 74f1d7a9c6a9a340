/** The real log and the real memory of term and vote, each with an observer who is told of everything. */

import type { HardStateStore, LogStore } from "../../server/ports.ts";
import {
  index,
  type Entry,
  type HardState,
  type Index,
  type NodeId,
  type Term,
} from "../../server/raft/entry.ts";
import type { HardStateFile } from "../../storage/hard-state.ts";
import type { LogBase } from "../../storage/log-reset.ts";
import type { RaftLog } from "../../storage/raft-log.ts";
import type { Checks } from "./checks.ts";
import type { SimDisk } from "./disk.ts";
import type { SimMachine } from "./machine.ts";
import { SimFailure, type Coverage } from "./trace.ts";

/** Of the group whose files are watched. */
export const groupDirectory = "node/group-0";

interface Watched {
  readonly id: NodeId;
  readonly checks: Checks;
  readonly disk: SimDisk;
}

interface LogSurroundings extends Watched {
  readonly coverage: Coverage;
  readonly machine: SimMachine;
}

export class WatchedLog implements LogStore {
  readonly #log: RaftLog;
  readonly #watched: LogSurroundings;

  constructor(options: LogSurroundings & { log: RaftLog }) {
    this.#log = options.log;
    this.#watched = options;
  }

  get firstIndex(): Index {
    return this.#log.firstIndex;
  }

  get lastIndex(): Index {
    return this.#log.lastIndex;
  }

  term(at: Index): Term | null {
    return this.#log.term(at);
  }

  entries(from: Index, through: Index, bytesMax: number): Entry[] {
    return this.#log.entries(from, through, bytesMax);
  }

  append(entries: readonly Entry[]): "written" | "full" {
    const { id, checks, coverage } = this.#watched;
    const first = entries[0]?.index ?? index(0);
    if (first <= this.#log.lastIndex) coverage.add("conflicting entries were cut off");
    checks.appending(id, entries);
    const written = this.#log.append(entries);
    if (written === "full") {
      coverage.add("the log found no room");
      checks.refused(id, first, this.#log);
    }
    return written;
  }

  compact(through: Index): void {
    const { firstIndex } = this.#log;
    this.#log.compact(through);
    if (this.#log.firstIndex > firstIndex) this.#watched.coverage.add("the log was compacted");
  }

  prepareReset(base: LogBase): void {
    this.#log.prepareReset(base);
  }

  reset(base: LogBase): void {
    const { id, checks, coverage, machine } = this.#watched;
    this.#log.reset(base);
    checks.installed(id, { ...machine.point, term: base.lastTerm });
    coverage.add("a snapshot was installed");
  }

  get bytes(): number {
    return this.#log.bytes;
  }

  lastBeyond(bytesMax: number): Index {
    return this.#log.lastBeyond(bytesMax);
  }

  sync(): void {
    const { id, checks, disk } = this.#watched;
    this.#log.sync();
    if (!disk.isSynced(`${groupDirectory}/log/`))
      throw new SimFailure(`node ${id} left its log unsynced`);
    checks.synced(id);
  }
}

export class WatchedHardState implements HardStateStore {
  readonly #file: HardStateFile;
  readonly #watched: Watched;

  constructor(options: Watched & { file: HardStateFile }) {
    this.#file = options.file;
    this.#watched = options;
  }

  get current(): HardState {
    return this.#file.current;
  }

  save(state: HardState): void {
    const { id, checks, disk } = this.#watched;
    checks.saving(id, state);
    this.#file.save(state);
    if (!disk.isSynced(`${groupDirectory}/hard-state`))
      throw new SimFailure(`node ${id} left its vote unsynced`);
    checks.saved(id, state);
  }
}
