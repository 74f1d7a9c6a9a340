/** What a node is started with: flags first, then environment variables, then defaults; all checked. */

import { limitsHelp, parseLimits, withHttpLimits, type LimitSettings } from "./limit-settings.ts";
import type { Http1Limits } from "../server/listen/http1-limits.ts";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import { formatAddress, parseAddress } from "../server/address.ts";
import type { PlannedMember } from "../server/formation.ts";
import { defaultLimits, gatheringOf, type Limits } from "../server/limits.ts";
import { membersMax } from "../server/raft/configuration.ts";
import { nodeId, type NodeId } from "../server/raft/entry.ts";
import type { SocketAddress } from "../server/socket/socket.ts";
import { UsageError } from "./arguments.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFormat = "text" | "json";

export interface NodeConfig {
  readonly nodeId: NodeId;
  /** This node's own directory: `DIR/node-N`. */
  readonly directory: string;
  /** The members as named at the first start. */
  readonly plan: readonly PlannedMember[];
  readonly raftListen: SocketAddress;
  readonly httpListen: SocketAddress;
  readonly prompt: boolean;
  /** At the first start a majority of the plan may form the cluster: a person vouches for the others. */
  readonly bootstrap: boolean;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  readonly secret: Uint8Array | null;
  readonly allowedHosts: readonly string[];
  readonly allowedOrigins: readonly string[];
  readonly limits: Limits;
  readonly httpLimits: Http1Limits;
}

export const builtInCluster =
  "1=127.0.0.1:63001/127.0.0.1:8001,2=127.0.0.1:63002/127.0.0.1:8002,3=127.0.0.1:63003/127.0.0.1:8003";

export const defaultDataDir = "kv-data";

/** What `defaultLimits` allows the queues together. */
const defaultMemoryBytes = 4 * defaultLimits.pendingWriteBytesMax;
/** Less would not hold a few of the largest writes. */
const memoryBytesMin = 32 << 20;

/** Shares of the memory for what waits: the queues' sizes stay in the proportion of the defaults. */
function queueLimits(bytes: number): Partial<Limits> {
  const share = (limit: number): number => Math.floor(bytes * (limit / defaultMemoryBytes));
  return {
    pendingWriteBytesMax: share(defaultLimits.pendingWriteBytesMax),
    uncommittedBytesMax: share(defaultLimits.uncommittedBytesMax),
    inflightBytesMax: Math.max(defaultLimits.appendBytesMax, share(defaultLimits.inflightBytesMax)),
  };
}

interface Flag {
  /** As it is written on the command line, with its value's name. */
  readonly usage: string;
  readonly help: string;
}

/** The flags of a node, by name without dashes; each is also `KV_<NAME>` in the environment. */
export const nodeFlags = {
  nodeid: { usage: "--nodeid <N>", help: "Which member this node is; required" },
  "data-dir": {
    usage: "--data-dir <DIR>",
    help: `Files go to DIR/node-N; delete DIR to start over (default: ${defaultDataDir})`,
  },
  cluster: {
    usage: "--cluster <SPEC>",
    help: "Members of the first start, or those to join and this node: ID=RAFT/HTTP,… (default: three nodes on 127.0.0.1)",
  },
  http: { usage: "--http <ADDR>", help: "Listen for HTTP here instead of the address in SPEC" },
  raft: { usage: "--raft <ADDR>", help: "Listen for peers here instead of the address in SPEC" },
  "log-level": { usage: "--log-level <LEVEL>", help: "debug, info, warn or error (default: info)" },
  "log-format": { usage: "--log-format <FORMAT>", help: "text or json (default: text)" },
  "snapshot-entries": {
    usage: "--snapshot-entries <N>",
    help: `Writes kept in the log for nodes that come back (default: ${defaultLimits.logEntriesMax})`,
  },
  "snapshot-tail-bytes": {
    usage: "--snapshot-tail-bytes <N>",
    help: `Bytes of the log kept for them where the state is smaller (default: ${defaultLimits.logTailBytesMin})`,
  },
  "snapshot-bytes": {
    usage: "--snapshot-bytes <N>",
    help: `Bytes of the log, or of the state if more, kept at most (default: ${defaultLimits.logBytesMax})`,
  },
  "memory-bytes": {
    usage: "--memory-bytes <N>",
    help: `Memory for what waits on this node: writes, messages (default: ${defaultMemoryBytes})`,
  },
  limits: { usage: "--limits <LIST>", help: limitsHelp },
  "secret-file": {
    usage: "--secret-file <FILE>",
    help: "Shared secret of the cluster's nodes (or KV_SECRET); needed beyond loopback",
  },
  "allowed-hosts": {
    usage: "--allowed-hosts <LIST>",
    help: "More names accepted in the Host header, separated by commas",
  },
  "allowed-origins": {
    usage: "--allowed-origins <LIST>",
    help: "Web origins that may call the HTTP API, separated by commas",
  },
} as const satisfies Record<string, Flag>;

