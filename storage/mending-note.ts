/**
 * The note, in the group's directory, that damage was found and is being mended. It is durable before
 * any file is changed on its account, and goes when everything is there again. A note that cannot be
 * read is taken for the gravest: that the log has lost entries.
 */

import type { Mending, MendingStore } from "../server/ports.ts";
import { isFullDisk, readFully, writeFully, type Disk } from "./disk.ts";
import { forgetSetAside } from "./set-aside.ts";

const bytesMax = 1 << 16;

export class MendingNote implements MendingStore {
  readonly #disk: Disk;
  readonly #directory: string;
  #current: Mending;

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
    this.#current = this.#read();
  }

  get current(): Mending {
    return this.#current;
  }

  add(part: keyof Mending, detail: string): "noted" | "full" {
    try {
      this.ensure(part, detail);
      return "noted";
    } catch (error) {
      if (isFullDisk(error)) return "full";
      throw error;
    }
  }

  /** For a start, which cannot go on without the note: a full disk throws, and nothing is noted. */
  ensure(part: keyof Mending, detail: string): void {
    if (this.#current[part] !== null) return;
    const next = { ...this.#current, [part]: detail };
    const path = `${this.#path}-new`;
    // A crash, or a full disk, may have left a part of it.
    if (this.#disk.exists(path)) this.#disk.remove(path);
    const file = this.#disk.open(path, "create");
    try {
      writeFully(file, 0, Buffer.from(JSON.stringify(next)));
      file.sync();
    } finally {
      file.close();
    }
    this.#disk.rename(path, this.#path);
    this.#disk.syncDirectory(this.#directory);
    this.#current = next;
  }

  /** The damaged files, kept until now, are removed with the note. */
  clear(): void {
    if (this.#disk.exists(this.#path)) this.#disk.remove(this.#path);
    this.#disk.syncDirectory(this.#directory);
    forgetSetAside(this.#disk, this.#directory);
    this.#current = { log: null, state: null };
  }

  get #path(): string {
    return `${this.#directory}/mending`;
  }

  #read(): Mending {
    if (!this.#disk.exists(this.#path)) return { log: null, state: null };
    const file = this.#disk.open(this.#path, "read");
    const bytes = Buffer.alloc(Math.min(file.size(), bytesMax));
    readFully(file, 0, bytes);
    file.close();
    return decode(bytes.toString()) ?? { log: "the note about it cannot be read", state: null };
  }
}

function decode(text: string): Mending | null {
  try {
    const { log, state } = JSON.parse(text) as Record<string, unknown>;
    const isText = (value: unknown): value is string | null =>
      value === null || typeof value === "string";
    return isText(log) && isText(state) && (log ?? state) !== null ? { log, state } : null;
  } catch {
    return null;
  }
}
