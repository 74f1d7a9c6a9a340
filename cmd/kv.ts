/** The command line: words in, a subcommand run, an exit code out. */

import { readFileSync } from "node:fs";
import { cac } from "cac";
import { LiteralArguments, refuseBrokenText, UsageError, type KnownFlags } from "./arguments.ts";
import { commandFlags, type Flags } from "../repl/flags.ts";
import { benchFlags, benchValueFlags, runBench } from "./bench/bench.ts";
import {
  clientFlags,
  endpointsOf,
  parseMode,
  runClientCommand,
  type ClientCommandName,
  type ClientOptions,
} from "./client-commands.ts";
import { runCluster } from "./cluster.ts";
import { commands, commonFlags, helpText } from "./commands.ts";
import {
  nodeConfig,
  nodeFlags,
  readSetting,
  type NodeFlag,
  type NodeFlagValues,
} from "./config.ts";
import {
  operatorCommands,
  runOperatorCommand,
  type OperatorCommandName,
  type OperatorSettings,
} from "./operator-commands.ts";
import { lastWords } from "./last-words.ts";
import { tell, write } from "./output.ts";
import { serve } from "./serve.ts";
import { versionLine } from "./version.ts";

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

const yes: readonly string[] = ["1", "true", "yes"];
const no: readonly string[] = ["", "0", "false", "no"];

/** What a flag without a value has as its variable. */
function isSet(variable: string): boolean {
  const text = process.env[variable] ?? "";
  const isYes = yes.includes(text.toLowerCase());
  if (isYes || no.includes(text.toLowerCase())) return isYes;
  throw new UsageError(`${variable}=${text} is neither 1 nor 0`);
}

function wantsPrompt(options: Options): boolean {
  const isRefused = isSet("KV_NO_REPL");
  return options["repl"] !== false && !isRefused;
}

function wantsBootstrap(options: Options): boolean {
  const isAsked = isSet("KV_BOOTSTRAP");
  return options["bootstrap"] === true || isAsked;
}

function clientOptions(
  options: Options,
  literal: LiteralArguments,
  known: Flags = {},
): ClientOptions {
  const text = (flag: string): string | undefined =>
    options[flag] === undefined ? undefined : literal.text(options[flag]);
  const flags = new Map<string, string | true>();
  for (const [name, { value }] of Object.entries(known)) {
    const given = text(camelCase(name));
    if (given !== undefined) flags.set(name, value === null ? true : given);
  }
  return {
    endpoints: text("endpoints"),
    output: text("output"),
    flags,
    wordsBehind: literal.wordsBehind,
  };
}

const isOperatorCommand = (name: string): name is OperatorCommandName =>
  Object.hasOwn(operatorCommands, name);

function operatorSettings(options: Options, literal: LiteralArguments): OperatorSettings {
  const values = nodeFlagValues(options, literal);
  return {
    dataDir: readSetting("data-dir", values, process.env),
    cluster: readSetting("cluster", values, process.env),
    nodeid: readSetting("nodeid", values, process.env),
    endpoints: clientOptions(options, literal).endpoints,
    isForced: options["force"] === true,
  };
}

function bench(options: Options, literal: LiteralArguments): Promise<void> {
  const { endpoints, output } = clientOptions(options, literal);
  return runBench({
    endpoints: endpointsOf(endpoints),
    format: parseMode(output) === "json" ? "json" : "text",
    text: (flag) => (options[flag] === undefined ? undefined : literal.text(options[flag])),
    isSet: (flag) => options[flag] === true,
  });
}

type Action = (words: readonly string[], options: Options) => Promise<void>;

function actionOf(name: string, literal: LiteralArguments): Action {
  switch (name) {
    case "":
      return (_words, options) =>
        serve(
          nodeConfig(nodeFlagValues(options, literal), {
            prompt: wantsPrompt(options),
            bootstrap: wantsBootstrap(options),
            environment: process.env,
          }),
        );
    case "cluster":
      return (_words, options) =>
        runCluster({ flags: nodeFlagValues(options, literal), prompt: wantsPrompt(options) });
    case "bench":
      return (_words, options) => bench(options, literal);
    case "help":
      return ([about = ""]) => write(process.stdout, helpText(about));
    default:
      if (isOperatorCommand(name)) {
        return (words, options) =>
          runOperatorCommand(name, words, operatorSettings(options, literal));
      }
      return (words, options) =>
        runClientCommand(
          name as ClientCommandName,
          words,
          clientOptions(options, literal, commandFlags[name]),
        );
  }
}

function build(literal: LiteralArguments): ReturnType<typeof cac> {
  const cli = cac("kv");
  for (const [name, { usage, help, flags }] of commands) {
    const command = cli.command(usage, help);
    for (const flag of flags) command.option(flag.usage, flag.help);
    const action = actionOf(name, literal);
    command.action((...given: unknown[]) => {
      const options = given.pop() as Options;
      // Words that go on for as long as they like are one list.
      const known = given.flat().filter((word) => word !== undefined);
      const words = known.map((word) => literal.text(word));
      return action(words, options);
    });
  }
  for (const flag of commonFlags) cli.option(flag.usage, flag.help);
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

const promptFlags = Object.values(commandFlags).flatMap((flags) => Object.entries(flags));
const promptFlagNames = (hasValue: boolean): string[] =>
  promptFlags.filter(([, { value }]) => (value !== null) === hasValue).map(([name]) => name);

const knownFlags: KnownFlags = {
  values: new Set([
    ...[...Object.keys(nodeFlags), ...Object.keys(clientFlags)],
    ...[...benchValueFlags, ...promptFlagNames(true)],
  ]),
  bare: new Set([
    ...["no-repl", "bootstrap", "force", "help", "version", ...promptFlagNames(false)],
    ...Object.keys(benchFlags).filter((name) => !benchValueFlags.includes(name)),
  ]),
  short: new Map([
    ["o", "output"],
    ["h", "help"],
    ["v", "version"],
  ]),
};

/** Null where the system does not tell. */
function commandLine(): Uint8Array | null {
  try {
    return readFileSync("/proc/self/cmdline");
  } catch {
    return null;
  }
}

async function main(words: readonly string[]): Promise<void> {
  refuseBrokenText(words, commandLine());
  const literal = new LiteralArguments(words, knownFlags);
  const cli = build(literal);
  try {
    const { options } = cli.parse(["", "kv", ...literal.argv], { run: false });
    if (options["help"] === true) {
      await write(process.stdout, helpText(cli.matchedCommandName ?? ""));
    } else if (options["version"] === true) {
      if (cli.matchedCommandName !== undefined) throw new UsageError("--version stands alone");
      await write(process.stdout, `${versionLine()}\n`);
    } else {
      await cli.runMatchedCommand();
    }
  } catch (error) {
    throw asUsageError(error, { literal, command: cli.matchedCommandName }) ?? error;
  }
}

// Whoever read our output has gone (`kv … 2>&1 | head`): a node does not die of that.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

main(process.argv.slice(2)).catch((error: unknown) => {
  const { line, code } = lastWords(error);
  tell(line);
  process.exit(code);
});
