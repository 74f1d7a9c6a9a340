/** Commands of the person who runs the cluster: backup and restore, check, and the last resort. */

import type { CAC } from "cac";
import { UsageError, type LiteralArguments } from "./arguments.ts";
import { backup } from "./backup.ts";
import { check } from "./check.ts";
import { clientFlags, parseEndpoints } from "./client-commands.ts";
import { builtInCluster, defaultDataDir, nodeFlags, parseCluster, readSetting } from "./config.ts";
import type { ExitCode } from "./exit.ts";
import { recover } from "./recover.ts";
import { restore } from "./restore.ts";

/** What is printed on standard output, a line each, and how it went. */
export interface Report {
  readonly lines: readonly string[];
  readonly code: ExitCode;
}

type Options = Readonly<Record<string, unknown>>;

export function addOperatorCommands(cli: CAC, literal: LiteralArguments): void {
  const flag = (options: Options, name: "data-dir" | "cluster" | "nodeid") => {
    const key = name === "data-dir" ? "dataDir" : name;
    const value = options[key] === undefined ? undefined : literal.text(options[key]);
    return readSetting(name, value === undefined ? {} : { [name]: value }, process.env);
  };
  const dataDir = (options: Options): string => flag(options, "data-dir")?.text ?? defaultDataDir;
  const add = (
    usage: string,
    help: string,
    flags: readonly { readonly usage: string; readonly help: string }[],
  ) => {
    const command = cli.command(usage, help);
    for (const { usage: name, help: text } of flags) command.option(name, text);
    return command;
  };
  const force = (text: string) => ({ usage: "--force", help: text });

  add("backup <file>", "Write everything into a file, while the cluster serves", [
    clientFlags.endpoints,
    force("Replace the file if it exists"),
  ]).action(async (file: unknown, options: Options) => {
    const given = options["endpoints"];
    const text = given === undefined ? process.env["KV_ENDPOINTS"] : literal.text(given);
    const endpoints = parseEndpoints(text);
    await say(backup({ file: literal.text(file), endpoints, replaces: options["force"] === true }));
  });
  add("restore <file>", "Make the data directories of a new cluster from a backup", [
    nodeFlags["data-dir"],
    nodeFlags.cluster,
  ]).action(async (file: unknown, options: Options) => {
    const plan = parseCluster(
      flag(options, "cluster") ?? { text: builtInCluster, from: "--cluster" },
    );
    await say(restore({ file: literal.text(file), dataDir: dataDir(options), plan }));
  });
  add("check", "Verify data directories of nodes that do not run; changes nothing", [
    nodeFlags["data-dir"],
  ]).action(async (options: Options) => {
    await say(check(dataDir(options)));
  });
  add("recover", "Make a cluster of this node alone, when most of the others are lost for good", [
    nodeFlags.nodeid,
    nodeFlags["data-dir"],
    force("Do it; without this it only says what it would do"),
  ]).action(async (options: Options) => {
    const given = flag(options, "nodeid");
    if (!given) throw new UsageError("--nodeid is missing; say which node is left");
    if (!/^[1-9]\d{0,9}$/.test(given.text)) {
      throw new UsageError(`${given.from} ${given.text} is not a node's id`);
    }
    await say(
      recover({
        nodeId: Number(given.text),
        dataDir: dataDir(options),
        isForced: options["force"] === true,
      }),
    );
  });
}

async function say(running: Promise<Report>): Promise<void> {
  const { lines, code } = await running;
  const text = lines.map((line) => `${line}\n`).join("");
  await new Promise<void>((resolve) => {
    process.stdout.once("error", () => resolve());
    process.stdout.write(text, () => resolve());
  });
  process.exit(code);
}
