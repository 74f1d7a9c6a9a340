/** One-shot commands: one question to a cluster over HTTP, one answer on standard output, an exit code. */

import { formatAddress } from "../server/address.ts";
import type { ClientPort, Failure, Outcome, Result, WriteOptions } from "../server/client-port.ts";
import { HttpClient } from "../server/http-client.ts";
import { isIdempotencyKey } from "../server/idempotency.ts";
import { parseJson } from "../server/json-fields.ts";
import { rowJson } from "../server/json-row.ts";
import { parseInteger } from "../server/state-machine/integer.ts";
import { resultJson, transactionOfJson } from "../server/transaction-json.ts";
import {
  renderAtomic,
  renderDeleteRange,
  renderGet,
  renderList,
  renderMembers,
  renderStatus,
  renderTransaction,
  renderTransfer,
} from "../repl/answers.ts";
import { readMemberWords, readTransferWords } from "../repl/member-words.ts";
import { renderLine } from "../repl/render.ts";
import { UsageError } from "./arguments.ts";
import { addressOf, builtInCluster, parseCluster } from "./config.ts";
import { exitCodes, type ExitCode } from "./exit.ts";
import { runWatch } from "./watch.ts";
import { OutputError, tell, write } from "./output.ts";

export const clientFlags = {
  endpoints: {
    usage: "--endpoints <LIST>",
    help: "HTTP addresses of the nodes, separated by commas (or KV_ENDPOINTS)",
  },
  output: { usage: "-o, --output <FORMAT>", help: "text or json (default: text)" },
} as const;

/** Of the commands that change something. */
export const writeFlags = {
  "idempotency-key": {
    usage: "--idempotency-key <KEY>",
    help: "Do it once under this key, however often it is run",
  },
} as const;

export const writeCommands: ReadonlySet<string> = new Set([
  "put",
  "del",
  "incr",
  "delrange",
  "txn",
]);

export const clientCommands = {
  put: { usage: "put <key> <value>", help: "Store a value" },
  get: { usage: "get <key>", help: "Write a value to standard output" },
  del: { usage: "del <key>", help: "Delete a key" },
  list: { usage: "list [prefix]", help: "List rows whose keys begin with a prefix" },
  incr: { usage: "incr <key> [by]", help: "Count by 1 or by so many, and write the value" },
  delrange: { usage: "delrange <prefix>", help: "Delete all keys that begin with a prefix" },
  watch: { usage: "watch [prefix]", help: "Show changes as they come, until Ctrl-C" },
  txn: { usage: "txn", help: "Run the transaction that standard input has as JSON" },
  status: { usage: "status", help: "Show what a node says about itself and the cluster" },
  member: {
    usage: "member <action> [what]",
    help: "list, add ID=RAFT/HTTP, promote ID, remove ID or replace ID=RAFT/HTTP",
  },
  transfer: { usage: "transfer <id>", help: "Let that node lead" },
} as const;

export type ClientCommandName = keyof typeof clientCommands;

export interface ClientOptions {
  readonly endpoints: string | undefined;
  readonly output: string | undefined;
  readonly idempotencyKey: string | undefined;
}

/** What a command has to say: text for people, a value for programs, and how it went. */
interface Said {
  readonly text: string | Uint8Array;
  readonly json: unknown;
  readonly code: ExitCode;
}

type Command = (
  store: ClientPort,
  words: readonly string[],
  options: WriteOptions,
) => Promise<Said | Failure>;

