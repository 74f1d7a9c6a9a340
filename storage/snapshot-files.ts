/**
 * The snapshots of one group: one that is made, in `group-G/snapshots`, and sent; and one that comes in,
 * of which a state is made at once. A start begins with an empty directory. What is durable lies in the state and in the log, so a crash
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
import { ArrivingBytes, FileSource } from "./byte-source.ts";
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
  readonly bytes: ArrivingBytes;
  readonly reader: SnapshotReader;
  offset: number;
  /** Set once the head is here. */
  recovery: StateRecovery | null;
  isBuilt: boolean;
}

/** Kept free from the first byte on for what has to be written when the state is switched. */
const switchRoomBytesMax = 4 << 20;

/** Looked at in one step: a checksum costs far less than the rows it is over. */
const chunksPerCheck = 4;

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
      for (const name of disk.list(this.directory)) disk.removeLarge(this.#path(name));
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

  /** Of a state that is mostly values. */
  get makingShare(): number | null {
    if (!this.#making) return null;
    const { machine } = this.#options;
    const stateBytes = Math.max(1, machine.stateBytes - machine.reusableBytes);
    return Math.min(1, this.#making.writer.bytes / stateBytes);
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
    this.#options.disk.removeLarge(this.#path("outgoing"));
  }

  #writeOn(making: Making): "more" {
    if (making.writer.step() === "more") return "more";
    making.view.close();
    making.check = new SnapshotReader(new FileSource(this.#options.disk, this.#path("new")));
    const head = making.check.readHead();
    if (head === null || typeof head === "string") {
      throw this.#notAsWritten(head ?? "its head is missing");
    }
    return "more";
  }

  #verify(making: Making, check: SnapshotReader): "more" | "done" {
    let step = check.check();
    for (let count = 1; step === null && count < chunksPerCheck; count++) step = check.check();
    if (step === null) return "more";
    if (step !== "end") throw this.#notAsWritten(step.damage);
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
    this.#options.disk.removeLarge(this.#path("new"));
  }

  // ------------------------------------------------------------------ coming in

  accept(info: SnapshotInfo): number | "full" {
    const known = this.#incoming;
    if (known?.info.id === info.id && known.info.bytes === info.bytes) return known.offset;
    this.drop();
    // A table of rows takes more room than the rows.
    const neededBytes = 1.5 * info.bytes;
    if (this.#options.disk.space(this.directory).freeBytes < neededBytes) return "full";
    try {
      this.#keepRoom(Math.min(switchRoomBytesMax, info.bytes));
    } catch (error) {
      if (!isFull(error)) throw error;
      this.#giveRoom();
      return "full";
    }
    const bytes = new ArrivingBytes(info.bytes);
    const reader = new SnapshotReader(bytes);
    this.#incoming = { info, bytes, reader, offset: 0, recovery: null, isBuilt: false };
    return 0;
  }

  write(data: Uint8Array): void {
    const incoming = must(this.#incoming, "a snapshot comes in");
    assert(
      incoming.offset + data.byteLength <= incoming.info.bytes,
      "it is no longer than was said",
    );
    incoming.bytes.push(data);
    incoming.offset += data.byteLength;
  }

  get hasWork(): boolean {
    if (this.#incoming === null) return false;
    const { bytes, info, isBuilt, offset, reader } = this.#incoming;
    return !isBuilt && (offset === info.bytes || bytes.has(reader.wanted));
  }

  build(): "more" | "built" | "full" | { readonly damage: string } {
    const incoming = must(this.#incoming, "a snapshot comes in");
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
    const { info, reader, recovery } = incoming;
    if (recovery === null) {
      const head = reader.readHead();
      if (head === null) return null;
      if (typeof head === "string") return head;
      const contradiction = this.#contradiction(head, info);
      if (contradiction !== null) return contradiction;
      incoming.recovery = this.#options.machine.beginRecovery(head.applied, head.digest);
      return null;
    }
    if (recovery.isBehind === true) return null;
    const step = reader.next();
    switch (step.kind) {
      case "waiting":
        return null;
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
    incoming.reader.close();
    this.#incoming = null;
    this.#giveRoom();
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
    incoming.reader.close();
    this.#giveRoom();
  }

  #keepRoom(bytes: number): void {
    const room = this.#options.disk.open(this.#path("room"), "create");
    try {
      writeFully(room, 0, new Uint8Array(bytes));
    } finally {
      room.close();
    }
  }

  #giveRoom(): void {
    const { disk } = this.#options;
    if (disk.exists(this.#path("room"))) disk.remove(this.#path("room"));
  }

  close(): void {
    this.discard();
    this.drop();
  }

  #path(name: string): string {
    return `${this.directory}/${name}`;
  }
}
