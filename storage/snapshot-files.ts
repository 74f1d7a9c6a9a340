/**
 * The snapshots of one group, in `group-G/snapshots`: one that is made and sent, one that comes in. A
 * start begins with an empty directory. What is durable lies in the state and in the log, so a crash
 * costs a transfer its progress and nothing else.
 */

import { assert, must } from "../server/raft/assert.ts";
import type { Configuration } from "../server/raft/configuration.ts";
import type { Index } from "../server/raft/entry.ts";
import type { SnapshotInfo, SnapshotStore } from "../server/ports.ts";
import type { StateMachine, StateRecovery, StateView } from "../server/state-machine/port.ts";
import { DiskError, readFully, writeFully, type Disk, type DiskFile } from "./disk.ts";
import type { LogBase } from "./log-reset.ts";
import type { SnapshotHead } from "./snapshot-head.ts";
import { SnapshotReader } from "./snapshot-reader.ts";
import { SnapshotWriter } from "./snapshot-writer.ts";
import { SqliteError } from "./sqlite/port.ts";

export interface SnapshotFilesOptions {
  readonly disk: Disk;
  /** The group's own directory. */
  readonly directory: string;
  readonly group: number;
  readonly clusterId: string;
  /** A random integer below 2^48. */
  readonly drawId: () => number;
  readonly machine: StateMachine;
  readonly log: { prepareReset(base: LogBase): void; reset(base: LogBase): void };
  /** The members while no configuration was applied. */
  readonly formed: Configuration;
}

interface Making {
  readonly head: SnapshotHead;
  readonly view: StateView;
  readonly writer: SnapshotWriter;
  /** Set once all is written: it is read back before it counts. */
  check: SnapshotReader | null;
}

interface Incoming {
  readonly info: SnapshotInfo;
  readonly file: DiskFile;
  offset: number;
  /** Set once all is here. */
  reader: SnapshotReader | null;
  recovery: StateRecovery | null;
  isBuilt: boolean;
}

const isFull = (error: unknown): boolean =>
  (error instanceof DiskError && error.code === "ENOSPC" && error.operation !== "fdatasync") ||
  (error instanceof SqliteError && error.isFull);

export class SnapshotFiles implements SnapshotStore {
  readonly #options: SnapshotFilesOptions;
  /** A start empties it. */
  readonly directory: string;
  #newest: { readonly info: SnapshotInfo; readonly file: DiskFile } | null = null;
  #making: Making | null = null;
  #incoming: Incoming | null = null;

