/**
 * Writes the snapshot of a state view, a bounded piece at a time. Nothing waits for the disk: the file does
 * not outlive the process, and whoever reads it checks every byte.
 */

import { assert } from "../server/raft/assert.ts";
import type { StateView } from "../server/state-machine/port.ts";
import { ChunkWriter } from "./chunk-file.ts";
import type { Disk } from "./disk.ts";
import { encodeRows } from "./snapshot-format.ts";
import { encodeHead, type SnapshotHead } from "./snapshot-head.ts";

/** Row bytes in a chunk, and so in one step; a single larger row still goes. */
const chunkBytes = 128 << 10;

export class SnapshotWriter {
  readonly #view: StateView;
  readonly #chunks: ChunkWriter;
  #rows = 0;
  #state: "head" | "rows" | "done" = "head";
  readonly #head: SnapshotHead;

  /** `path` must not exist yet. The view stays the caller's to close. */
  constructor(options: { disk: Disk; path: string; view: StateView; head: SnapshotHead }) {
    this.#view = options.view;
    this.#head = options.head;
    const file = options.disk.open(options.path, "create");
    file.writeBack();
    this.#chunks = new ChunkWriter(file);
  }

  get bytes(): number {
    return this.#chunks.bytes;
  }

  /** After "done" the file is whole. A full disk throws `DiskError` with `ENOSPC`. */
  step(): "more" | "done" {
    assert(this.#state !== "done", "a snapshot that is whole is not written to");
    if (this.#state === "head") {
      this.#chunks.write("head", encodeHead(this.#head));
      this.#state = "rows";
      return "more";
    }
    if (this.#chunks.isBehind) return "more";
    const batch = this.#view.read(chunkBytes);
    if (batch) {
      this.#rows += batch.rows.length;
      this.#chunks.write("rows", encodeRows(batch));
      return "more";
    }
    this.#chunks.write("end", new TextEncoder().encode(JSON.stringify({ rows: this.#rows })));
    this.#state = "done";
    return "done";
  }

  close(): void {
    this.#chunks.close();
  }
}
