/**
 * Cuts a line into words as a shell does: blanks separate, single quotes are literal, double
 * quotes know escapes, a backslash outside quotes takes the next character as it is. There are no
 * comments, variables or continuation lines. A word is bytes, because `\xHH` can write any byte.
 */

import { keyBytesMax, valueBytesMax } from "../server/state-machine/command.ts";

/** Room for a key and a value of the greatest size with every byte of both written as `\xHH`. */
export const lineBytesMax = 4 * valueBytesMax + 4 * keyBytesMax + 64;

/**
 * More than the longest command has with all its flags: nobody looks at the rest. This is what keeps
 * a megabyte of short words from becoming half a million objects.
 */
export const wordsMax = 24;

export interface Word {
  readonly bytes: Uint8Array;
  /** Offsets into the line, in UTF-16 units, quotes included; `end` is the first one after it. */
  readonly start: number;
  readonly end: number;
}

/** What is wrong with a line, where, and what would be right. */
export interface Problem {
  readonly ok: false;
  /** Counted in characters from 1; null where the line as a whole is meant. */
  readonly column: number | null;
  readonly detail: string;
  readonly advice: string;
  /** The quote that is still open at the end of the line: completion goes on from there. */
  readonly openQuote?: '"' | "'";
}

/** At most `wordsMax` words; what follows them is not looked at. */
export type Words = { readonly ok: true; readonly words: readonly Word[] } | Problem;

export const lineTooLong: Problem = {
  ok: false,
  column: null,
  detail: `the line is longer than ${lineBytesMax} bytes and was not run`,
  advice: "store a big value with curl -T FILE instead",
};

export function cutWords(line: string): Words {
  if (line.length > lineBytesMax) return lineTooLong;
  const words: Word[] = [];
  let offset = skipBlanks(line, 0);
  while (offset < line.length && words.length < wordsMax) {
    const read = new WordReader(line, offset).read();
    if (!read.ok) return read;
    words.push(read.word);
    offset = skipBlanks(line, read.word.end);
  }
  return { ok: true, words };
}

export function problemAt(line: string, offset: number, what: [string, string]): Problem {
  let column = 1;
  for (let unit = 0; unit < offset; unit++) {
    const code = line.charCodeAt(unit);
    // The second half of a pair is no character of its own.
    if (code < 0xdc00 || code > 0xdfff) column++;
  }
  return { ok: false, column, detail: what[0], advice: what[1] };
}

function skipBlanks(line: string, from: number): number {
  let offset = from;
  while (line[offset] === " " || line[offset] === "\t") offset++;
  return offset;
}

type Read = { readonly ok: true; readonly word: Word } | Problem;

/** Escapes of one letter inside double quotes. */
const letterEscapes: ReadonlyMap<string, string> = new Map([
  ["n", "\n"],
  ["t", "\t"],
  ["r", "\r"],
]);

class WordReader {
  readonly #line: string;
  readonly #start: number;
  #offset: number;
  readonly #bytes = new ByteBuilder();

  constructor(line: string, start: number) {
    this.#line = line;
    this.#start = start;
    this.#offset = start;
  }

  read(): Read {
    while (this.#offset < this.#line.length) {
      const character = this.#line[this.#offset];
      if (character === " " || character === "\t") break;
      const problem = this.#part(character);
      if (problem !== null) return problem;
    }
    const word = { bytes: this.#bytes.take(), start: this.#start, end: this.#offset };
    return { ok: true, word };
  }

  #part(character: string | undefined): Problem | null {
    switch (character) {
      case "'":
        return this.#singleQuoted();
      case '"':
        return this.#doubleQuoted();
      case "\\":
        return this.#backslash();
      default:
        this.#copyUntil(/[ \t'"\\]/g);
        return null;
    }
  }

  #copyUntil(stop: RegExp): void {
    stop.lastIndex = this.#offset;
    const end = stop.exec(this.#line)?.index ?? this.#line.length;
    this.#bytes.append(this.#line.slice(this.#offset, end));
    this.#offset = end;
  }

