/** Every subcommand with its flags: what cac is told, and what `--help` says. */

import { actionLines, isSessionName, type SessionName } from "../repl/session-words.ts";
import { commandFlags } from "../repl/flags.ts";
import { benchFlags } from "./bench/bench.ts";
import { clientCommands, clientFlags } from "./client-commands.ts";
import { nodeFlags } from "./config.ts";
import { operatorCommands } from "./operator-commands.ts";
import { UsageError } from "./arguments.ts";

export interface Flag {
  /** As it is written on the command line, with its value's name. */
  readonly usage: string;
  readonly help: string;
}

export interface Command {
  /** Its name and words; empty for the start of a node. */
  readonly usage: string;
  readonly help: string;
  readonly flags: readonly Flag[];
  readonly example?: string;
}

const noRepl: Flag = { usage: "--no-repl", help: "Serve without a prompt (or KV_NO_REPL=1)" };

const bootstrap: Flag = {
  usage: "--bootstrap",
  help: "First start: form the cluster with a majority; who is away is known to hold nothing",
};

const helpFlag: Flag = { usage: "-h, --help", help: "Show this" };
const versionFlag: Flag = { usage: "-v, --version", help: "Show the version, and the runtime's" };

export const commonFlags: readonly Flag[] = [helpFlag, versionFlag];

const { nodeid, http, raft, ...sharedFlags } = nodeFlags;

const clientExamples: Readonly<Record<keyof typeof clientCommands, string>> = {
  put: "kv put greeting 'hello world'",
  get: "kv get greeting",
  del: "kv del greeting --if-match 12",
  list: "kv list user/ --limit 10 --reverse -o json",
  count: "kv count user/",
  incr: "kv incr stock -1 --min 0",
  max: "kv max record 42",
  min: "kv min lowest -3",
  append: "kv append log ' and more'",
  getdel: "kv getdel job/7",
  touch: "kv touch job/7 30s",
  delrange: "kv delrange user/",
  watch: "kv watch user/ --since 12 -o json",
  txn: "kv txn < transaction.json",
  lease: "kv lease grant 30s",
  lock: "kv lock acquire deploy --wait 1m -- ./deploy.sh",
  election: "kv election campaign primary 10.0.0.7:9000 --wait 5m",
  member: "kv member add 4=10.0.0.4:63001/10.0.0.4:8001",
  transfer: "kv transfer 2",
  compact: "kv compact 1200 --endpoints 127.0.0.1:8001,127.0.0.1:8002",
  status: "kv status --endpoints 127.0.0.1:8002",
};

/** As the prompt has them too. */
const ownFlags = (name: string): Flag[] =>
  Object.entries(commandFlags[name] ?? {}).map(([flag, { value, meaning }]) => ({
    usage: value === null ? `--${flag}` : `--${flag} <${value}>`,
    help: meaning,
  }));

const client = Object.entries(clientCommands).map(([name, { usage, help }]): [string, Command] => {
  const example = clientExamples[name as keyof typeof clientCommands];
  const flags = [...ownFlags(name), ...Object.values(clientFlags)];
  return [name, { usage, help, flags, example }];
});

/** By name; the start of a node has the empty one. */
export const commands: ReadonlyMap<string, Command> = new Map<string, Command>([
  [
    "",
    {
      usage: "",
      help: "Start a node, with a prompt where standard input is a terminal",
      flags: [nodeid, http, raft, ...Object.values(sharedFlags), bootstrap, noRepl],
      example: "kv --nodeid 1",
    },
  ],
  [
    "cluster",
    {
      usage: "cluster",
      help: "Start all nodes of the cluster on this machine, with one prompt",
      flags: [...Object.values(sharedFlags), noRepl],
      example: "kv cluster",
    },
  ],
  ...client,
  [
    "bench",
    {
      usage: "bench",
      help: "Measure a running cluster: latency, throughput, errors",
      flags: [...Object.values(benchFlags), ...Object.values(clientFlags)],
      example: "kv bench --clients 64 --reads 90 --duration 30",
    },
  ],
  ...Object.entries(operatorCommands),
  ["help", { usage: "help [command]", help: "Show what a command does", flags: [] }],
]);

/** What `kv --help` says, or `kv NAME --help`; throws a `UsageError` where there is no such command. */
export function helpText(name: string): string {
  const command = commands.get(name);
  if (!command) {
    const names = [...commands.keys()].filter((known) => known !== "").join(", ");
    throw new UsageError(`there is no command "${name}"; there are ${names}`);
  }
  const isStart = name === "";
  const usage = isStart ? "  kv --nodeid N [flags]\n  kv COMMAND [flags]" : `  kv ${command.usage}`;
  const parts = [`${command.help}.`, `Usage:\n${usage}`];
  if (isStart) parts.push(`Commands:\n${table([...commands.values()])}`);
  if (isSessionName(name)) parts.push(`Actions:\n${actionsText(name)}`);
  parts.push(`Flags:\n${table([...command.flags, ...(isStart ? commonFlags : [helpFlag])])}`);
  if (command.example !== undefined) parts.push(`Example:\n  ${command.example}`);
  if (isStart) parts.push("Every flag with a value is an environment variable too: KV_DATA_DIR, …");
  else if (clientNames.has(name)) parts.push(words);
  return `${parts.join("\n\n")}\n`;
}

function actionsText(name: SessionName): string {
  const lines = actionLines(name).map((line) => `  ${line}`);
  if (name !== "lease") {
    lines.push(
      "  With -- COMMAND behind it the first is held, and renewed, while the command runs.",
    );
  }
  return lines.join("\n");
}

const clientNames: ReadonlySet<string> = new Set(Object.keys(clientCommands));

const words =
  "A word that begins with a dash goes after --, as in kv put key -- --value; a number such as -5\n" +
  "needs none. Exit codes: 0 done, 1 said no (not found), 2 used wrongly, 3 not reached, outcome\n" +
  "unknown, or answer not written.";

function table(rows: readonly { readonly usage: string; readonly help: string }[]): string {
  const shown = rows.filter(({ usage }) => usage !== "");
  const width = Math.max(...shown.map(({ usage }) => usage.length));
  return shown.map(({ usage, help }) => `  ${usage.padEnd(width)}  ${help}`).join("\n");
}
