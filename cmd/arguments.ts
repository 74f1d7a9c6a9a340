/** Between the shell's words and cac: values stay the text that was typed, and errors name the word. */

/** Wrong use: one line on standard error, exit code 2, nothing else happens. */
export class UsageError extends Error {
  override name = "UsageError";
}

const negativeNumber = /^-\d+$/;

/**
 * cac turns values that look like numbers into numbers (`--data-dir 0123` would become `123`) and
 * takes a value that begins with a dash for another flag. So every value, and every word after `--`,
 * goes through it under a placeholder and is put back afterwards.
 */
export class LiteralArguments {
  readonly words: readonly string[];
  readonly argv: string[] = [];
  readonly #values: string[] = [];

  /** `valueFlags`: names, without dashes, of the flags that take a value. */
  constructor(words: readonly string[], valueFlags: ReadonlySet<string>) {
    this.words = words;
    const seen = new Set<string>();
    for (let i = 0; i < words.length; i++) {
      const word = words[i] ?? "";
      if (word === "--") {
        for (const rest of words.slice(i + 1)) this.argv.push(this.#hide(rest));
        break;
      }
      const match = /^--([a-z][a-z-]*)(?:=([\s\S]*))?$/.exec(word);
      const name = match?.[1];
      if (name === undefined || !valueFlags.has(name)) {
        // A lone word is hidden too where cac could take it for something else.
        const isFlag = word.startsWith("-") && word.length > 1 && !negativeNumber.test(word);
        this.argv.push(isFlag ? word : this.#hide(word, word));
        continue;
      }
      if (seen.has(name)) throw new UsageError(`--${name} is given twice; give it once`);
      seen.add(name);
      let value = match?.[2];
      if (value === undefined) {
        i++;
        value = words[i];
        if (value === undefined) throw new UsageError(`--${name} needs a value after it`);
      }
      this.argv.push(`--${name}=${this.#hide(value)}`);
    }
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
