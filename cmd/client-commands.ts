/** One-shot commands: one question to a cluster over HTTP, one answer on standard output, an exit code. */

import type { ClientPort, Failure, Outcome, Result } from "../server/client-port.ts";
import { HttpClient } from "../server/http-client.ts";
import type { Row } from "../server/state-machine/command.ts";
import {
  renderGet,
  renderList,
  renderMembers,
  renderStatus,
  renderTransfer,
} from "../repl/answers.ts";
import { readMemberWords, readTransferWords } from "../repl/member-words.ts";
import { renderLine } from "../repl/render.ts";
import { UsageError } from "./arguments.ts";
import { builtInCluster, formatAddress, parseAddress, parseCluster } from "./config.ts";
import { exitCodes, type ExitCode } from "./exit.ts";
import { OutputError, tell, write } from "./output.ts";

export const clientFlags = {
  endpoints: {
    usage: "--endpoints <LIST>",
    help: "HTTP addresses of the nodes, separated by commas (or KV_ENDPOINTS)",
  },
  output: { usage: "-o, --output <FORMAT>", help: "text or json (default: text)" },
} as const;

export const clientCommands = {
  put: { usage: "put <key> <value>", help: "Store a value" },
  get: { usage: "get <key>", help: "Write a value to standard output" },
  del: { usage: "del <key>", help: "Delete a key" },
  list: { usage: "list [prefix]", help: "List rows whose keys begin with a prefix" },
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
}

/** What a command has to say: text for people, a value for programs, and how it went. */
interface Said {
  readonly text: string | Uint8Array;
  readonly json: unknown;
  readonly code: ExitCode;
}

type Command = (store: ClientPort, words: readonly string[]) => Promise<Said | Failure>;

const commands: Readonly<Record<ClientCommandName, Command>> = {
  async put(store, [key = "", value = ""]) {
    const answer = await store.put(key, new TextEncoder().encode(value));
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
  async del(store, [key = ""]) {
    const answer = await store.delete(key);
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
  const said = await commands[name](store, words);
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
    const isWrite = name === "put" || name === "del";
    throw isWrite && error instanceof OutputError ? error.afterWrite(String(said.text)) : error;
  }
  process.exit(said.code);
}

export function parseFormat(format = "text"): "text" | "json" {
  if (format === "text" || format === "json") return format;
  throw new UsageError(`--output "${format}" is not one of text, json`);
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
    const { host, port } = parseAddress(address, from);
    const url = `http://${formatAddress({ host, port })}`;
    // Names of hosts have their own rules, which only a URL's parser knows.
    if (URL.canParse(url) && new URL(url).pathname === "/" && !/[@?#%\\]/.test(host)) return url;
    throw new UsageError(`${from}: "${part}" is not HOST:PORT or http://HOST:PORT`);
  });
}

/** A row as JSON: text where the bytes are text, base64 otherwise. */
function rowJson(row: Row): Record<string, unknown> {
  const { key, value, contentType, revision, createRevision } = row;
  const common = { ...(contentType === null ? {} : { contentType }), revision, createRevision };
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(value);
    return { key, value: text, ...common };
  } catch {
    return { key, valueBase64: Buffer.from(value).toString("base64"), ...common };
  }
}