  #singleQuoted(): Problem | null {
    const open = this.#offset;
    const close = this.#line.indexOf("'", open + 1);
    if (close === -1) return this.#neverClosed(open, "'");
    this.#bytes.append(this.#line.slice(open + 1, close));
    this.#offset = close + 1;
    return null;
  }

  #doubleQuoted(): Problem | null {
    const open = this.#offset++;
    for (;;) {
      this.#copyUntil(/["\\]/g);
      const character = this.#line[this.#offset];
      if (character === undefined) return this.#neverClosed(open, '"');
      if (character === '"') {
        this.#offset++;
        return null;
      }
      // The line ends inside the quotes, right after a backslash.
      if (this.#offset + 1 === this.#line.length) return this.#neverClosed(open, '"');
      const problem = this.#escape();
      if (problem !== null) return problem;
    }
  }

  /** Outside quotes: the next character loses its meaning, whatever it is. */
  #backslash(): Problem | null {
    const next = this.#line.codePointAt(this.#offset + 1);
    if (next === undefined) {
      return problemAt(this.#line, this.#offset, [
        "the line ends with a backslash",
        "write \\\\ for a backslash",
      ]);
    }
    const character = String.fromCodePoint(next);
    this.#bytes.append(character);
    this.#offset += 1 + character.length;
    return null;
  }

  /** Inside double quotes, at a backslash that is not the line's last character. */
  #escape(): Problem | null {
    const letter = this.#line[this.#offset + 1] ?? "";
    if (letter === "x") return this.#byteEscape();
    if (letter === "u") return this.#codePointEscape();
    const text = letterEscapes.get(letter) ?? (/[!-/:-@[-`{-~ ]/.test(letter) ? letter : null);
    if (text === null) {
      return problemAt(this.#line, this.#offset, [
        "the backslash in double quotes starts no escape that is known",
        'the escapes are \\n \\t \\r \\\\ \\" \\xHH \\u{HEX}; write \\\\ for a backslash',
      ]);
    }
    this.#bytes.append(text);
    this.#offset += 2;
    return null;
  }

  #byteEscape(): Problem | null {
    const digits = this.#line.slice(this.#offset + 2, this.#offset + 4);
    if (!/^[0-9a-fA-F]{2}$/.test(digits)) {
      return problemAt(this.#line, this.#offset, [
        "\\x needs two hexadecimal digits",
        'for example "\\x1b"',
      ]);
    }
    this.#bytes.appendByte(Number.parseInt(digits, 16));
    this.#offset += 4;
    return null;
  }

  #codePointEscape(): Problem | null {
    // Ten characters hold the longest form, `u{10ffff}`.
    const match = /^u\{([0-9a-fA-F]{1,6})\}/.exec(
      this.#line.slice(this.#offset + 1, this.#offset + 11),
    );
    const code = Number.parseInt(match?.[1] ?? "", 16);
    const isSurrogate = code >= 0xd800 && code <= 0xdfff;
    if (match === null || code > 0x10ffff || isSurrogate) {
      return problemAt(this.#line, this.#offset, [
        "\\u needs the code point of a character in braces",
        'for example "\\u{1f600}", at most 10ffff and no surrogate',
      ]);
    }
    this.#bytes.append(String.fromCodePoint(code));
    this.#offset += 1 + match[0].length;
    return null;
  }

  #neverClosed(open: number, quote: '"' | "'"): Problem {
    const name = quote === '"' ? "double" : "single";
    return {
      ...problemAt(this.#line, open, [
        `the ${name} quote is never closed`,
        `end the word with ${quote}, or write \\${quote} for the character itself`,
      ]),
      openQuote: quote,
    };
  }
}

const encoder = new TextEncoder();

/** Collects a word's bytes; grows by doubling, so that a long word costs linear time. */
class ByteBuilder {
  #bytes = new Uint8Array(64);
  #length = 0;

  append(text: string): void {
    // A UTF-16 unit needs at most three bytes of UTF-8.
    this.#reserve(3 * text.length);
    this.#length += encoder.encodeInto(text, this.#bytes.subarray(this.#length)).written;
  }

  appendByte(byte: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = byte;
  }

  take(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}
