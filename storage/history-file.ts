/**
 * The changes that watchers may come back for, in a file of the group's directory, from the orderly end
 * of a process to the next start. It says of which state it is the history, to the last bit of that
 * state's hashes, and is believed by no other: a history with a hole would be silent loss, and without
 * one the node honestly says that it has forgotten. So it is not synced either: what a power loss leaves
 * of it contradicts its checksums.
 */

import { index, type Index } from "../server/raft/entry.ts";
import type { SnapshotValue, StateDigest } from "../server/state-machine/port.ts";
import { FileSource, type ByteSource } from "./byte-source.ts";
import { ChunkReader, ChunkWriter } from "./chunk-file.ts";
import { DiskError, type Disk } from "./disk.ts";
import { decodeRows, encodeRows } from "./snapshot-format.ts";

type HistoryRow = readonly SnapshotValue[];

export interface SavedHistory {
  /** Of the state that the last change led to. */
  readonly appliedIndex: Index;
  /** Every change behind this revision is here. */
  readonly floor: Index;
  readonly rows: Iterable<HistoryRow>;
}

export interface HistoryFileOptions {
  readonly disk: Disk;
  /** The group's. */
  readonly directory: string;
  readonly clusterId: string;
}

/** Of another version it is another history. */
const version = 1;
const table = "changes";
/** Bytes of keys and values in a chunk; a single larger row still goes. */
const chunkBytes = 128 << 10;
/** More than a history may have: nothing is read of it. */
const fileBytesMax = 512 << 20;

export class HistoryFile {
  readonly #options: HistoryFileOptions;

  constructor(options: HistoryFileOptions) {
    this.#options = options;
  }

  /** Nothing is saved of another state than the digest's. Returns what went wrong; null: nothing. */
  save(digest: StateDigest, { appliedIndex, floor, rows }: SavedHistory): string | null {
    const { disk } = this.#options;
    if (appliedIndex !== digest.appliedIndex) return null;
    const path = `${this.#path}-new`;
    try {
      if (disk.exists(path)) disk.remove(path);
      const writer = new ChunkWriter(disk.open(path, "create"));
      try {
        writer.write("head", jsonBytes(this.#head(digest, floor)));
        let count = 0;
        for (const batch of batchesOf(rows)) {
          writer.write("rows", encodeRows({ table, rows: batch }));
          count += batch.length;
        }
        writer.write("end", jsonBytes({ rows: count }));
      } finally {
        writer.close();
      }
      disk.rename(path, this.#path);
      return null;
    } catch (error) {
      if (error instanceof DiskError) return error.message;
      throw error;
    }
  }

  /** What was saved of that very state; null where there is nothing of it. It is there no more then. */
  take(digest: StateDigest): SavedHistory | null {
    const { disk, directory } = this.#options;
    if (!disk.exists(this.#path)) return null;
    const saved = this.#read(digest);
    disk.remove(this.#path);
    disk.syncDirectory(directory);
    return saved;
  }

  #read(digest: StateDigest): SavedHistory | null {
    const source = new FileSource(this.#options.disk, this.#path);
    try {
      return source.size > fileBytesMax ? null : this.#decode(source, digest);
    } catch (error) {
      if (error instanceof RangeError || error instanceof SyntaxError) return null;
      throw error;
    } finally {
      source.close();
    }
  }

  #decode(source: ByteSource, digest: StateDigest): SavedHistory | null {
    const reader = new ChunkReader(source);
    const head = reader.next();
    if (!head.ok || head.kind !== "head") return null;
    const { floor } = JSON.parse(head.body.toString()) as { floor?: unknown };
    if (!Number.isSafeInteger(floor)) return null;
    const { appliedIndex } = digest;
    const saved = { appliedIndex, floor: index(floor as number), rows: [] as HistoryRow[] };
    if (head.body.compare(jsonBytes(this.#head(digest, saved.floor))) !== 0) return null;
    for (;;) {
      const chunk = reader.next();
      if (!chunk.ok || chunk.kind === "head") return null;
      if (chunk.kind === "end") {
        const isWhole = chunk.body.compare(jsonBytes({ rows: saved.rows.length })) === 0;
        return isWhole && reader.isAtEnd ? saved : null;
      }
      const batch = decodeRows(chunk.body);
      if (batch.table !== table) return null;
      for (const row of batch.rows) saved.rows.push(row);
    }
  }

  #head({ appliedIndex, stateHash, historyHash, bookHash }: StateDigest, floor: Index): object {
    const { clusterId } = this.#options;
    return { version, clusterId, appliedIndex, stateHash, historyHash, bookHash, floor };
  }

  get #path(): string {
    return `${this.#options.directory}/watch-history`;
  }
}

const jsonBytes = (value: object): Buffer => Buffer.from(JSON.stringify(value));

function* batchesOf(rows: Iterable<HistoryRow>): Generator<HistoryRow[]> {
  let batch: HistoryRow[] = [];
  let bytes = 0;
  for (const row of rows) {
    batch.push(row);
    for (const value of row) bytes += bytesOf(value);
    if (bytes < chunkBytes) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

function bytesOf(value: SnapshotValue): number {
  if (value === null || typeof value === "number") return 9;
  return typeof value === "string" ? value.length : value.byteLength;
}
