/** Between the shell's words and cac: values stay the text that was typed, and errors name the word. */

/** Wrong use: one line on standard error, exit code 2, nothing else happens. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** Flags by their names without dashes. */
export interface KnownFlags {
  /** Take a value. */
  readonly values: ReadonlySet<string>;
  readonly bare: ReadonlySet<string>;
  /** Single letters, and the flags they stand for. */
  readonly short: ReadonlyMap<string, string>;
}

const longFlag = /^--([^=]+)(?:=([\s\S]*))?$/;
const shortFlag = /^-([a-zA-Z])(?:=?([\s\S]+))?$/;
/** A dash alone, and a negative number, are words like others. */
const plainWord = /^(?!-)|^-$|^-\.?\d/;

/**
 * cac turns values that look like numbers into numbers (`--data-dir 0123` would become `123`), takes a
 * value that begins with a dash for another flag, and `--repl=x` for some form of `--no-repl`. So it is
 * given known flags only, and every value and word under a placeholder, which is put back afterwards.
 */
export class LiteralArguments {
  readonly words: readonly string[];
  readonly argv: string[] = [];
  /** How many words stand behind `--`; null: it is not there. */
  readonly wordsBehind: number | null = null;
  readonly #flags: KnownFlags;
  readonly #values: string[] = [];
  readonly #seen = new Set<string>();

  constructor(words: readonly string[], flags: KnownFlags) {
    this.words = words;
    this.#flags = flags;
    for (let i = 0; i < words.length; i++) {
      const word = words[i] ?? "";
      if (word === "--") {
        this.wordsBehind = words.length - i - 1;
        for (const rest of words.slice(i + 1)) this.argv.push(this.#hide(rest));
        break;
      }
      if (plainWord.test(word)) this.argv.push(this.#hide(word, word));
      else i += this.#takeFlag(word, words[i + 1]);
    }
  }

  /** Returns how many of the words behind it belong to the flag. */
  #takeFlag(word: string, next: string | undefined): number {
    const short = shortFlag.exec(word);
    const [, typed = "", attached] = short ?? longFlag.exec(word) ?? [];
    const name = short ? this.#flags.short.get(typed) : typed;
    if (name !== undefined && this.#flags.bare.has(name)) {
      if (attached !== undefined) throw new UsageError(`${word}: --${name} takes no value`);
      this.argv.push(`--${name}`);
      return 0;
    }
    if (name === undefined || !this.#flags.values.has(name)) {
      const shown = word.split("=")[0] ?? word;
      throw new UsageError(
        `unknown flag ${shown}; kv --help lists them, and after -- every word is taken as it is`,
      );
    }
    if (this.#seen.has(name)) throw new UsageError(`--${name} is given twice; give it once`);
    this.#seen.add(name);
    const value = attached ?? next;
    if (value === undefined) throw new UsageError(`--${name} needs a value after it`);
    this.argv.push(`--${name}=${this.#hide(value)}`);
    return attached === undefined ? 1 : 0;
  }

  /** The text behind a placeholder; anything else as it is. */
  text(value: unknown): string {
    const word = String(value);
    const match = /^\0(\d+)$/.exec(word);
    return match ? (this.#values[Number(match[1])] ?? word) : word;
  }

  /** The word as it was typed for a flag that cac reports in camel case. */
  typedFlag(camelCased: string): string {
    const plain = (text: string): string =>
      text.replace(/^-+/, "").split("=")[0]?.replaceAll("-", "").toLowerCase() ?? "";
    return (
      this.words.find((word) => word.startsWith("-") && plain(word) === plain(camelCased)) ??
      camelCased
    );
  }

  /** `shown`: a word that is harmless as it is (the name of a command) stays visible to cac. */
  #hide(value: string, shown?: string): string {
    if (shown !== undefined && /^[a-z]+$/.test(shown)) return shown;
    this.#values.push(value);
    return `\0${this.#values.length - 1}`;
  }
}

/**
 * Refuses words whose bytes are no UTF-8: the runtimes put U+FFFD for them, under which something else
 * would be stored or looked for. `commandLine` is the process's own as the system has it (NUL behind
 * every word); null where the system does not tell, and then a replaced byte cannot be told from U+FFFD.
 */
export function refuseBrokenText(words: readonly string[], commandLine: Uint8Array | null): void {
  if (commandLine === null || !words.some((word) => word.includes("\ufffd"))) return;
  const raw = splitAtNul(commandLine).slice(-words.length);
  for (const [i, word] of words.entries()) {
    const bytes = raw[i];
    if (!bytes || !word.includes("\ufffd") || isText(bytes)) continue;
    throw new UsageError(
      `"${word}" is not UTF-8: keys are text; other values go through HTTP (curl --data-binary), ` +
        "or as \\xHH in double quotes through the prompt",
    );
  }
}

function splitAtNul(bytes: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(0, start);
    parts.push(bytes.subarray(start, end < 0 ? bytes.length : end));
    start = end < 0 ? bytes.length : end + 1;
  }
  return parts;
}

function isText(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
