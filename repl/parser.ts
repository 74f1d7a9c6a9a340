/** Turns a line into a command, or says in which column it goes wrong and what would be right. */

import type { MemberChange } from "../server/member-change.ts";
import type { NodeId } from "../server/raft/entry.ts";
import { unreachable } from "../server/raft/assert.ts";
import { keyBytesMax, valueBytesMax } from "../server/state-machine/command.ts";
import { parseInteger } from "../server/state-machine/integer.ts";
import type { Transaction } from "../server/state-machine/transaction.ts";
import { transactionOfJson } from "../server/transaction-json.ts";
import { commandNames, exampleOf, nearestCommand, usageOf } from "./help.ts";
import type { CommandName } from "./help.ts";
import { readMemberWords, readTransferWords, type WrongWord } from "./member-words.ts";
import { renderKey, renderLine, shorten } from "./render.ts";
import { cutWords, lineBytesMax, lineTooLong, problemAt } from "./words.ts";
import type { Problem, Word } from "./words.ts";

export type ReplCommand =
  | { readonly name: "put"; readonly key: string; readonly value: Uint8Array }
  | { readonly name: "get"; readonly key: string }
  | { readonly name: "del"; readonly key: string }
  | { readonly name: "list"; readonly prefix: string }
  | { readonly name: "incr"; readonly key: string; readonly by: bigint }
  | { readonly name: "delrange"; readonly prefix: string }
  | { readonly name: "txn"; readonly transaction: Transaction }
  | { readonly name: "watch"; readonly prefix: string }
  | { readonly name: "status" }
  | { readonly name: "member"; readonly change: MemberChange | null }
  | { readonly name: "transfer"; readonly to: NodeId }
  | { readonly name: "help"; readonly command: CommandName | null }
  | { readonly name: "exit" };

/** `command` is null for a line that is empty or blank. */
export type Parsed = { readonly ok: true; readonly command: ReplCommand | null } | Problem;

/** Time and memory are linear in the line; one beyond `lineBytesMax` is refused unread. */
export function parseLine(line: string): Parsed {
  const transaction = transactionText(line);
  if (transaction !== null) return parseTransaction(line, transaction);
  const cut = cutWords(line);
  if (!cut.ok) return cut;
  const [first, ...rest] = cut.words;
  if (first === undefined) return { ok: true, command: null };
  const name = commandName(first);
  if (name === null) return unknownCommand(line, first);
  return parseCommand(name, new Arguments(line, name, rest));
}

function parseCommand(name: CommandName, words: Arguments): Parsed {
  switch (name) {
    case "put":
      return parsePut(words);
    case "get":
    case "del": {
      const key = words.key();
      return typeof key === "string" ? words.last(1, { name, key }) : key;
    }
    case "list":
    case "watch": {
      const prefix = words.has(0) ? words.text(0) : "";
      return typeof prefix === "string" ? words.last(1, { name, prefix }) : prefix;
    }
    case "incr":
      return parseIncrement(words);
    case "delrange": {
      if (!words.has(0)) {
        return words.missing("delrange needs a prefix", exampleOf(name));
      }
      const prefix = words.text(0);
      return typeof prefix === "string" ? words.last(1, { name, prefix }) : prefix;
    }
    case "txn":
      return words.missing("txn needs JSON", exampleOf(name));
    case "member": {
      const read = readMemberWords(words.texts());
      return read.ok ? words.last(read.count, { name, change: read.change }) : words.wrong(read);
    }
    case "transfer": {
      const read = readTransferWords(words.texts());
      return read.ok ? words.last(1, { name, to: read.to }) : words.wrong(read);
    }
    case "help":
      return parseHelp(words);
    case "status":
    case "exit":
      return words.last(0, { name });
    default:
      return unreachable(name);
  }
}

function parseIncrement(words: Arguments): Parsed {
  const key = words.key();
  if (typeof key !== "string") return key;
  const by = words.has(1) ? parseInteger(words.texts()[1] ?? "") : 1n;
  if (by !== null) return words.last(2, { name: "incr", key, by });
  return words.problem(1, ["this is no integer of 64 bits", "for example: incr visits -1"]);
}

/** The rest of a line that begins with `txn`, which is JSON and no words; null for other lines. */
function transactionText(line: string): string | null {
  return /^\s*txn\s+(\S[^]*)$/.exec(line)?.[1] ?? null;
}