  constructor(options: SnapshotFilesOptions) {
    const { disk, directory } = options;
    this.#options = options;
    this.directory = `${directory}/snapshots`;
    if (disk.exists(this.directory)) {
      for (const name of disk.list(this.directory)) disk.remove(this.#path(name));
    }
    disk.makeDirectory(this.directory);
  }

  // ------------------------------------------------------------------ to be sent

  get newest(): SnapshotInfo | null {
    return this.#newest?.info ?? null;
  }

  get makingIndex(): Index | null {
    return this.#making?.head.applied.appliedIndex ?? null;
  }

  make(): void {
    if (this.#making) return;
    const { disk, drawId, formed, group, clusterId, machine } = this.#options;
    const view = machine.prepareSnapshot();
    if (typeof view === "string") return;
    const head: SnapshotHead = {
      group,
      clusterId,
      id: drawId(),
      applied: { ...view.applied, configuration: view.applied.configuration ?? formed },
      digest: view.digest,
    };
    try {
      const writer = new SnapshotWriter({ disk, path: this.#path("new"), view, head });
      this.#making = { head, view, writer, check: null };
    } catch (error) {
      view.close();
      if (!isFull(error)) throw error;
    }
  }

  work(): "more" | "done" | "full" {
    const making = must(this.#making, "a snapshot is being made");
    try {
      return making.check ? this.#verify(making, making.check) : this.#writeOn(making);
    } catch (error) {
      if (!isFull(error)) throw error;
      this.#stopMaking();
      return "full";
    }
  }

  read(offset: number, bytesMax: number): Uint8Array {
    const { info, file } = must(this.#newest, "there is a snapshot to read");
    assert(offset <= info.bytes, "a snapshot is read within its bounds");
    const bytes = new Uint8Array(Math.min(bytesMax, info.bytes - offset));
    const got = readFully(file, offset, bytes);
    if (got === bytes.byteLength) return bytes;
    throw new DiskError(file.path, "read", "EIO", "its end is missing");
  }

  discard(): void {
    this.#stopMaking();
    if (!this.#newest) return;
    this.#newest.file.close();
    this.#newest = null;
    this.#options.disk.remove(this.#path("outgoing"));
  }

  #writeOn(making: Making): "more" {
    if (making.writer.step() === "more") return "more";
    making.view.close();
    making.check = new SnapshotReader(this.#options.disk, this.#path("new"));
    const head = making.check.readHead();
    if (typeof head === "string") throw this.#notAsWritten(head);
    return "more";
  }

  #verify(making: Making, check: SnapshotReader): "more" | "done" {
    const step = check.next();
    if (step.kind === "rows") return "more";
    if (step.kind === "damaged") throw this.#notAsWritten(step.detail);
    check.close();
    making.writer.close();
    this.#making = null;
    this.discard();
    const { disk } = this.#options;
    disk.rename(this.#path("new"), this.#path("outgoing"));
    const { appliedIndex, appliedTerm, configuration } = making.head.applied;
    const info: SnapshotInfo = {
      id: making.head.id,
      bytes: making.writer.bytes,
      lastIndex: appliedIndex,
      lastTerm: appliedTerm,
      configuration: must(configuration, "a snapshot has members"),
    };
    this.#newest = { info, file: disk.open(this.#path("outgoing"), "read") };
    return "done";
  }

  /** A disk that gives back other bytes than it was given is not worked with. */
  #notAsWritten(detail: string): DiskError {
    return new DiskError(this.#path("new"), "read", "EIO", `it was written, and now ${detail}`);
  }

  #stopMaking(): void {
    if (!this.#making) return;
    const { view, writer, check } = this.#making;
    this.#making = null;
    view.close();
    check?.close();
    writer.close();
    this.#options.disk.remove(this.#path("new"));
  }

  // ------------------------------------------------------------------ coming in

  accept(info: SnapshotInfo): number | "full" {
    const known = this.#incoming;
    if (known?.info.id === info.id && known.info.bytes === info.bytes) return known.offset;
    this.drop();
    const { disk } = this.#options;
    // For the file, and for the state that is made of it.
    if (disk.space(this.directory).freeBytes < 2 * info.bytes) return "full";
    try {
      const file = disk.open(this.#path("incoming"), "create");
      this.#incoming = { info, file, offset: 0, reader: null, recovery: null, isBuilt: false };
      return 0;
    } catch (error) {
      if (!isFull(error)) throw error;
      return "full";
    }
  }

  write(data: Uint8Array): "written" | "full" {
    const incoming = must(this.#incoming, "a snapshot comes in");
    assert(
      incoming.offset + data.byteLength <= incoming.info.bytes,
      "it is no longer than was said",
    );
    try {
      writeFully(incoming.file, incoming.offset, data);
    } catch (error) {
      if (!isFull(error)) throw error;
      this.drop();
      return "full";
    }
    incoming.offset += data.byteLength;
    return "written";
  }

  build(): "more" | "built" | "full" | { readonly damage: string } {
    const incoming = must(this.#incoming, "a snapshot comes in");
    assert(incoming.offset === incoming.info.bytes, "it is all here");
    if (incoming.isBuilt) return "built";
    try {
      const damage = this.#buildOn(incoming);
      if (damage === null) return incoming.isBuilt ? "built" : "more";
      this.drop();
      return { damage };
    } catch (error) {
      if (!isFull(error)) throw error;
      this.drop();
      return "full";
    }
  }

  /** Returns what is wrong with it, null where nothing is. */
  #buildOn(incoming: Incoming): string | null {
    if (!incoming.reader) {
      incoming.reader = new SnapshotReader(this.#options.disk, this.#path("incoming"));
      const head = incoming.reader.readHead();
      if (typeof head === "string") return head;
      const contradiction = this.#contradiction(head, incoming.info);
      if (contradiction !== null) return contradiction;
      incoming.recovery = this.#options.machine.beginRecovery(head.applied, head.digest);
      return null;
    }
    const recovery = must(incoming.recovery, "it was begun with the head");
    const step = incoming.reader.next();
    switch (step.kind) {
      case "rows":
        return recovery.add(step.batch);
      case "damaged":
        return step.detail;
      case "end": {
        const contradiction = recovery.finish();
        incoming.isBuilt = contradiction === null;
        return contradiction;
      }
    }
  }

  #contradiction(head: SnapshotHead, info: SnapshotInfo): string | null {
    const { group, clusterId } = this.#options;
    const { appliedIndex, appliedTerm } = head.applied;
    if (head.clusterId !== clusterId) return `it is of cluster ${head.clusterId}`;
    if (head.group !== group) return `it is of group ${head.group}`;
    const isSame =
      head.id === info.id && appliedIndex === info.lastIndex && appliedTerm === info.lastTerm;
    return isSame ? null : "it is another one than was announced";
  }

  install(): void {
    const incoming = must(this.#incoming, "a snapshot comes in");
    assert(incoming.isBuilt, "only what is whole is installed");
    const { log } = this.#options;
    const { lastIndex, lastTerm } = incoming.info;
    // Its file is of no use any more, and leaves room on a full disk for what is noted now.
    this.#removeIncoming(incoming);
    this.#incoming = null;
    log.prepareReset({ lastIndex, lastTerm });
    const recovery = must(incoming.recovery, "it was built");
    recovery.install();
    log.reset({ lastIndex, lastTerm });
    // What is made of the old state is of no use any more.
    this.discard();
    recovery.abandon();
  }

  drop(): void {
    if (!this.#incoming) return;
    const incoming = this.#incoming;
    this.#incoming = null;
    incoming.recovery?.abandon();
    this.#removeIncoming(incoming);
  }

  #removeIncoming({ file, reader }: Incoming): void {
    reader?.close();
    file.close();
    this.#options.disk.remove(this.#path("incoming"));
  }

  close(): void {
    this.discard();
    this.drop();
  }

  #path(name: string): string {
    return `${this.directory}/${name}`;
  }
}