export type NodeFlag = keyof typeof nodeFlags;

/** Given texts of the flags, undefined where a flag was not given. */
export type NodeFlagValues = Partial<Record<NodeFlag, string>>;

const noSettings: LimitSettings = { limits: {}, http: {} };

type Environment = Readonly<Record<string, string | undefined>>;

export function nodeConfig(
  flags: NodeFlagValues,
  options: { prompt: boolean; bootstrap: boolean; environment: Environment },
): NodeConfig {
  const { environment } = options;
  const read = (name: NodeFlag): Setting | null => readSetting(name, flags, environment);
  const plan = parseCluster(read("cluster") ?? { text: builtInCluster, from: "--cluster" });
  const id = parseNodeId(read("nodeid"), plan);
  const own = plan.find((member) => member.id === id);
  if (!own) throw new UsageError(`--nodeid ${id} is not in the cluster`);
  const listen = (name: "raft" | "http"): SocketAddress => {
    const given = read(name);
    return given ? addressOf(given.text, given.from) : addressOf(own[name], "--cluster");
  };
  const given = read("limits");
  const settings = given === null ? noSettings : parseLimits(given.text, given.from);
  const config: NodeConfig = {
    nodeId: id,
    directory: join(read("data-dir")?.text ?? defaultDataDir, `node-${id}`),
    plan,
    raftListen: listen("raft"),
    httpListen: listen("http"),
    prompt: options.prompt,
    bootstrap: options.bootstrap,
    logLevel: oneOf(read("log-level"), ["debug", "info", "warn", "error"], "info"),
    logFormat: oneOf(read("log-format"), ["text", "json"], "text"),
    secret: readSecret(read("secret-file"), environment),
    allowedHosts: eachOf(read("allowed-hosts"), parseHostName),
    allowedOrigins: eachOf(read("allowed-origins"), parseOrigin),
    httpLimits: withHttpLimits(settings.http),
    limits: {
      ...defaultLimits,
      ...gatheringOf(id),
      logEntriesMax: positive(read("snapshot-entries"), 1, defaultLimits.logEntriesMax),
      logBytesMax: positive(read("snapshot-bytes"), logBytesMin, defaultLimits.logBytesMax),
      logTailBytesMin: positive(read("snapshot-tail-bytes"), 1, defaultLimits.logTailBytesMin),
      ...queueLimits(positive(read("memory-bytes"), memoryBytesMin, defaultMemoryBytes)),
      ...settings.limits,
    },
  };
  refuseOpenWithoutSecret(config);
  return config;
}

export function readSetting(
  name: NodeFlag,
  flags: NodeFlagValues,
  environment: Environment,
): Setting | null {
  const flag = flags[name];
  const variable = `KV_${name.replaceAll("-", "_").toUpperCase()}`;
  const text = flag ?? environment[variable];
  if (text === undefined) return null;
  const from = flag === undefined ? variable : `--${name}`;
  if (text === "") {
    const { usage } = nodeFlags[name];
    throw new UsageError(`${from} is empty; give it a value (${usage}), or leave it out`);
  }
  return { text, from };
}

function parseNodeId(given: Setting | null, plan: readonly PlannedMember[]): NodeId {
  const ids = plan.map((member) => member.id).join(", ");
  if (!given) throw new UsageError(`--nodeid is missing; say which node this is, one of ${ids}`);
  const isId = /^[1-9]\d{0,9}$/.test(given.text);
  const id = nodeId(Number(given.text));
  if (!isId || !plan.some((member) => member.id === id)) {
    throw new UsageError(
      `${given.from} ${given.text} is not a node of the cluster; use one of ${ids}`,
    );
  }
  return id;
}

/** `1=RAFT/HTTP,2=RAFT/HTTP,…` */
export function parseCluster(given: Setting): PlannedMember[] {
  const { text, from } = given;
  const members = text.split(",").map((part) => {
    const match = /^([1-9]\d{0,9})=([^/]+)\/([^/]+)$/.exec(part);
    const id = Number(match?.[1]);
    if (!match || id >= 2 ** 32) {
      throw new UsageError(
        `${from}: "${part}" is not ID=RAFT_ADDRESS/HTTP_ADDRESS, such as 1=127.0.0.1:63001/127.0.0.1:8001`,
      );
    }
    const raft = formatAddress(addressOf(match[2] ?? "", from));
    const http = formatAddress(addressOf(match[3] ?? "", from));
    return { id: nodeId(id), raft, http };
  });
  if (members.length > membersMax) {
    throw new UsageError(
      `${from} names ${members.length} members; a cluster has at most ${membersMax}`,
    );
  }
  members.sort((a, b) => a.id - b.id);
  refuseRepeated(members, from);
  return members;
}

