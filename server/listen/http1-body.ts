/** Puts request bodies together: of a known length, or in chunks (RFC 9112 §7.1). No I/O. */

import type { Buffer } from "node:buffer";
import { assert } from "../raft/assert.ts";
import { HeaderFields, hasBareLineFeed, parseFields } from "./http1-head.ts";

/** What came after the body, or before it is complete, or what is wrong with it. */
export type BodyStep =
  | { readonly state: "more" }
  | { readonly state: "complete"; readonly body: Uint8Array; readonly rest: Buffer }
  | { readonly state: "malformed"; readonly detail: string }
  | { readonly state: "tooLarge" };

export interface BodyReader {
  push(chunk: Buffer): BodyStep;
}

const more: BodyStep = { state: "more" };

/** So much at first, unless more has come at once; it doubles as bytes come, and not before. */
const firstBytes = 16 << 10;

const none = new Uint8Array(0);

/** Bytes that grow at the end, never beyond a limit. */
class GrowingBytes {
  readonly #bytesMax: number;
  #bytes = none;
  length = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  add(bytes: Uint8Array): void {
    const needed = this.length + bytes.byteLength;
    assert(needed <= this.#bytesMax, "a body stays within its limit");
    if (needed > this.#bytes.byteLength) {
      const grown = Math.max(needed, firstBytes, 2 * this.#bytes.byteLength);
      const larger = new Uint8Array(Math.min(this.#bytesMax, grown));
      if (this.length > 0) larger.set(this.#bytes.subarray(0, this.length));
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.length);
    this.length = needed;
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }
}

/** The length is within the limit: its caller has looked. */
export class LengthReader implements BodyReader {
  readonly #length: number;
  readonly #body: GrowingBytes;

  constructor(length: number) {
    this.#length = length;
    this.#body = new GrowingBytes(length);
  }

  push(chunk: Buffer): BodyStep {
    const missing = this.#length - this.#body.length;
    if (chunk.byteLength < missing) {
      this.#body.add(chunk);
      return more;
    }
    this.#body.add(chunk.subarray(0, missing));
    return { state: "complete", body: this.#body.bytes, rest: chunk.subarray(missing) };
  }
}

/** A chunk's size and what may be said with it; a trailer line. */
const lineBytesMax = 1_024;
const trailerBytesMax = 4 << 10;
const sizeLine = /^([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t -~\x80-\xff]*)?$/;

/** `\n`. */
const lineFeed = 10;

type Place = "size" | "data" | "dataEnd" | "trailer";

export class ChunkedReader implements BodyReader {
  readonly #bytesMax: number;
  readonly #body: GrowingBytes;
  #place: Place = "size";
  /** Bytes of the current chunk that are to come. */
  #left = 0;
  #line = "";
  #trailerBytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#body = new GrowingBytes(bytesMax);
  }

  push(chunk: Buffer): BodyStep {
    let at = 0;
    while (at < chunk.byteLength) {
      if (this.#place === "data") {
        const end = Math.min(chunk.byteLength, at + this.#left);
        this.#body.add(chunk.subarray(at, end));
        this.#left -= end - at;
        at = end;
        if (this.#left === 0) this.#place = "dataEnd";
        continue;
      }
      at = this.#fillLine(chunk, at);
      if (!this.#line.endsWith("\r\n")) {
        if (this.#isLineBroken()) return this.#malformed();
        continue;
      }
      const step = this.#takeLine(this.#line.slice(0, -2));
      this.#line = "";
      if (step === "end") {
        return { state: "complete", body: this.#body.bytes, rest: chunk.subarray(at) };
      }
      if (step !== null) return step;
    }
    return more;
  }

  /** Up to and with the next line feed, or as far as a line may go. */
  #fillLine(chunk: Buffer, at: number): number {
    const feed = chunk.indexOf(lineFeed, at);
    const wanted = feed < 0 ? chunk.byteLength : feed + 1;
    const end = Math.min(wanted, at + lineBytesMax + 2 - this.#line.length);
    this.#line += chunk.toString("latin1", at, end);
    return end;
  }

  #isLineBroken(): boolean {
    if (this.#line.length > lineBytesMax || this.#line.endsWith("\n")) return true;
    // Nothing but a line end may stand behind a chunk.
    return this.#place === "dataEnd" && !"\r\n".startsWith(this.#line);
  }

  #takeLine(line: string): BodyStep | "end" | null {
    switch (this.#place) {
      case "size":
        return this.#takeSize(line);
      case "dataEnd":
        this.#place = "size";
        return line === "" ? null : this.#malformed();
      default:
        return this.#takeTrailer(line);
    }
  }

  #takeSize(line: string): BodyStep | null {
    const size = sizeLine.exec(line);
    if (size === null) return this.#malformed();
    this.#left = Number.parseInt(size[1] ?? "", 16);
    if (this.#body.length + this.#left > this.#bytesMax) return { state: "tooLarge" };
    this.#place = this.#left === 0 ? "trailer" : "data";
    return null;
  }

  /** Trailers are read for their form and dropped: nothing here wants them. */
  #takeTrailer(line: string): BodyStep | "end" | null {
    if (line === "") return "end";
    this.#trailerBytes += line.length;
    const isSound =
      this.#trailerBytes <= trailerBytesMax &&
      !hasBareLineFeed(line) &&
      !/[^\t -~\x80-\xff]/.test(line) &&
      parseFields(line, 0, new HeaderFields()) === null;
    return isSound ? null : this.#malformed();
  }

  #malformed(): BodyStep {
    return { state: "malformed", detail: "its chunks are malformed" };
  }
}
