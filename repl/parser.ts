/** Turns a line into a command, or says in which column it goes wrong and what would be right. */

import type {
  AtomicOperation,
  DeleteRangeOptions,
  ListOptions,
  ReadOptions,
  Selection,
  WriteOptions,
} from "../server/client-port.ts";
import type { Wait } from "../server/long-poll.ts";
import type { MemberChange } from "../server/member-change.ts";
import type { NodeId } from "../server/raft/entry.ts";
import { unreachable } from "../server/raft/assert.ts";
import { valueBytesMax } from "../server/state-machine/command.ts";
import { parseDuration } from "../server/duration.ts";
import { parseInteger } from "../server/state-machine/integer.ts";
import type { Transaction } from "../server/state-machine/transaction.ts";
import { transactionOfJson } from "../server/transaction-json.ts";
import type { WatchOptions } from "../server/watch/watch-port.ts";
import { readFlags, type FlagReader, type GivenFlags } from "./flags.ts";
import { commandNames, exampleOf, nearestCommand } from "./help.ts";
import type { CommandName } from "./help.ts";
import { readCompactWords, readMemberWords, readTransferWords } from "./member-words.ts";
import { modes, type Mode } from "./mode.ts";
import { renderKey, renderLine, shorten } from "./render.ts";
import { parseSession, type LeadersQuestion, type SessionQuestion } from "./session-words.ts";
import { endOfJson, transactionText } from "./transaction-line.ts";
import { decode, WordArguments } from "./word-arguments.ts";
import { cutWords, lineBytesMax, lineTooLong, problemAt } from "./words.ts";
import type { Problem, Word } from "./words.ts";

/** What is asked of the store. */
export type Question =
  | {
      readonly name: "put";
      readonly key: string;
      readonly value: Uint8Array;
      readonly options: WriteOptions;
    }
  | {
      readonly name: "get";
      readonly key: string;
      readonly options: ReadOptions;
      /** For a change, and not for what there is now. */
      readonly wait?: Wait;
    }
  | { readonly name: "del"; readonly key: string; readonly options: WriteOptions }
  | { readonly name: "list"; readonly options: ListOptions }
  | { readonly name: "count"; readonly options: Selection & ReadOptions }
  | {
      readonly name: "atomic";
      readonly operation: AtomicOperation;
      readonly options: WriteOptions;
    }
  | {
      readonly name: "delrange";
      readonly selection: Selection;
      readonly options: DeleteRangeOptions;
    }
  | { readonly name: "txn"; readonly transaction: Transaction; readonly options: WriteOptions }
  | { readonly name: "status" }
  | { readonly name: "member"; readonly change: MemberChange | null }
  | { readonly name: "transfer"; readonly to: NodeId }
  | { readonly name: "compact"; readonly revision: number | undefined }
  | SessionQuestion;

export type ReplCommand =
  | Question
  | { readonly name: "watch"; readonly options: WatchOptions }
  | LeadersQuestion
  | { readonly name: "help"; readonly command: CommandName | null }
  /** Null asks how it is. */
  | { readonly name: ".mode"; readonly mode: Mode | null }
  | { readonly name: ".timing"; readonly isOn: boolean | null }
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
  const words = WordArguments.of(line, name, rest);
  return words instanceof WordArguments ? parseCommand(words) : words;
}

/** The same of a shell's words. */
export function parseWords(name: CommandName, words: readonly string[], flags: GivenFlags): Parsed {
  return parseCommand(WordArguments.ofTexts(name, words, flags));
}

