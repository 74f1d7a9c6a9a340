/** The words behind a command's name: those that it needs, then those that it may have, and flags. */

import { keyBytesMax } from "../server/state-machine/command.ts";
import { commandFlags, type GivenFlags, type WrongFlag } from "./flags.ts";
import { exampleOf, usageOf, type CommandName } from "./help.ts";
import type { WrongWord } from "./member-words.ts";
import { renderLine, shorten } from "./render.ts";
import { problemAt, type Problem, type Word } from "./words.ts";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Null where the bytes are no UTF-8. */
export function decode(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

/** Words that a command takes as they are, whatever they look like: flags come behind them. */
const wordsNeeded: Readonly<Partial<Record<CommandName, number>>> = {
  put: 2,
  append: 2,
  max: 2,
  min: 2,
  get: 1,
  del: 1,
  getdel: 1,
  incr: 1,
  touch: 1,
};

export class WordArguments {
  readonly name: CommandName;
  readonly flags: GivenFlags;
  readonly #line: string;
  readonly #words: readonly Word[];
  /** Where each flag stands in the line. */
  readonly #flagStarts: ReadonlyMap<string, number>;

  private constructor(
    at: { readonly line: string; readonly name: CommandName },
    words: readonly Word[],
    flags: { readonly given: GivenFlags; readonly starts: ReadonlyMap<string, number> },
  ) {
    this.#line = at.line;
    this.name = at.name;
    this.#words = words;
    this.flags = flags.given;
    this.#flagStarts = flags.starts;
  }

  /** `words` are those of `line` behind the name. */
  static of(line: string, name: CommandName, words: readonly Word[]): WordArguments | Problem {
    const known = commandFlags[name] ?? {};
    const given = new Map<string, string | true>();
    const starts = new Map<string, number>();
    const plain: Word[] = words.slice(0, wordsNeeded[name] ?? 0);
    for (let at = plain.length; at < words.length; at++) {
      const word = words[at] as Word;
      const [flag, attached] = flagIn(line, word);
      const value = Object.hasOwn(known, flag) ? known[flag]?.value : undefined;
      if (value === undefined) {
        plain.push(word);
        continue;
      }
      const wrong = (detail: string, advice: string): Problem =>
        problemAt(line, word.start, [detail, advice]);
      if (given.has(flag)) return wrong(`--${flag} is given twice`, "give it once");
      starts.set(flag, word.start);
      if (value === null) {
        if (attached !== null) return wrong(`--${flag} takes no value`, `write --${flag} alone`);
        given.set(flag, true);
        continue;
      }
      const next = attached === null ? words[++at] : undefined;
      const text = attached ?? (next === undefined ? null : (decode(next.bytes) ?? "\ufffd"));
      if (text === null) return wrong(`--${flag} needs a value`, `write --${flag} ${value}`);
      given.set(flag, text);
    }
    return new WordArguments({ line, name }, plain, { given, starts });
  }

  /** Of words and flags that a shell has told from each other. */
  static ofTexts(name: CommandName, texts: readonly string[], flags: GivenFlags): WordArguments {
    const words = texts.map((text) => ({ bytes: encoder.encode(text), start: 0, end: 0 }));
    return new WordArguments({ line: "", name }, words, { given: flags, starts: new Map() });
  }

  has(position: number): boolean {
    return position < this.#words.length;
  }

  bytes(position: number): Uint8Array | null {
    return this.#words[position]?.bytes ?? null;
  }

  /** What is no text stands for itself as a character that no word of ours has. */
  texts(): string[] {
    return this.#words.map(({ bytes }) => decode(bytes) ?? "\ufffd");
  }

  wrong({ position, detail, advice }: Omit<WrongWord, "ok">): Problem {
    if (this.has(position)) return this.problem(position, [detail, advice]);
    return problemAt(this.#line, this.#line.trimEnd().length, [detail, advice]);
  }

  wrongFlag({ flag, detail, advice }: WrongFlag): Problem {
    return problemAt(this.#line, this.#flagStarts.get(flag) ?? 0, [detail, advice]);
  }

  /** A key, of 1 … `keyBytesMax` bytes. */
  key(): string | Problem {
    const bytes = this.bytes(0);
    if (bytes === null) {
      const needs = this.name === "put" ? "a key and a value" : "a key";
      return this.missing(`${this.name} needs ${needs}`, exampleOf(this.name));
    }
    if (bytes.length === 0) {
      return this.problem(0, ["a key cannot be empty", `a key has 1 to ${keyBytesMax} bytes`]);
    }
    return this.text(0);
  }

  /** A key or the beginning of one. */
  text(position: number): string | Problem {
    const bytes = this.bytes(position) ?? new Uint8Array();
    if (bytes.length > keyBytesMax) {
      return this.problem(position, [
        `the key is ${bytes.length} bytes long, the most is ${keyBytesMax}`,
        "use a shorter key",
      ]);
    }
    const text = decode(bytes);
    if (text === null) {
      return this.problem(position, [
        "the key is not valid UTF-8",
        "keys are text; write characters as \\u{HEX} instead of bytes as \\xHH",
      ]);
    }
    if (text.includes("\0")) {
      return this.problem(position, ["a key cannot hold a NUL character", "leave it out"]);
    }
    return text;
  }

  /** What is wrong where more than `count` words were given; null where all is well. */
  tooMany(count: number): Problem | null {
    if (!this.has(count)) return null;
    const usage = `the form is: ${usageOf(this.name)}`;
    const word = this.texts()[count] ?? "";
    if (word.startsWith("--")) {
      const flags = Object.keys(commandFlags[this.name] ?? {}).map((flag) => `--${flag}`);
      const known = flags.length === 0 ? "it has none" : `its flags are ${flags.join(", ")}`;
      return this.problem(count, [`${this.name} has no flag ${renderLine(shorten(word))}`, known]);
    }
    if (this.name === "txn") {
      return this.problem(count, ["behind its JSON txn takes flags alone", usage]);
    }
    if (count === 0) return this.problem(count, [`${this.name} takes no words`, usage]);
    if (this.name === "put") {
      return this.problem(count, [
        "put takes a key and one value, this is a word too many, and nothing was stored",
        `put quotes around a value that holds blanks: ${exampleOf("put")}`,
      ]);
    }
    return this.problem(count, [
      `${this.name} takes ${count === 1 ? "one word" : `${count} words`}, this is one too many`,
      `put quotes around a word that holds blanks; ${usage}`,
    ]);
  }

  missing(detail: string, example: string): Problem {
    return problemAt(this.#line, this.#line.trimEnd().length, [detail, `for example: ${example}`]);
  }

  problem(position: number, what: [string, string]): Problem {
    return problemAt(this.#line, this.#words[position]?.start ?? this.#line.length, what);
  }
}

/** The name and value of a word that looks like a flag and is not quoted; an empty name otherwise. */
function flagIn(line: string, { bytes, start }: Word): [name: string, value: string | null] {
  if (line.slice(start, start + 2) !== "--") return ["", null];
  const [, name = "", value = null] = /^--([a-z-]+)(?:=([^]*))?$/.exec(decode(bytes) ?? "") ?? [];
  return [name, value];
}