function parseTransaction(line: string, text: string): Parsed {
  const at = line.length - text.length;
  if (line.length > lineBytesMax) return lineTooLong;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    const detail = renderLine(error instanceof Error ? error.message : String(error));
    return problemAt(line, at, [`this is not JSON: ${detail}`, `for example: ${exampleOf("txn")}`]);
  }
  const read = transactionOfJson(json);
  if (!read.ok) return problemAt(line, at, [renderLine(read.detail), "nothing was done"]);
  return { ok: true, command: { name: "txn", transaction: read.value } };
}

function parsePut(words: Arguments): Parsed {
  const key = words.key();
  if (typeof key !== "string") return key;
  const value = words.bytes(1);
  if (value === null) {
    return words.missing(
      'put needs a value after the key, an empty one is written ""',
      'put greeting "hello world"',
    );
  }
  if (value.length > valueBytesMax) {
    return words.problem(1, [
      `the value is ${value.length} bytes long, the most is ${valueBytesMax}`,
      "nothing was stored; split it over several keys",
    ]);
  }
  return words.last(2, { name: "put", key, value });
}

function parseHelp(words: Arguments): Parsed {
  if (!words.has(0)) return { ok: true, command: { name: "help", command: null } };
  const topic = words.text(0);
  if (typeof topic !== "string") return topic;
  const command = toCommandName(topic);
  if (command === null) {
    const known = commandNames.join(", ");
    return words.problem(0, ["there is no such command", `the commands are ${known}`]);
  }
  return words.last(1, { name: "help", command });
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Null where the bytes are no UTF-8. */
function decode(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

/** The words after the command's name, counted from 0. */
class Arguments {
  readonly #line: string;
  readonly #name: CommandName;
  readonly #words: readonly Word[];

  constructor(line: string, name: CommandName, words: readonly Word[]) {
    this.#line = line;
    this.#name = name;
    this.#words = words;
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

  wrong({ position, detail, advice }: WrongWord): Problem {
    if (this.has(position)) return this.problem(position, [detail, advice]);
    return problemAt(this.#line, this.#line.trimEnd().length, [detail, advice]);
  }

  /** A key, of 1 … `keyBytesMax` bytes. */
  key(): string | Problem {
    const bytes = this.bytes(0);
    if (bytes === null) {
      const needs = this.#name === "put" ? "a key and a value" : "a key";
      return this.missing(`${this.#name} needs ${needs}`, exampleOf(this.#name));
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

  /** The command, unless more than `count` words were given. */
  last(count: number, command: ReplCommand): Parsed {
    if (!this.has(count)) return { ok: true, command };
    const usage = `the form is: ${usageOf(this.#name)}`;
    if (count === 0) return this.problem(count, [`${this.#name} takes no words`, usage]);
    if (this.#name === "put") {
      return this.problem(count, [
        "put takes a key and one value, this is a word too many, and nothing was stored",
        `put quotes around a value that holds blanks: ${exampleOf("put")}`,
      ]);
    }
    return this.problem(count, [
      `${this.#name} takes ${count === 1 ? "one word" : `${count} words`}, this is one too many`,
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

function commandName(word: Word): CommandName | null {
  const text = decode(word.bytes);
  return text === null ? null : toCommandName(text);
}

function toCommandName(text: string): CommandName | null {
  if (text === "quit") return "exit";
  return commandNames.find((name) => name === text) ?? null;
}

/** Understood by a shell alone: they work with files, and mostly on nodes that do not run. */
const shellCommands: readonly string[] = ["backup", "restore", "check", "recover"];

function unknownCommand(line: string, word: Word): Problem {
  const text = decode(word.bytes) ?? "";
  if (shellCommands.includes(text)) {
    return problemAt(line, word.start, [
      `${text} works with files`,
      `in a shell: kv ${text} --help`,
    ]);
  }
  const nearest = nearestCommand(decode(word.bytes) ?? "");
  return problemAt(line, word.start, [
    `there is no command ${renderKey(shorten(decode(word.bytes) ?? "\ufffd"))}`,
    nearest === null ? "help lists the commands" : `did you mean ${nearest}? help lists all`,
  ]);
}
