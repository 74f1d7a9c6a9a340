/** Backups of a running node: one at a time, made in its own directory and gone when it was sent. */

import type { Configuration } from "../server/raft/configuration.ts";
import type { BackupMaking, BackupStore } from "../server/ports.ts";
import type { StateMachine } from "../server/state-machine/port.ts";
import { BackupWriter } from "./backup-file.ts";
import { readFully, type Disk, type DiskFile } from "./disk.ts";
import type { SqliteDriver } from "./sqlite/port.ts";
import { SqliteError } from "./sqlite/port.ts";

export interface BackupFilesOptions {
  readonly disk: Disk;
  readonly driver: SqliteDriver;
  /** The snapshots' own: a start empties it. */
  readonly directory: string;
  readonly clusterId: string;
  readonly machine: StateMachine;
  /** The members while no configuration was applied. */
  readonly formed: Configuration;
}

export class BackupFiles implements BackupStore {
  readonly #options: BackupFilesOptions;
  #isBusy = false;

  constructor(options: BackupFilesOptions) {
    this.#options = options;
  }

  begin(): BackupMaking | "busy" | "full" {
    if (this.#isBusy) return "busy";
    const { driver, machine, clusterId, formed } = this.#options;
    const view = machine.prepareSnapshot();
    if (typeof view === "string") return view;
    const path = this.#path;
    const head = {
      clusterId,
      applied: { ...view.applied, configuration: view.applied.configuration ?? formed },
      digest: view.digest,
    };
    try {
      const writer = new BackupWriter({ driver, path, view, head });
      this.#isBusy = true;
      return new Making(writer, { open: () => this.#open(), onClose: () => this.#closed() });
    } catch (error) {
      view.close();
      if (error instanceof SqliteError && error.isFull) return "full";
      throw error;
    }
  }

  /** Without its name at once: whatever becomes of this process, nothing is left of it. */
  #open(): DiskFile {
    const { disk } = this.#options;
    const file = disk.open(this.#path, "readWrite");
    disk.remove(this.#path);
    return file;
  }

  #closed(): void {
    this.#isBusy = false;
  }

  get #path(): string {
    return `${this.#options.directory}/backup.sqlite`;
  }
}

class Making implements BackupMaking {
  readonly #writer: BackupWriter;
  readonly #hooks: { readonly open: () => DiskFile; readonly onClose: () => void };
  #file: DiskFile | null = null;
  #isClosed = false;

  constructor(writer: BackupWriter, hooks: { open: () => DiskFile; onClose: () => void }) {
    this.#writer = writer;
    this.#hooks = hooks;
  }

  work(bytesMax: number): "more" | "done" | "full" | "lost" {
    const result = this.#writer.step(bytesMax);
    if (result === "done") this.#file = this.#hooks.open();
    return result;
  }

  get bytes(): number {
    return this.#file?.size() ?? 0;
  }

  read(offset: number, bytesMax: number): Uint8Array {
    const bytes = new Uint8Array(bytesMax);
    const count = this.#file === null ? 0 : readFully(this.#file, offset, bytes);
    return bytes.subarray(0, count);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#writer.close();
    this.#file?.closeLarge();
    this.#hooks.onClose();
  }
}
