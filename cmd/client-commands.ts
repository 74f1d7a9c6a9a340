/** One-shot commands: one question to a cluster over HTTP, one answer on standard output, an exit code. */

import { formatAddress } from "../server/address.ts";
import type { Failure, Outcome, ReadOptions } from "../server/client-port.ts";
import { HttpClient } from "../server/http-client.ts";
import { parseJson } from "../server/json-fields.ts";
import { transactionOfJson } from "../server/transaction-json.ts";
import { readFlags, type GivenFlags } from "../repl/flags.ts";
import { modes, type Mode } from "../repl/mode.ts";
import { parseWords, type Question, type ReplCommand } from "../repl/parser.ts";
import { jsonLine, renderLine } from "../repl/render.ts";
import { ask } from "../repl/reply.ts";
import type { Reply } from "../repl/reply-forms.ts";
import { renderTable } from "../repl/table.ts";
import { UsageError } from "./arguments.ts";
import { addressOf, builtInCluster, parseCluster } from "./config.ts";
import { exitCodes, type ExitCode } from "./exit.ts";
import { runHolding, type CommandWords, type Entering } from "./hold.ts";
import { runLeaderWatch, runWatch } from "./watch.ts";
import { OutputError, tell, write } from "./output.ts";

export const clientFlags = {
  endpoints: {
    usage: "--endpoints <LIST>",
    help: "HTTP addresses of the nodes, separated by commas (or KV_ENDPOINTS)",
  },
  output: { usage: "-o, --output <FORMAT>", help: "text, json or table (default: text)" },
} as const;

export const clientCommands = {
  put: { usage: "put <key> <value>", help: "Store a value" },
  get: { usage: "get <key>", help: "Write a value to standard output" },
  del: { usage: "del <key>", help: "Delete a key" },
  list: { usage: "list [prefix]", help: "List rows whose keys begin with a prefix" },
  count: { usage: "count [prefix]", help: "Count the keys that begin with a prefix" },
  incr: { usage: "incr <key> [by]", help: "Count by 1 or by so many, and write the value" },
  max: { usage: "max <key> <number>", help: "Raise a number to at least this one" },
  min: { usage: "min <key> <number>", help: "Lower a number to this one at the most" },
  append: { usage: "append <key> <value>", help: "Put this behind the value that is there" },
  getdel: { usage: "getdel <key>", help: "Write a value to standard output, and delete it" },
  touch: {
    usage: "touch <key> [time]",
    help: "Let a row go after that time: a word, or --ttl; one of them is needed",
  },
  delrange: { usage: "delrange [prefix]", help: "Delete all keys that begin with a prefix" },
  watch: { usage: "watch [prefix]", help: "Show changes as they come, until Ctrl-C" },
  txn: { usage: "txn", help: "Run the transaction that standard input has as JSON" },
  lease: {
    usage: "lease <action> [...words]",
    help: "grant TTL, keepalive ID, show ID or revoke ID",
  },
  lock: {
    usage: "lock <action> [...words]",
    help: "acquire NAME [-- COMMAND], show NAME or release NAME TOKEN",
  },
  election: {
    usage: "election <action> [...words]",
    help: "campaign NAME VALUE [-- COMMAND], show, watch, proclaim or resign",
  },
  status: { usage: "status", help: "Show what a node says about itself and the cluster" },
  member: {
    usage: "member <action> [what]",
    help: "list, add ID=RAFT/HTTP, promote ID, remove ID or replace ID=RAFT/HTTP",
  },
  transfer: { usage: "transfer <id>", help: "Let that node lead" },
  compact: {
    usage: "compact [revision]",
    help: "Let every node of --endpoints give up its history so far",
  },
} as const;

export type ClientCommandName = keyof typeof clientCommands;

export interface ClientOptions {
  readonly endpoints: string | undefined;
  readonly output: string | undefined;
  /** Those of the command itself. */
  readonly flags: GivenFlags;
  /** How many of the words stand behind `--`; null: it is not there. */
  readonly wordsBehind: number | null;
}

const outcomes: Readonly<Record<Outcome, string>> = {
  not_applied: "not_applied: nothing was changed",
  unknown: "unknown: it may have happened",
};

