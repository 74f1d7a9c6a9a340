/**
 * A snapshot file: a head, chunks of rows, an end. It knows nothing of SQLite's pages, so that any
 * state machine can write and read it.
 *
 * Every chunk begins with 16 bytes, in little-endian order:
 *
 * | bytes | field |
 * |---|---|
 * | 0–3 | length of the body |
 * | 4–7 | checksum of bytes 0–3, 8–15 and the body, continued from the chunk before |
 * | 8 | kind: 1 head, 2 rows, 3 end |
 * | 9–11 | zero |
 * | 12–15 | number of the chunk, from 0 |
 *
 * The checksums are chained, so that of the end is the checksum of the whole file: no chunk can be
 * missing, twice or in another's place. Head and end are JSON. The body of a rows chunk is the table's
 * name, the number of rows and of columns, and the values, each with its type before it.
 */

import { crc32 } from "node:zlib";
import { assert } from "../server/raft/assert.ts";
import type { RowBatch, SnapshotValue } from "../server/state-machine/port.ts";

export const chunkHeaderBytes = 16;
/** More than any row can have: a longer chunk is damage, and nothing is allocated for it. */
export const chunkBodyBytesMax = 16 << 20;

export type ChunkKind = "head" | "rows" | "end";
const kindNumbers = { head: 1, rows: 2, end: 3 } as const;
const kinds = new Map<number, ChunkKind>([
  [1, "head"],
  [2, "rows"],
  [3, "end"],
]);

export interface ChunkHeader {
  readonly kind: ChunkKind;
  readonly bodyBytes: number;
  readonly checksum: number;
  readonly number: number;
}

export function encodeChunk(
  kind: ChunkKind,
  body: Uint8Array,
  place: { number: number; chain: number },
): { bytes: Buffer; chain: number } {
  assert(body.byteLength <= chunkBodyBytesMax, "a chunk stays below its maximum");
  const bytes = Buffer.alloc(chunkHeaderBytes + body.byteLength);
  bytes.writeUInt32LE(body.byteLength, 0);
  bytes[8] = kindNumbers[kind];
  bytes.writeUInt32LE(place.number, 12);
  bytes.set(body, chunkHeaderBytes);
  const chain = chunkChecksum(bytes, body, place.chain);
  bytes.writeUInt32LE(chain, 4);
  return { bytes, chain };
}

/** Null where these bytes begin no chunk. */
export function decodeChunkHeader(bytes: Buffer): ChunkHeader | null {
  if (bytes.byteLength < chunkHeaderBytes) return null;
  const bodyBytes = bytes.readUInt32LE(0);
  const kind = kinds.get(bytes.readUInt32LE(8));
  if (kind === undefined || bodyBytes > chunkBodyBytesMax) return null;
  return { kind, bodyBytes, checksum: bytes.readUInt32LE(4), number: bytes.readUInt32LE(12) };
}

/** `header` are the 16 bytes before `body`; the checksum in them is not looked at. */
export const chunkChecksum = (header: Buffer, body: Uint8Array, chain: number): number =>
  crc32(body, crc32(header.subarray(8, 16), crc32(header.subarray(0, 4), chain)));

// ------------------------------------------------------------------ rows

const tags = { null: 0, number: 1, text: 2, bytes: 3 } as const;
const rowsHeadBytes = 12;

export function encodeRows({ table, rows }: RowBatch): Buffer {
  const columns = rows[0]?.length ?? 0;
  const nameBytes = Buffer.byteLength(table);
  let size = rowsHeadBytes + nameBytes;
  for (const row of rows) for (const value of row) size += valueBytes(value);
  const body = Buffer.alloc(size);
  body.writeUInt32LE(nameBytes, 0);
  body.writeUInt32LE(rows.length, 4);
  body.writeUInt32LE(columns, 8);
  let at = rowsHeadBytes + body.write(table, rowsHeadBytes);
  for (const row of rows) {
    assert(row.length === columns, "the rows of a table have the same columns");
    for (const value of row) at = writeValue(body, at, value);
  }
  assert(at === size, "the rows fill what was counted for them");
  return body;
}

function valueBytes(value: SnapshotValue): number {
  if (value === null) return 1;
  if (typeof value === "number") return 9;
  return 5 + (typeof value === "string" ? Buffer.byteLength(value) : value.byteLength);
}

/** Returns where the next value goes. */
function writeValue(body: Buffer, at: number, value: SnapshotValue): number {
  if (value === null) return body.writeUInt8(tags.null, at);
  if (typeof value === "number") {
    return body.writeDoubleLE(value, body.writeUInt8(tags.number, at));
  }
  const start = at + 5;
  body.writeUInt8(typeof value === "string" ? tags.text : tags.bytes, at);
  let length: number;
  if (typeof value === "string") {
    length = body.write(value, start);
  } else {
    length = value.byteLength;
    body.set(value, start);
  }
  body.writeUInt32LE(length, at + 1);
  return start + length;
}

/** Of a body that its checksum vouches for. */
export const rowCountOf = (body: Buffer): number =>
  body.byteLength < rowsHeadBytes ? 0 : body.readUInt32LE(4);

/** The values own their bytes. Throws `RangeError` where the body is not what `encodeRows` wrote. */
export function decodeRows(body: Buffer): RowBatch {
  const reader = new ValueReader(body);
  const nameBytes = reader.uint32();
  const rowCount = reader.uint32();
  const columns = reader.uint32();
  const table = reader.take(nameBytes).toString();
  // Every value has a type before it. Rows without one would cost nothing here, and memory there.
  if (rowCount > 0 && columns === 0) throw new RangeError("its rows have no columns");
  const rows: SnapshotValue[][] = [];
  for (let i = 0; i < rowCount; i++) {
    const row: SnapshotValue[] = [];
    for (let column = 0; column < columns; column++) row.push(reader.value());
    rows.push(row);
  }
  if (!reader.isAtEnd) throw new RangeError("something stands behind the last row");
  return { table, rows };
}

class ValueReader {
  readonly #body: Buffer;
  #at = 0;

  constructor(body: Buffer) {
    this.#body = body;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#body.byteLength;
  }

  uint32(): number {
    return this.take(4).readUInt32LE(0);
  }

  /** A view. */
  take(bytes: number): Buffer {
    const end = this.#at + bytes;
    if (end > this.#body.byteLength) throw new RangeError("a value ends behind its chunk");
    const taken = this.#body.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  value(): SnapshotValue {
    const tag = this.take(1).readUInt8(0);
    switch (tag) {
      case tags.null:
        return null;
      case tags.number:
        return this.take(8).readDoubleLE(0);
      case tags.text:
        return this.take(this.uint32()).toString();
      case tags.bytes:
        return new Uint8Array(this.take(this.uint32()));
      default:
        throw new RangeError("a value of no known type");
    }
  }
}
