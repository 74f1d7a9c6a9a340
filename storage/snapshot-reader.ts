/** Reads a snapshot file a chunk at a time, and takes nothing from it that its checksums do not vouch for. */

import { assert } from "../server/raft/assert.ts";
import type { RowBatch } from "../server/state-machine/port.ts";
import { ChunkReader } from "./chunk-file.ts";
import type { Disk } from "./disk.ts";
import { decodeRows } from "./snapshot-format.ts";
import { decodeHead, type SnapshotHead } from "./snapshot-head.ts";

export type SnapshotStep =
  | { readonly kind: "rows"; readonly batch: RowBatch }
  /** Everything was read, and the file is what was written. */
  | { readonly kind: "end" }
  | { readonly kind: "damaged"; readonly detail: string };

export class SnapshotReader {
  readonly #chunks: ChunkReader;
  #rows = 0;
  #head: SnapshotHead | null = null;

  constructor(disk: Disk, path: string) {
    this.#chunks = new ChunkReader(disk.open(path, "read"));
  }

  /** Once, before `next`. Returns a text where the file is damaged, or of another version. */
  readHead(): SnapshotHead | string {
    assert(this.#chunks.isAtStart, "the head is read first");
    const chunk = this.#chunks.next();
    if (!chunk.ok) return chunk.detail;
    this.#head = chunk.kind === "head" ? decodeHead(chunk.body) : null;
    return this.#head ?? "it has no head of this version";
  }

  next(): SnapshotStep {
    assert(this.#head !== null, "the head is read first");
    const chunk = this.#chunks.next();
    if (!chunk.ok) return { kind: "damaged", detail: chunk.detail };
    switch (chunk.kind) {
      case "head":
        return { kind: "damaged", detail: "it has a second head" };
      case "rows":
        return this.#rowsOf(chunk.body);
      case "end":
        return this.#endOf(chunk.body);
    }
  }

  close(): void {
    this.#chunks.close();
  }

  #rowsOf(body: Buffer): SnapshotStep {
    try {
      const batch = decodeRows(body);
      this.#rows += batch.rows.length;
      return { kind: "rows", batch };
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return { kind: "damaged", detail: error.message };
    }
  }

  #endOf(body: Buffer): SnapshotStep {
    const rows = rowsInEnd(body);
    if (rows === null) return { kind: "damaged", detail: "it has no end of this version" };
    if (rows !== this.#rows) {
      return { kind: "damaged", detail: `it has ${this.#rows} rows instead of ${rows}` };
    }
    if (!this.#chunks.isAtEnd) {
      return { kind: "damaged", detail: "something stands behind its end" };
    }
    return { kind: "end" };
  }
}

/** Null where the body is not what `SnapshotWriter` wrote. */
function rowsInEnd(body: Buffer): number | null {
  try {
    const end: unknown = JSON.parse(body.toString());
    if (typeof end !== "object" || end === null) return null;
    const { rows } = end as Record<string, unknown>;
    return typeof rows === "number" ? rows : null;
  } catch {
    return null;
  }
}