/** Runs the command and ends the process with its exit code. */
export async function runClientCommand(
  name: ClientCommandName,
  words: readonly string[],
  options: ClientOptions,
): Promise<void> {
  const mode = parseMode(options.output);
  const { own, command: held } = cutCommand(words, options.wordsBehind, name);
  const command = await commandOf(name, own, options.flags);
  const endpoints = endpointsOf(options.endpoints);
  if (command.name === "compact") process.exit(await askEach(endpoints, command, mode));
  if (held !== null) return hold(command, held, { endpoints, mode, flags: options.flags });
  const store = new HttpClient(endpoints, { timeoutMs: callMs });
  const answer = await answerOf(store, inTime(command, { endpoints: endpoints.length }), mode);
  if (answer === null) process.exit(exitCodes.done);
  if (!answer.ok) refuse(answer, mode);
  const said = shownIn(mode, answer);
  try {
    await write(process.stdout, typeof said === "string" ? `${said}\n` : said);
  } catch (error) {
    const isLost = error instanceof OutputError && changing.has(command.name);
    throw isLost ? error.afterWrite(answer.text(null)) : error;
  }
  process.exit(answer.isNo ? exitCodes.refused : exitCodes.done);
}

/** For all nodes that are asked together. */
const callMs = 10_000;
/** Between the end of a node's wait and that of ours. */
const answerMs = 500;

/**
 * A node that waits until it is recent enough has to say that it is not before its share of the time is
 * over: what is waited for in vain looks as if nobody were there.
 */
export function inTime(
  command: ClientCommand,
  { endpoints, forMs = callMs }: { readonly endpoints: number; readonly forMs?: number },
): ClientCommand {
  switch (command.name) {
    case "get":
      return { ...command, options: bounded(command.options, forMs / endpoints) };
    case "list":
      return { ...command, options: bounded(command.options, forMs / endpoints) };
    case "count":
      return { ...command, options: bounded(command.options, forMs / endpoints) };
    default:
      return command;
  }
}

function bounded<T extends ReadOptions>(options: T, shareMs: number): T {
  const { minRevision, maxStaleMs } = options;
  if (minRevision === undefined && maxStaleMs === undefined) return options;
  const timeoutMs = Math.max(1, Math.floor(shareMs - Math.min(answerMs, shareMs / 2)));
  return { ...options, timeoutMs };
}

function answerOf(
  store: HttpClient,
  command: ClientCommand,
  mode: Mode,
): Promise<Reply | Failure | null> {
  switch (command.name) {
    case "watch":
      return runWatch(store, command.options, mode);
    case "leaders":
      return runLeaderWatch(store, command.election, mode);
    default:
      return ask(store, command);
  }
}

/** What is each node's own is asked of every one; the exit code is of the last that refused. */
async function askEach(
  endpoints: readonly string[],
  question: Question,
  mode: Mode,
): Promise<ExitCode> {
  let code: ExitCode = exitCodes.done;
  for (const endpoint of endpoints) {
    const answer = await ask(new HttpClient([endpoint]), question);
    if (answer.ok) {
      await write(process.stdout, `${String(shownIn(mode, answer))}\n`);
      continue;
    }
    code = exitCodeOf(answer);
    const address = endpoint.slice("http://".length);
    const isNamed = answer.detail.startsWith(address);
    const detail = isNamed ? answer.detail : `${address}: ${answer.detail}`;
    tell(refusedIn(mode, { ...answer, detail }));
  }
  return code;
}

function refusedIn(mode: Mode, failure: Failure): string {
  if (mode === "json") return jsonLine(failure);
  const outcome = failure.outcome === undefined ? "" : `; ${outcomes[failure.outcome]}`;
  return `kv: ${renderLine(failure.detail)}${outcome}`;
}

function refuse(failure: Failure, mode: Mode): never {
  tell(refusedIn(mode, failure));
  process.exit(exitCodeOf(failure));
}

/** How many words come before the command that a lock is held for. */
const wordsBefore: ReadonlyMap<string, number> = new Map([
  ["lock acquire", 2],
  ["election campaign", 3],
]);

/** What stands behind `--` is a command only where the words before it are whole; otherwise words. */
function cutCommand(
  words: readonly string[],
  wordsBehind: number | null,
  name: ClientCommandName,
): { readonly own: readonly string[]; readonly command: CommandWords | null } {
  const needed = wordsBefore.get(`${name} ${words[0]}`);
  if (needed === undefined || wordsBehind === null) return { own: words, command: null };
  let at = words.length - wordsBehind;
  const isMark = at < needed;
  if (isMark) at = words.indexOf("--", needed);
  if (at < 0) return { own: words, command: null };
  const [program, ...rest] = words.slice(isMark ? at + 1 : at);
  if (program === undefined) throw new UsageError("there is no command behind --");
  return { own: words.slice(0, at), command: [program, ...rest] };
}