function parseCommand(words: WordArguments): Parsed {
  const { name } = words;
  switch (name) {
    case "put":
      return parsePut(words);
    case "get":
      return ofKey(words, (flags, key) => {
        const wait = flags.wait();
        return { name, key, options: flags.read(), ...(wait === undefined ? {} : { wait }) };
      });
    case "del":
      return ofKey(words, (flags, key) => ({ name, key, options: flags.write() }));
    case "getdel":
      return ofKey(words, (flags, key) => atomic(flags, { op: "getdel", key }));
    case "incr":
      return parseIncrement(words);
    case "max":
    case "min":
      return parseBound(words, name);
    case "append":
      return parseAppend(words);
    case "touch":
      return parseTouch(words);
    case "list":
      return ofPrefix(words, (flags, prefix) => ({ name, options: { ...flags.list(), prefix } }));
    case "count":
      return ofPrefix(words, (flags, prefix) => ({
        name,
        options: { ...flags.selection(), ...flags.read(), prefix },
      }));
    case "watch":
      return parseWatch(words);
    case "delrange":
      return parseDeleteRange(words);
    case "txn":
      return words.missing("txn needs JSON", exampleOf(name));
    case "member": {
      const read = readMemberWords(words.texts());
      if (!read.ok) return words.wrong(read);
      return withFlags(words, read.count, () => ({ name, change: read.change }));
    }
    case "transfer": {
      const read = readTransferWords(words.texts());
      if (!read.ok) return words.wrong(read);
      return withFlags(words, 1, () => ({ name, to: read.to }));
    }
    case "compact": {
      const read = readCompactWords(words.texts());
      if (!read.ok) return words.wrong(read);
      return withFlags(words, 1, () => ({ name, revision: read.revision }));
    }
    case "lease":
    case "lock":
    case "election":
      return parseSession(words);
    case "help":
      return parseHelp(words);
    case ".mode":
    case ".timing":
      return parseSetting(words, name);
    case "status":
    case "exit":
      return withFlags(words, 0, () => ({ name }));
    default:
      return unreachable(name);
  }
}

/** The command, unless there are more than `count` words, or a flag's value is wrong. */
function withFlags(
  words: WordArguments,
  count: number,
  read: (flags: FlagReader) => ReplCommand,
): Parsed {
  const tooMany = words.tooMany(count);
  if (tooMany !== null) return tooMany;
  const command = readFlags(words.flags, read);
  return command.ok ? { ok: true, command: command.options } : words.wrongFlag(command);
}

function ofKey(
  words: WordArguments,
  read: (flags: FlagReader, key: string) => ReplCommand,
): Parsed {
  const key = words.key();
  return typeof key === "string" ? withFlags(words, 1, (flags) => read(flags, key)) : key;
}

/** Without a prefix, of all keys. */
function ofPrefix(
  words: WordArguments,
  read: (flags: FlagReader, prefix: string) => ReplCommand,
): Parsed {
  const prefix = words.has(0) ? words.text(0) : "";
  if (typeof prefix !== "string") return prefix;
  return withFlags(words, 1, (flags) => read(flags, prefix));
}

const atomic = (flags: FlagReader, operation: AtomicOperation): ReplCommand => ({
  name: "atomic",
  operation,
  options: flags.once(),
});

function integerAt(words: WordArguments, position: number): bigint | Problem {
  const text = words.texts()[position] ?? "";
  const example = `for example: ${exampleOf(words.name)}`;
  return (
    parseInteger(text) ??
    words.problem(position, [`${renderKey(shorten(text))} is no integer of 64 bits`, example])
  );
}

function parseIncrement(words: WordArguments): Parsed {
  const key = words.key();
  if (typeof key !== "string") return key;
  const by = words.has(1) ? integerAt(words, 1) : 1n;
  if (typeof by !== "bigint") return by;
  return withFlags(words, 2, (flags) =>
    atomic(flags, { op: "incr", key, by, ...flags.increment() }),
  );
}

function parseBound(words: WordArguments, op: "max" | "min"): Parsed {
  const key = words.key();
  if (typeof key !== "string") return key;
  if (!words.has(1)) return words.missing(`${op} needs a number after the key`, exampleOf(op));
  const value = integerAt(words, 1);
  if (typeof value !== "bigint") return value;
  return withFlags(words, 2, (flags) => atomic(flags, { op, key, value }));
}

function parseAppend(words: WordArguments): Parsed {
  const key = words.key();
  if (typeof key !== "string") return key;
  const value = words.bytes(1);
  if (value === null) return words.missing("append needs a value", exampleOf("append"));
  return withFlags(words, 2, (flags) => atomic(flags, { op: "append", key, value }));
}

