/** Files made of chunks, each of which continues the checksum of the one before. */

import type { ByteSource } from "./byte-source.ts";
import { writeFully, type DiskFile } from "./disk.ts";
import {
  chunkChecksum,
  chunkHeaderBytes,
  decodeChunkHeader,
  encodeChunk,
  type ChunkHeader,
  type ChunkKind,
} from "./snapshot-format.ts";

/** Nothing is synced. */
export class ChunkWriter {
  readonly #file: DiskFile;
  #offset = 0;
  #number = 0;
  #chain = 0;

  /** The file is empty. */
  constructor(file: DiskFile) {
    this.#file = file;
  }

  get bytes(): number {
    return this.#offset;
  }

  /** See `DiskFile`. */
  get isBehind(): boolean {
    return this.#file.isBehind;
  }

  write(kind: ChunkKind, body: Uint8Array): void {
    const { bytes, chain } = encodeChunk(kind, body, { number: this.#number, chain: this.#chain });
    writeFully(this.#file, this.#offset, bytes);
    this.#offset += bytes.byteLength;
    this.#number++;
    this.#chain = chain;
  }

  close(): void {
    this.#file.close();
  }
}

export type Chunk =
  | { readonly ok: true; readonly kind: ChunkKind; readonly body: Buffer }
  /** `detail`: what is wrong; null where it is not all here. */
  | { readonly ok: false; readonly detail: string | null };

export class ChunkReader {
  readonly #source: ByteSource;
  /** Where the next chunk begins. */
  #offset = 0;
  /** Of the next chunk, while its body is not here. */
  #header: { readonly bytes: Buffer; readonly decoded: ChunkHeader } | null = null;
  #number = 0;
  #chain = 0;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  get isAtStart(): boolean {
    return this.#number === 0;
  }

  get isAtEnd(): boolean {
    return this.#offset === this.#source.size;
  }

  /** Bytes that have to be here for the next chunk, as far as that is known. */
  get wanted(): number {
    return this.#header === null ? chunkHeaderBytes : this.#header.decoded.bodyBytes;
  }

  /** Gives nothing that its checksum does not vouch for. */
  next(): Chunk {
    const offset = this.#offset;
    const { size } = this.#source;
    const cutShort = { ok: false, detail: `at byte ${offset} it is not whole` } as const;
    if (this.#header === null) {
      if (offset + chunkHeaderBytes > size) return cutShort;
      const bytes = this.#source.take(chunkHeaderBytes);
      if (bytes === null) return { ok: false, detail: null };
      const decoded = decodeChunkHeader(bytes);
      if (!decoded || offset + chunkHeaderBytes + decoded.bodyBytes > size) return cutShort;
      this.#header = { bytes, decoded };
    }
    const { bytes, decoded } = this.#header;
    const body = this.#source.take(decoded.bodyBytes);
    if (body === null) return { ok: false, detail: null };
    const checksum = chunkChecksum(bytes, body, this.#chain);
    if (checksum !== decoded.checksum || decoded.number !== this.#number) {
      return { ok: false, detail: `at byte ${offset} it contradicts its checksum` };
    }
    this.#header = null;
    this.#chain = checksum;
    this.#number++;
    this.#offset += chunkHeaderBytes + decoded.bodyBytes;
    return { ok: true, kind: decoded.kind, body };
  }

  close(): void {
    this.#source.close();
  }
}
