/**
 * Writes the snapshot of a state view, a bounded piece at a time. Nothing waits for the disk: the file does
 * not outlive the process, and whoever reads it checks every byte.
 */

import { assert } from "../server/raft/assert.ts";
import type { StateView } from "../server/state-machine/port.ts";
import { writeFully, type Disk, type DiskFile } from "./disk.ts";
import { encodeChunk, encodeRows, type ChunkKind } from "./snapshot-format.ts";
import { encodeHead, type SnapshotHead } from "./snapshot-head.ts";

/** Row bytes in a chunk, and so in one step; a single larger row still goes. */
const chunkBytes = 128 << 10;

export class SnapshotWriter {
  readonly #view: StateView;
  readonly #file: DiskFile;
  #offset = 0;
  #number = 0;
  #chain = 0;
  #rows = 0;
  #state: "head" | "rows" | "done" = "head";
  readonly #head: SnapshotHead;

  /** `path` must not exist yet. The view stays the caller's to close. */
  constructor(options: { disk: Disk; path: string; view: StateView; head: SnapshotHead }) {
    this.#view = options.view;
    this.#head = options.head;
    this.#file = options.disk.open(options.path, "create");
    this.#file.writeBack();
  }

  get bytes(): number {
    return this.#offset;
  }

  /** After "done" the file is whole. A full disk throws `DiskError` with `ENOSPC`. */
  step(): "more" | "done" {
    assert(this.#state !== "done", "a snapshot that is whole is not written to");
    if (this.#state === "head") {
      this.#write("head", encodeHead(this.#head));
      this.#state = "rows";
      return "more";
    }
    const batch = this.#view.read(chunkBytes);
    if (batch) {
      this.#rows += batch.rows.length;
      this.#write("rows", encodeRows(batch));
      return "more";
    }
    this.#write("end", new TextEncoder().encode(JSON.stringify({ rows: this.#rows })));
    this.#state = "done";
    return "done";
  }

  close(): void {
    this.#file.close();
  }

  #write(kind: ChunkKind, body: Uint8Array): void {
    const { bytes, chain } = encodeChunk(kind, body, { number: this.#number, chain: this.#chain });
    writeFully(this.#file, this.#offset, bytes);
    this.#offset += bytes.byteLength;
    this.#number++;
    this.#chain = chain;
  }
}