function refuseRepeated(members: readonly PlannedMember[], from: string): void {
  const seen = new Set<string>();
  const once = (text: string, what: string): void => {
    if (seen.has(text)) throw new UsageError(`${from}: ${what} is there twice; each is named once`);
    seen.add(text);
  };
  for (const { id, raft, http } of members) {
    once(`id ${id}`, `node id ${id}`);
    once(raft, `address ${raft}`);
    once(http, `address ${http}`);
  }
}

/** A `UsageError` that names `from` where `text` is no address. */
export function addressOf(text: string, from: string): SocketAddress {
  const address = parseAddress(text);
  if (address !== null) return address;
  throw new UsageError(`${from}: "${text}" is not HOST:PORT with a port from 1 to 65535`);
}

export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));

function oneOf<T extends string>(given: Setting | null, choices: readonly T[], fallback: T): T {
  if (!given) return fallback;
  const found = choices.find((choice) => choice === given.text);
  if (found) return found;
  throw new UsageError(`${given.from} ${given.text} is not one of ${choices.join(", ")}`);
}

/** Less would not hold a few of the largest writes. */
const logBytesMin = 4 << 20;

function positive(given: Setting | null, min: number, fallback: number): number {
  if (!given) return fallback;
  const value = Number(given.text);
  if (/^\d{1,15}$/.test(given.text) && value >= min) return value;
  throw new UsageError(`${given.from} ${given.text} is not a whole number from ${min}`);
}

export type Setting = { readonly text: string; readonly from: string };

/** A list's parts, separated by commas, each made what `parse` makes of it. */
function eachOf(given: Setting | null, parse: (part: Setting) => string): string[] {
  if (!given) return [];
  return given.text.split(",").map((part) => parse({ text: part.trim(), from: given.from }));
}

/** As it stands in a `Host` header: `name`, or `name:port` for that port only. */
function parseHostName({ text, from }: Setting): string {
  const isName = /^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?(:\d{1,5})?$/i.test(text);
  const bracketed = /^\[([0-9a-f:.]+)\](:\d{1,5})?$/i.exec(text);
  if (isName || isIP(bracketed?.[1] ?? "") === 6) return text.toLowerCase();
  if (isIP(text) === 6) return `[${text.toLowerCase()}]`;
  throw new UsageError(`${from}: "${text}" is not a host's name, such as kv.example.org`);
}

/** As browsers write it. */
function parseOrigin({ text, from }: Setting): string {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\/[^/?#@\s\\]+$/i.exec(text)?.[1]?.toLowerCase();
  const isWeb = scheme === "http" || scheme === "https";
  if (isWeb && URL.canParse(text)) return new URL(text).origin;
  // An extension's: for those a URL's parser knows no origin.
  if (scheme !== undefined && !isWeb) return text;
  throw new UsageError(
    `${from}: "${text}" is not a web origin, such as https://app.example.org (no path, no *)`,
  );
}

const secretBytesMin = 16;

function readSecret(file: Setting | null, environment: Environment): Uint8Array | null {
  const text = file ? readSecretFile(file) : environment["KV_SECRET"];
  if (text === undefined) return null;
  const secret = new TextEncoder().encode(text.trim());
  if (secret.byteLength < secretBytesMin) {
    const from = file ? `${file.from} ${file.text}` : "KV_SECRET";
    throw new UsageError(`${from}: a secret has at least ${secretBytesMin} bytes`);
  }
  return secret;
}

function readSecretFile({ text, from }: Setting): string {
  try {
    return readFileSync(text, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(`${from} ${text} cannot be read (${code}); name a readable file`);
  }
}

/** Without a secret, whoever reaches the peer port could vote: only this machine may reach it then. */
function refuseOpenWithoutSecret(config: NodeConfig): void {
  if (config.secret) return;
  const own = config.plan.find((member) => member.id === config.nodeId);
  const hosts = [
    config.raftListen.host,
    config.httpListen.host,
    ...(own ? [addressOf(own.raft, "--cluster").host, addressOf(own.http, "--cluster").host] : []),
  ];
  const open = hosts.find((host) => !isLoopback(host));
  if (open === undefined) return;
  throw new UsageError(
    `address ${open} can be reached from other machines; set KV_SECRET or --secret-file first, the same on all nodes`,
  );
}
