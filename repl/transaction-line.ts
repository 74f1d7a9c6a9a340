/** `txn` and JSON, over several lines perhaps, and flags behind it. */

/** The rest of a line that begins with `txn`, which is JSON and no words; null for other lines. */
export function transactionText(line: string): string | null {
  return /^\s*txn\s+(\S[^]*)$/.exec(line)?.[1] ?? null;
}

/** Where every brace that was opened is closed again: the offset behind it; null where one is open. */
export function endOfJson(text: string): number | null {
  let depth = 0;
  let isText = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (isText && character === "\\") at++;
    else if (character === '"') isText = !isText;
    else if (isText) continue;
    else if (character === "{" || character === "[") depth++;
    else if (character === "}" || character === "]") {
      depth--;
      if (depth <= 0) return at + 1;
    } else if (depth === 0 && !/\s/.test(character ?? "")) {
      // No object at all: what is wrong with it is told at once.
      return text.length;
    }
  }
  return null;
}
