/** Files made of chunks, each of which continues the checksum of the one before. */

import { readFully, writeFully, type DiskFile } from "./disk.ts";
import {
  chunkChecksum,
  chunkHeaderBytes,
  decodeChunkHeader,
  encodeChunk,
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
  | { readonly ok: false; readonly detail: string };

export class ChunkReader {
  readonly #file: DiskFile;
  readonly #size: number;
  #offset = 0;
  #number = 0;
  #chain = 0;

  constructor(file: DiskFile) {
    this.#file = file;
    this.#size = file.size();
  }

  get isAtStart(): boolean {
    return this.#number === 0;
  }

  get isAtEnd(): boolean {
    return this.#offset === this.#size;
  }

  /** Gives nothing that its checksum does not vouch for. */
  next(): Chunk {
    const offset = this.#offset;
    const head = Buffer.alloc(chunkHeaderBytes);
    const got = readFully(this.#file, offset, head);
    const header = decodeChunkHeader(head.subarray(0, got));
    const detail = `at byte ${offset} it is not whole`;
    if (!header || offset + chunkHeaderBytes + header.bodyBytes > this.#size) {
      return { ok: false, detail };
    }
    const body = Buffer.alloc(header.bodyBytes);
    if (readFully(this.#file, offset + chunkHeaderBytes, body) < header.bodyBytes) {
      return { ok: false, detail };
    }
    const checksum = chunkChecksum(head, body, this.#chain);
    if (checksum !== header.checksum || header.number !== this.#number) {
      return { ok: false, detail: `at byte ${offset} it contradicts its checksum` };
    }
    this.#chain = checksum;
    this.#number++;
    this.#offset += chunkHeaderBytes + header.bodyBytes;
    return { ok: true, kind: header.kind, body };
  }

  close(): void {
    this.#file.close();
  }
}