async function hold(
  question: ClientCommand,
  command: CommandWords,
  { endpoints, mode, flags }: { endpoints: readonly string[]; mode: Mode; flags: GivenFlags },
): Promise<never> {
  const other = ["lease", "idempotency-key"].find((flag) => flags.has(flag));
  if (other !== undefined) {
    throw new UsageError(`--${other} does not go with a command; it is held by a lease of its own`);
  }
  // Only these have a command behind them.
  const ended = await runHolding(question as Entering, command, endpoints);
  if (typeof ended !== "number") refuse(ended, mode);
  process.exit(ended);
}

/** Of these the answer has to be said somewhere, if not where it was to be written. */
const changing: ReadonlySet<string> = new Set([
  ...["put", "del", "atomic", "delrange", "txn"],
  ...["lease", "lock", "election"],
]);

type ClientCommand = Question | Extract<ReplCommand, { readonly name: "watch" | "leaders" }>;

async function commandOf(
  name: ClientCommandName,
  words: readonly string[],
  flags: GivenFlags,
): Promise<ClientCommand> {
  if (name === "txn") return transactionCommand(flags);
  const parsed = parseWords(name, words, flags);
  if (!parsed.ok) throw new UsageError(`${parsed.detail}; ${parsed.advice}`);
  // The names here are those of questions.
  return parsed.command as ClientCommand;
}

async function transactionCommand(given: GivenFlags): Promise<ClientCommand> {
  const flags = readFlags(given, (reader) => reader.once());
  if (!flags.ok) throw new UsageError(`${flags.detail}; ${flags.advice}`);
  const json = parseJson(await standardInput());
  if (!json.ok) throw new UsageError(json.detail.replace("the body", "standard input"));
  const read = transactionOfJson(json.value);
  if (!read.ok) throw new UsageError(read.detail);
  return { name: "txn", transaction: read.value, options: flags.options };
}

/** Into a pipe go a value's bytes and nothing else; a terminal is spared control characters. */
function shownIn(mode: Mode, answer: Reply): string | Uint8Array {
  const { isTTY, columns } = process.stdout;
  if (mode === "json") return jsonLine(answer.json);
  const table = mode === "table" ? answer.table?.() : undefined;
  if (table !== undefined) return renderTable(table, isTTY ? columns : null);
  if (answer.bytes !== undefined && !isTTY) return answer.bytes;
  return answer.text(isTTY ? columns : null);
}

export function parseMode(output = "text"): Mode {
  const mode = modes.find((each) => each === output);
  if (mode === undefined) {
    throw new UsageError(`--output "${output}" is not one of ${modes.join(", ")}`);
  }
  return mode;
}

function exitCodeOf(failure: Failure): ExitCode {
  switch (failure.code) {
    case "bad_request":
    case "key_too_long":
    case "too_large":
      return exitCodes.usage;
    case "no_leader":
    case "stale":
    case "timeout":
    case "unreachable":
    case "overloaded":
    case "internal":
      return exitCodes.unreachable;
    default:
      return exitCodes.refused;
  }
}

/** Of the flag, of the environment, or the built-in cluster's. */
export const endpointsOf = (flag: string | undefined): string[] =>
  flag === undefined
    ? parseEndpoints(process.env["KV_ENDPOINTS"], "KV_ENDPOINTS")
    : parseEndpoints(flag, "--endpoints");

/** `HOST:PORT` or `http://HOST:PORT`, separated by commas, as URLs. */
export function parseEndpoints(text: string | undefined, from: string): string[] {
  if (text === undefined) {
    const plan = parseCluster({ text: builtInCluster, from: "--cluster" });
    return plan.map(({ http }) => `http://${http}`);
  }
  return text.split(",").map((part) => {
    const address = part.trim().replace(/^http:\/\/([^/]*)\/?$/, "$1");
    const { host, port } = addressOf(address, from);
    const url = `http://${formatAddress({ host, port })}`;
    // Names of hosts have their own rules, which only a URL's parser knows.
    if (URL.canParse(url) && new URL(url).pathname === "/" && !/[@?#%\\]/.test(host)) return url;
    throw new UsageError(`${from}: "${part}" is not HOST:PORT or http://HOST:PORT`);
  });
}

/** A transaction is refused beyond this anyway. */
const inputBytesMax = 8 << 20;

async function standardInput(): Promise<Uint8Array> {
  if (process.stdin.isTTY)
    throw new UsageError("kv txn reads JSON from standard input: kv txn < FILE");
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > inputBytesMax) throw new UsageError("standard input is too long for a transaction");
  }
  return Buffer.concat(chunks);
}
