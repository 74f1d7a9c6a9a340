/**
 * The order of keys, and ranges in it: that of their UTF-8 bytes, which is that of their code points
 * and of SQLite's texts.
 */

import { keyBytesMax } from "./command.ts";

export interface KeyRange {
  /** Not below this; empty for the first of all. */
  readonly start: string;
  /** Below this. */
  readonly end: string;
}

const lastCodePoint = "\u{10ffff}";
const lastCodePointBytes = 4;

/** Greater than every key, because it is longer than the greatest of them. */
export const afterEveryKey: string = lastCodePoint.repeat(
  Math.floor(keyBytesMax / lastCodePointBytes) + 1,
);

/** The smallest text that can be a user's key: none holds a NUL. */
export const firstKey = "\u0001";

/** The smallest text that is greater than every key that starts with `prefix`. */
export function afterPrefix(prefix: string): string {
  const points = [...prefix];
  // What ends in the last code point has no successor of its own length.
  while (points.at(-1) === lastCodePoint) points.pop();
  const last = points.pop()?.codePointAt(0);
  if (last === undefined) return afterEveryKey;
  // Surrogates are no characters: UTF-8 goes from U+D7FF straight to U+E000.
  const next = last === 0xd7ff ? 0xe000 : last + 1;
  return points.join("") + String.fromCodePoint(next);
}

export const prefixRange = (prefix: string): KeyRange => ({
  start: prefix,
  end: afterPrefix(prefix),
});

/** The smallest text behind `key` that can be a key: none holds a NUL. */
export const afterKey = (key: string): string => `${key}\u0001`;

/** Below zero where `a` comes first, zero where they are equal. */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const left = a.charCodeAt(at);
    const right = b.charCodeAt(at);
    if (left !== right) return rank(left) - rank(right);
  }
  return a.length - b.length;
}

/** Puts surrogates, which stand for the code points from U+10000 on, behind all other units. */
const rank = (unit: number): number =>
  unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit;
