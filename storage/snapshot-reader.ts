/** Reads a snapshot a chunk at a time, and takes nothing from it that its checksums do not vouch for. */

import { assert } from "../server/raft/assert.ts";
import type { RowBatch } from "../server/state-machine/port.ts";
import type { ByteSource } from "./byte-source.ts";
import { ChunkReader } from "./chunk-file.ts";
import { decodeRows, rowCountOf } from "./snapshot-format.ts";
import { decodeHead, type SnapshotHead } from "./snapshot-head.ts";

export type SnapshotStep =
  | { readonly kind: "rows"; readonly batch: RowBatch }
  /** The next chunk is not all here. */
  | { readonly kind: "waiting" }
  /** Everything was read, and the file is what was written. */
  | { readonly kind: "end" }
  | { readonly kind: "damaged"; readonly detail: string };

export class SnapshotReader {
  readonly #chunks: ChunkReader;
  #rows = 0;
  #head: SnapshotHead | null = null;

  constructor(source: ByteSource) {
    this.#chunks = new ChunkReader(source);
  }

  /** Bytes that have to be here for the next chunk, as far as that is known. */
  get wanted(): number {
    return this.#chunks.wanted;
  }

  /**
   * Before `next`. Returns a text where the snapshot is damaged, or of another version; null while the
   * head is not all here.
   */
  readHead(): SnapshotHead | string | null {
    assert(this.#chunks.isAtStart, "the head is read first");
    const chunk = this.#chunks.next();
    if (!chunk.ok) return chunk.detail;
    this.#head = chunk.kind === "head" ? decodeHead(chunk.body) : null;
    return this.#head ?? "it has no head of this version";
  }

  next(): SnapshotStep {
    assert(this.#head !== null, "the head is read first");
    const chunk = this.#chunks.next();
    if (!chunk.ok) {
      const { detail } = chunk;
      return detail === null ? { kind: "waiting" } : { kind: "damaged", detail };
    }
    switch (chunk.kind) {
      case "head":
        return { kind: "damaged", detail: "it has a second head" };
      case "rows":
        return this.#rowsOf(chunk.body);
      case "end":
        return this.#endOf(chunk.body);
    }
  }

  /** As `next`, for who only wants to know whether it is whole. Null: there is more. */
  check(): "end" | { readonly damage: string } | null {
    assert(this.#head !== null, "the head is read first");
    const chunk = this.#chunks.next();
    if (!chunk.ok) return { damage: chunk.detail ?? "its end is missing" };
    if (chunk.kind === "head") return { damage: "it has a second head" };
    if (chunk.kind === "rows") {
      this.#rows += rowCountOf(chunk.body);
      return null;
    }
    const end = this.#endOf(chunk.body);
    return end.kind === "damaged" ? { damage: end.detail } : "end";
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
