/** The command line: words in, a subcommand run, an exit code out. */

import { cac } from "cac";
import { LiteralArguments, UsageError } from "./arguments.ts";
import {
  clientCommands,
  clientFlags,
  runClientCommand,
  type ClientCommandName,
} from "./client-commands.ts";
import { runCluster } from "./cluster.ts";
import { nodeConfig, nodeFlags, type NodeFlag, type NodeFlagValues } from "./config.ts";
import { addOperatorCommands } from "./operator-commands.ts";
import { lastWords } from "./last-words.ts";
import { serve } from "./serve.ts";
import { version } from "./version.ts";

type Options = Readonly<Record<string, unknown>>;

const camelCase = (name: string): string =>
  name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

function nodeFlagValues(options: Options, literal: LiteralArguments): NodeFlagValues {
  const values: NodeFlagValues = {};
  for (const name of Object.keys(nodeFlags) as NodeFlag[]) {
    const value = options[camelCase(name)];
    if (value !== undefined) values[name] = literal.text(value);
  }
  return values;
}

/** `KV_NO_REPL` set to anything but nothing, `0` or `false` means no prompt. */
function wantsPrompt(options: Options): boolean {
  const variable = process.env["KV_NO_REPL"] ?? "";
  return options["repl"] !== false && ["", "0", "false"].includes(variable);
}

function build(literal: LiteralArguments): ReturnType<typeof cac> {
  const cli = cac("kv");
  const addNodeFlags = (
    command: ReturnType<typeof cli.command>,
    without: readonly string[],
  ): void => {
    for (const [name, flag] of Object.entries(nodeFlags)) {
      if (!without.includes(name)) command.option(flag.usage, flag.help);
    }
  };
  const start = cli.command("", "Start a node, with a prompt where standard input is a terminal");
  addNodeFlags(start, []);
  start.option("--no-repl", "Serve without a prompt");
  start.example("  kv --nodeid 1");
  start.action((options: Options) =>
    serve(
      nodeConfig(nodeFlagValues(options, literal), {
        prompt: wantsPrompt(options),
        environment: process.env,
      }),
    ),
  );
  const cluster = cli.command(
    "cluster",
    "Start all nodes of the cluster on this machine, with one prompt",
  );
  addNodeFlags(cluster, ["nodeid", "http", "raft"]);
  cluster.option("--no-repl", "Serve without a prompt");
  cluster.action((options: Options) =>
    runCluster({
      flags: nodeFlagValues(options, literal),
      prompt: wantsPrompt(options),
    }),
  );
  for (const [name, { usage, help }] of Object.entries(clientCommands)) {
    const command = cli.command(usage, help);
    for (const flag of Object.values(clientFlags)) command.option(flag.usage, flag.help);
    command.action((...given: unknown[]) => {
      const options = given.pop() as Options;
      const words = given.filter((word) => word !== undefined).map((word) => literal.text(word));
      const text = (flag: string): string | undefined =>
        options[flag] === undefined ? undefined : literal.text(options[flag]);
      return runClientCommand(name as ClientCommandName, words, {
        endpoints: text("endpoints"),
        output: text("output"),
      });
    });
  }
  addOperatorCommands(cli, literal);
  cli.help();
  cli.version(version);
  return cli;
}

/** cac's words for wrong use, in ours: what is wrong, as it was typed, and what would be right. */
function asUsageError(
  error: unknown,
  { literal, command }: { literal: LiteralArguments; command: string | undefined },
): UsageError | null {
  if (error instanceof UsageError) return error;
  if (!(error instanceof Error) || error.name !== "CACError") return null;
  const help = command ? `kv ${command} --help` : "kv --help";
  const quoted = /`(-{0,2})(.*)`/s.exec(error.message)?.[2] ?? "";
  if (error.message.startsWith("Unknown option")) {
    return new UsageError(`unknown flag ${literal.typedFlag(quoted)}; ${help} lists them`);
  }
  if (error.message.startsWith("Unused args")) {
    const word = literal.text(quoted.split("`")[0]);
    return new UsageError(`unexpected word "${word}"; ${help} shows what is understood`);
  }
  if (error.message.startsWith("missing required args")) {
    return new UsageError(`something is missing: kv ${quoted}`);
  }
  return new UsageError(`${error.message}; ${help} shows what is understood`);
}

async function main(words: readonly string[]): Promise<void> {
  const valueFlags = new Set([...Object.keys(nodeFlags), ...Object.keys(clientFlags)]);
  const literal = new LiteralArguments(words, valueFlags);
  const cli = build(literal);
  try {
    cli.parse(["", "kv", ...literal.argv], { run: false });
    await cli.runMatchedCommand();
  } catch (error) {
    throw asUsageError(error, { literal, command: cli.matchedCommandName }) ?? error;
  }
}

// Whoever read our output has gone (`kv … 2>&1 | head`): a node does not die of that.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

main(process.argv.slice(2)).catch((error: unknown) => {
  const { line, code } = lastWords(error);
  process.stderr.write(`${line}\n`);
  process.exit(code);
});
