/**
 * The newest members that this node knows to be committed, in the group's directory. The log and the
 * state have them too; this is for the start that finds those damaged, and has to know whether there is
 * anybody who may give back what is lost. It is a hint and nothing more: without it, and where it cannot
 * be read, those count with whom the cluster was formed.
 */

import { crc32 } from "node:zlib";
import {
  decodeConfiguration,
  encodeConfiguration,
  type Configuration,
} from "../server/raft/configuration.ts";
import { isFullDisk, readFully, writeFully, type Disk } from "./disk.ts";

const bytesMax = 1 << 16;

export class MemberNote {
  readonly #disk: Disk;
  readonly #directory: string;
  #noted: Configuration | null;

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
    this.#noted = this.#read();
  }

  /** Null where nothing was noted, or it cannot be read. */
  get noted(): Configuration | null {
    return this.#noted;
  }

  /** There is one, and it cannot be read. */
  get isDamaged(): boolean {
    return this.#noted === null && this.#disk.exists(this.#path);
  }

  /** Durable when it returns; on a full disk the older one stays. */
  save(committed: Configuration): void {
    // By all of it: a recovered cluster counts its revisions anew.
    const bytes = encode(committed);
    if (this.#noted && Buffer.compare(bytes, encode(this.#noted)) === 0) return;
    const path = `${this.#path}-new`;
    if (this.#disk.exists(path)) this.#disk.remove(path);
    try {
      const file = this.#disk.open(path, "create");
      try {
        writeFully(file, 0, bytes);
        file.sync();
      } finally {
        file.close();
      }
    } catch (error) {
      if (isFullDisk(error)) return;
      throw error;
    }
    this.#disk.rename(path, this.#path);
    this.#disk.syncDirectory(this.#directory);
    this.#noted = committed;
  }

  get #path(): string {
    return `${this.#directory}/members`;
  }

  #read(): Configuration | null {
    if (!this.#disk.exists(this.#path)) return null;
    const file = this.#disk.open(this.#path, "read");
    const bytes = Buffer.alloc(Math.min(file.size(), bytesMax));
    readFully(file, 0, bytes);
    file.close();
    const [text = "", checksum] = bytes.toString().split("\n");
    if (text === "" || checksum !== String(crc32(text))) return null;
    return decodeConfiguration(Buffer.from(text));
  }
}

function encode(members: Configuration): Uint8Array {
  const text = new TextDecoder().decode(encodeConfiguration(members));
  return new TextEncoder().encode(`${text}\n${crc32(text)}\n`);
}
