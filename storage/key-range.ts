/** Ranges of keys in the order of SQLite's texts: that of their UTF-8 bytes, which is that of their code points. */

import { keyBytesMax } from "../server/state-machine/command.ts";

const lastCodePoint = "\u{10ffff}";
const lastCodePointBytes = 4;

/** Greater than every key, because it is longer than the greatest of them. */
const afterEveryKey = lastCodePoint.repeat(Math.floor(keyBytesMax / lastCodePointBytes) + 1);

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