const commands: Readonly<Record<Exclude<ClientCommandName, "watch">, Command>> = {
  async put(store, [key = "", value = ""], options) {
    const answer = await store.put(key, new TextEncoder().encode(value), options);
    if (!answer.ok) return answer;
    const { created, revision } = answer;
    const text = `${created ? "created" : "replaced"}, revision ${revision}`;
    return { text, json: { key, created, revision }, code: exitCodes.done };
  },
  async get(store, [key = ""]) {
    const answer = await store.get(key);
    if (!answer.ok) return answer;
    if (!answer.row) return notFound(key);
    // Into a pipe go the stored bytes and nothing else; a terminal is spared control characters.
    const text = process.stdout.isTTY ? renderGet(answer) : answer.row.value;
    return { text, json: rowJson(answer.row), code: exitCodes.done };
  },
  async del(store, [key = ""], options) {
    const answer = await store.delete(key, options);
    if (!answer.ok) return answer;
    const { deleted, revision } = answer;
    if (deleted === 0) return notFound(key);
    return { text: `deleted, revision ${revision}`, json: { key, deleted, revision }, code: 0 };
  },
  async list(store, [prefix = ""]) {
    const answer = await store.list({ prefix });
    if (!answer.ok) return answer;
    const { rows, more, revision } = answer;
    const json = { rows: rows.map(rowJson), more, revision };
    const { isTTY, columns } = process.stdout;
    return { text: renderList(answer, isTTY ? columns : null), json, code: exitCodes.done };
  },
  async incr(store, [key = "", text = "1"], options) {
    const by = parseInteger(text);
    if (by === null) throw new UsageError(`"${text}" is no integer of 64 bits`);
    const answer = await store.atomic({ op: "incr", key, by, min: null, max: null }, options);
    if (!answer.ok) return answer;
    const { result, revision } = answer;
    const json = { key, ...(resultJson(result) as object), revision };
    return { text: renderAtomic(answer), json, code: exitCodes.done };
  },
  async delrange(store, [prefix = ""], options) {
    const answer = await store.deleteRange({ prefix }, options);
    if (!answer.ok) return answer;
    const { deleted, revision } = answer;
    const text = renderDeleteRange(answer);
    return { text, json: { deleted, revision }, code: exitCodes.done };
  },
  async txn(store, _words, options) {
    const json = parseJson(await standardInput());
    if (!json.ok) throw new UsageError(json.detail.replace("the body", "standard input"));
    const read = transactionOfJson(json.value);
    if (!read.ok) throw new UsageError(read.detail);
    const answer = await store.transact(read.value, options);
    if (!answer.ok) return answer;
    const { succeeded, results, revision } = answer;
    // For a script it is a question with two answers, as a missing key is.
    const code = succeeded ? exitCodes.done : exitCodes.refused;
    const said = { succeeded, results: results.map(resultJson), revision };
    return { text: renderTransaction(answer), json: said, code };
  },
  async status(store) {
    const answer: Result<{ readonly status: unknown }> = await store.status();
    if (!answer.ok) return answer;
    const text = renderStatus(answer as Awaited<ReturnType<ClientPort["status"]>>);
    return { text, json: answer.status, code: exitCodes.done };
  },
  async member(store, words) {
    const read = readMemberWords(words);
    if (!read.ok) throw new UsageError(`${read.detail}; ${read.advice}`);
    if (words.length > read.count) {
      throw new UsageError(
        `unexpected word "${words[read.count]}"; kv member --help shows the form`,
      );
    }
    const { change } = read;
    const answer = await (change === null ? store.members() : store.changeMembers(change));
    if (!answer.ok) return answer;
    const { members, revision } = answer;
    return { text: renderMembers(answer), json: { members, revision }, code: exitCodes.done };
  },
  async transfer(store, words) {
    const read = readTransferWords(words);
    if (!read.ok) throw new UsageError(`${read.detail}; ${read.advice}`);
    const answer = await store.transferLeadership(read.to);
    if (!answer.ok) return answer;
    return { text: renderTransfer(answer), json: { leader: answer.leader }, code: exitCodes.done };
  },
};

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
  const format = parseFormat(options.output);
  const store = new HttpClient(endpointsOf(options.endpoints));
  const said = await (name === "watch"
    ? runWatch(store, words[0] ?? "", format)
    : commands[name](store, words, writeOptions(options)));
  if (said === null) process.exit(exitCodes.done);
  if ("ok" in said) {
    const outcome = said.outcome === undefined ? "" : `; ${outcomes[said.outcome]}`;
    const line =
      format === "json" ? JSON.stringify(said) : `kv: ${renderLine(said.detail)}${outcome}`;
    tell(line);
    process.exit(exitCodeOf(said));
  }
  const text = format === "json" ? JSON.stringify(said.json) : said.text;
  try {
    await write(process.stdout, typeof text === "string" ? `${text}\n` : text);
  } catch (error) {
    throw writeCommands.has(name) && error instanceof OutputError
      ? error.afterWrite(String(said.text))
      : error;
  }
  process.exit(said.code);
}

export function parseFormat(format = "text"): "text" | "json" {
  if (format === "text" || format === "json") return format;
  throw new UsageError(`--output "${format}" is not one of text, json`);
}

function writeOptions({ idempotencyKey }: ClientOptions): WriteOptions {
  if (idempotencyKey === undefined) return {};
  if (isIdempotencyKey(idempotencyKey)) return { idempotencyKey };
  throw new UsageError(`--idempotency-key "${idempotencyKey}" is not 1 to 255 ASCII characters`);
}

function notFound(key: string): Said {
  return { text: "not found", json: { key, found: false }, code: exitCodes.refused };
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