/** The time is the word behind the key, or the flag that other commands have. */
function parseTouch(words: WordArguments): Parsed {
  const key = words.key();
  if (typeof key !== "string") return key;
  const text = words.texts()[1];
  const given = text === undefined ? undefined : parseDuration(text);
  if (given === null) {
    return words.problem(1, ["this is no time", `for example: ${exampleOf("touch")}`]);
  }
  if ((given === undefined) !== words.flags.has("ttl")) {
    return words.missing("touch needs one time after the key", exampleOf("touch"));
  }
  return withFlags(words, 2, (flags) => {
    const { ttlMs = given ?? 0 } = flags.ttl();
    return atomic(flags, { op: "touch", key, ttlMs });
  });
}

function parseDeleteRange(words: WordArguments): Parsed {
  const isBounded = words.flags.has("start") || words.flags.has("end");
  if (!words.has(0) && !isBounded) {
    return words.missing("delrange needs a prefix", exampleOf("delrange"));
  }
  return ofPrefix(words, (flags, prefix) => ({
    name: "delrange",
    selection: { ...flags.selection(), ...(words.has(0) ? { prefix } : {}) },
    options: flags.deleteRange(),
  }));
}

function parseWatch(words: WordArguments): Parsed {
  if (words.flags.has("key") && words.has(0)) {
    return words.problem(0, ["a prefix does not go with --key", "give one of them"]);
  }
  return ofPrefix(words, (flags, prefix) => {
    const options = flags.watch();
    return { name: "watch", options: options.key === undefined ? { ...options, prefix } : options };
  });
}

function parseTransaction(line: string, text: string): Parsed {
  const at = line.length - text.length;
  if (line.length > lineBytesMax) return lineTooLong;
  const length = endOfJson(text) ?? text.length;
  let json: unknown;
  try {
    json = JSON.parse(text.slice(0, length));
  } catch (error) {
    const detail = renderLine(error instanceof Error ? error.message : String(error));
    return problemAt(line, at, [`this is not JSON: ${detail}`, `for example: ${exampleOf("txn")}`]);
  }
  const read = transactionOfJson(json);
  if (!read.ok) return problemAt(line, at, [renderLine(read.detail), "nothing was done"]);
  const words = wordsBehind(line, at + length);
  if (!(words instanceof WordArguments)) return words;
  return withFlags(words, 0, (flags) => ({
    name: "txn",
    transaction: read.value,
    options: flags.once(),
  }));
}

/** Those of a transaction that stand behind its JSON. */
function wordsBehind(line: string, offset: number): WordArguments | Problem {
  // Blanks in place of the JSON, so that what is wrong is shown where it stands.
  const cut = cutWords(" ".repeat(offset) + line.slice(offset));
  return cut.ok ? WordArguments.of(line, "txn", cut.words) : cut;
}

function parsePut(words: WordArguments): Parsed {
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
  return withFlags(words, 2, (flags) => ({ name: "put", key, value, options: flags.write() }));
}

function parseHelp(words: WordArguments): Parsed {
  if (!words.has(0)) return { ok: true, command: { name: "help", command: null } };
  const topic = words.text(0);
  if (typeof topic !== "string") return topic;
  const command = toCommandName(topic);
  if (command === null) {
    const known = commandNames.join(", ");
    return words.problem(0, ["there is no such command", `the commands are ${known}`]);
  }
  return withFlags(words, 1, () => ({ name: "help", command }));
}

function parseSetting(words: WordArguments, name: ".mode" | ".timing"): Parsed {
  const [word] = words.texts();
  if (name === ".timing") {
    if (word !== undefined && word !== "on" && word !== "off") {
      return words.problem(0, ["timing is on or off", `for example: ${exampleOf(name)}`]);
    }
    const isOn = word === undefined ? null : word === "on";
    return withFlags(words, 1, () => ({ name, isOn }));
  }
  const mode = modes.find((each) => each === word) ?? null;
  if (word !== undefined && mode === null) {
    const known = `the modes are ${modes.join(", ")}`;
    return words.problem(0, [`there is no mode ${renderKey(shorten(word))}`, known]);
  }
  return withFlags(words, 1, () => ({ name, mode }));
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
  const nearest = nearestCommand(text);
  return problemAt(line, word.start, [
    `there is no command ${renderKey(shorten(decode(word.bytes) ?? "\ufffd"))}`,
    nearest === null ? "help lists the commands" : `did you mean ${nearest}? help lists all`,
  ]);
}
