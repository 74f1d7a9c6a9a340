/** Cuts a stream of bytes into lines of bounded length. */

import { lineBytesMax } from "./words.ts";

/** Why a line is not text: it is too long, or its bytes are no UTF-8. */
export type Line =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly reason: "tooLong" | "notText" };

const newline = 0x0a;
const carriageReturn = 0x0d;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Holds at most `lineBytesMax` bytes; of a longer line only the fact is remembered. */
export class LineSplitter {
  #buffer = new Uint8Array(1_024);
  #length = 0;
  #isTooLong = false;

  *push(chunk: Uint8Array): Generator<Line> {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(newline, start);
      this.#keep(chunk.subarray(start, end === -1 ? chunk.length : end));
      if (end === -1) return;
      yield this.#take();
      start = end + 1;
    }
  }

  /** The last line, where the stream ends without a newline. */
  end(): Line | null {
    return this.#length > 0 || this.#isTooLong ? this.#take() : null;
  }

  #keep(bytes: Uint8Array): void {
    const length = this.#length + bytes.length;
    if (this.#isTooLong || length > lineBytesMax) {
      this.#isTooLong = true;
      this.#length = 0;
      return;
    }
    if (length > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(length, 2 * this.#buffer.length));
      grown.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = grown;
    }
    this.#buffer.set(bytes, this.#length);
    this.#length = length;
  }

  #take(): Line {
    const isTooLong = this.#isTooLong;
    let bytes = this.#buffer.subarray(0, this.#length);
    this.#length = 0;
    this.#isTooLong = false;
    if (isTooLong) return { ok: false, reason: "tooLong" };
    if (bytes.at(-1) === carriageReturn) bytes = bytes.subarray(0, -1);
    try {
      return { ok: true, text: decoder.decode(bytes) };
    } catch {
      return { ok: false, reason: "notText" };
    }
  }
}
