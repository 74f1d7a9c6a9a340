/**
 * The form of a script: paragraphs parted by empty lines. A paragraph of `#` lines is prose. Any
 * other one is commands, a line `---`, and the output they are expected to give; comments may stand
 * above its commands.
 */

export const separator = "---";

export interface Block {
  /** Comments and commands, as written. */
  readonly head: readonly string[];
  readonly commands: readonly string[];
  readonly expected: readonly string[];
}

export function parseScript(text: string): Block[] {
  return text
    .split(/\n(?:[ \t]*\n)+/)
    .map((paragraph) => paragraph.split("\n").filter((line) => line.trim() !== ""))
    .filter((lines) => lines.length > 0)
    .map(parseBlock);
}

function parseBlock(lines: readonly string[]): Block {
  const at = lines.indexOf(separator);
  const head = at < 0 ? lines : lines.slice(0, at);
  const expected = at < 0 ? [] : lines.slice(at + 1);
  return { head, commands: head.filter((line) => !line.startsWith("#")), expected };
}

/** The block with other output; prose has none. */
export function formatBlock(block: Block, output: readonly string[]): string {
  if (block.commands.length === 0) return block.head.join("\n");
  return [...block.head, separator, ...output].join("\n");
}
