/**
 * Bytes as text that is safe on a terminal and that `put` can read back. Values come from anybody
 * on the network, so no control character of theirs may reach the terminal: an escape code in a
 * value could rewrite the screen, or type.
 */

/**
 * Controls, line and paragraph separators, surrogates and the invisible format characters, among
 * them those that turn the direction of writing. The two joiners (200C, 200D) stay: Persian and
 * many emoji are written with them.
 */
const unprintable = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]|(?![\u200c\u200d])\p{Cf}/u;
const unprintableAll = new RegExp(unprintable.source, "gu");
const toEscape = new RegExp(`["\\\\]|${unprintable.source}`, "gu");

const fatalDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Characters of an unknown word that an error message repeats. */
const shortenedLengthMax = 40;
/** Characters of a value that a listing shows. */
export const listedValueLengthMax = 120;

/**
 * A value as `get` shows it: printable text as it is, all else in double quotes with escapes.
 * What is shown tells values apart: text that would look like the escaped form of another value, or
 * like an answer that is no value, is put in quotes as well. So is what a reader would not see, the
 * empty value and blanks at either end.
 */
export function renderValue(value: Uint8Array): string {
  const text = decode(value);
  if (text === null) return quoteBytes(value);
  return readsAsItself(text) ? text : quoteText(text);
}

/** A value on a line of a listing; a long one is cut and its size is given. */
export function renderListedValue(value: Uint8Array): string {
  if (value.length <= listedValueLengthMax) return renderValue(value);
  const text = decode(value);
  if (text === null) {
    const head = value.subarray(0, listedValueLengthMax / 4);
    return `${quoteBytes(head)}… (${value.length} bytes)`;
  }
  // Each may be two units, and one more than the most tells that the value goes on.
  const characters = [...text.slice(0, 2 * listedValueLengthMax + 2)];
  if (characters.length <= listedValueLengthMax) return renderValue(value);
  const head = characters.slice(0, listedValueLengthMax).join("");
  return `${readsAsItself(head) ? head : quoteText(head)}… (${value.length} bytes)`;
}

/** A key as a word of the prompt: bare where that is enough, otherwise in double quotes. */
export function renderKey(key: string): string {
  return isBare(key) ? key : quoteText(key);
}

/** The beginning of a key as a word that is still being typed: an opened quote stays open. */
export function renderKeyStart(start: string): string {
  return start === "" || isBare(start) ? start : quoteText(start).slice(0, -1);
}

/** A line of text from elsewhere (an error's detail, a log line) without its control characters. */
export function renderLine(text: string): string {
  return text.replace(unprintableAll, escapeCharacter);
}

/** JSON on one line, with escapes for what must not reach a terminal. */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value).replace(unprintableAll, (character) =>
    character
      .split("")
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
      .join(""),
  );
}

export function shorten(text: string): string {
  if (text.length <= shortenedLengthMax) return text;
  return `${[...text.slice(0, 2 * shortenedLengthMax)].slice(0, shortenedLengthMax).join("")}…`;
}

function isBare(text: string): boolean {
  // What begins with two dashes would be read as a flag where a word may be left out.
  return text !== "" && !/^--|[\s'"\\]/u.test(text) && !unprintable.test(text);
}

function readsAsItself(text: string): boolean {
  if (isUnclear(text)) return false;
  if (text.length < 2 || !text.startsWith('"') || !text.endsWith('"')) return true;
  const inside = text.slice(1, -1);
  return !isUnclear(inside) && !inside.includes("\\");
}

function isUnclear(text: string): boolean {
  return (
    text === "" ||
    text === "not found" ||
    text === "unchanged" ||
    text.startsWith("error: ") ||
    /^\s|\s$/u.test(text) ||
    unprintable.test(text)
  );
}

function quoteText(text: string): string {
  return `"${text.replace(toEscape, escapeCharacter)}"`;
}

/** Keeps the stretches that are UTF-8 as text, so that one bad byte does not hide the rest. */
function quoteBytes(bytes: Uint8Array): string {
  const parts: string[] = [];
  let validFrom = 0;
  let offset = 0;
  const flush = (): void => {
    const text = fatalDecoder.decode(bytes.subarray(validFrom, offset));
    parts.push(text.replace(toEscape, escapeCharacter));
  };
  while (offset < bytes.length) {
    const size = sequenceSize(bytes, offset);
    if (size > 0) {
      offset += size;
      continue;
    }
    flush();
    parts.push(hexEscape(bytes[offset] ?? 0));
    offset++;
    validFrom = offset;
  }
  flush();
  return `"${parts.join("")}"`;
}

/** The bytes of the UTF-8 sequence at `offset`, 0 where none is valid (Unicode, table 3-7). */
function sequenceSize(bytes: Uint8Array, offset: number): number {
  const lead = bytes[offset] ?? 0;
  if (lead < 0x80) return 1;
  const size = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  const second = bytes[offset + 1] ?? 0;
  if (lead === 0xe0 && second < 0xa0) return 0;
  if (lead === 0xed && second > 0x9f) return 0;
  if (lead === 0xf0 && second < 0x90) return 0;
  if (lead === 0xf4 && second > 0x8f) return 0;
  for (let position = 1; position < size; position++) {
    if (((bytes[offset + position] ?? 0) & 0xc0) !== 0x80) return 0;
  }
  return size;
}

function escapeCharacter(character: string): string {
  switch (character) {
    case "\n":
      return "\\n";
    case "\t":
      return "\\t";
    case "\r":
      return "\\r";
    case '"':
    case "\\":
      return `\\${character}`;
    default: {
      const code = character.codePointAt(0) ?? 0;
      return code < 0x80 ? hexEscape(code) : `\\u{${code.toString(16)}}`;
    }
  }
}

function hexEscape(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, "0")}`;
}

function decode(bytes: Uint8Array): string | null {
  try {
    return fatalDecoder.decode(bytes);
  } catch {
    return null;
  }
}
