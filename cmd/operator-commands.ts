/** Commands of the person who runs the cluster: backup and restore, check, and the last resort. */

import { unreachable } from "../server/raft/assert.ts";
import { UsageError } from "./arguments.ts";
import { backup } from "./backup.ts";
import { check } from "./check.ts";
import { clientFlags, endpointsOf } from "./client-commands.ts";
import { builtInCluster, defaultDataDir, nodeFlags, parseCluster, type Setting } from "./config.ts";
import type { ExitCode } from "./exit.ts";
import { write } from "./output.ts";
import { recover } from "./recover.ts";
import { restore } from "./restore.ts";

/** What is printed on standard output, a line each, and how it went. */
export interface Report {
  readonly lines: readonly string[];
  readonly code: ExitCode;
}

const force = (help: string) => ({ usage: "--force", help });

export const operatorCommands = {
  backup: {
    usage: "backup <file>",
    help: "Write everything into a file, while the cluster serves",
    flags: [clientFlags.endpoints, force("Replace the file if it exists")],
    example: "kv backup monday.sqlite",
  },
  restore: {
    usage: "restore <file>",
    help: "Make the data directories of a new cluster from a backup",
    flags: [nodeFlags["data-dir"], nodeFlags.cluster],
    example: "kv restore monday.sqlite --data-dir new-data",
  },
  check: {
    usage: "check",
    help: "Verify data directories of nodes that do not run; changes nothing",
    flags: [nodeFlags["data-dir"]],
    example: "kv check --data-dir kv-data",
  },
  recover: {
    usage: "recover",
    help: "Make a cluster of this node alone, when most of the others are lost for good",
    flags: [
      nodeFlags.nodeid,
      nodeFlags["data-dir"],
      force("Do it; without this it only says what it would do"),
    ],
    example: "kv recover --nodeid 2",
  },
} as const;

export type OperatorCommandName = keyof typeof operatorCommands;

export interface OperatorSettings {
  readonly dataDir: Setting | null;
  readonly cluster: Setting | null;
  readonly nodeid: Setting | null;
  /** Of the flag alone. */
  readonly endpoints: string | undefined;
  readonly isForced: boolean;
}

/** Runs the command, prints what it reports and ends the process with its exit code. */
export async function runOperatorCommand(
  name: OperatorCommandName,
  [file = ""]: readonly string[],
  settings: OperatorSettings,
): Promise<void> {
  const { lines, code } = await report(name, file, settings);
  await write(process.stdout, lines.map((line) => `${line}\n`).join(""));
  process.exit(code);
}

function report(
  name: OperatorCommandName,
  file: string,
  settings: OperatorSettings,
): Promise<Report> {
  const dataDir = settings.dataDir?.text ?? defaultDataDir;
  const { isForced } = settings;
  switch (name) {
    case "backup":
      return backup({ file, endpoints: endpointsOf(settings.endpoints), replaces: isForced });
    case "restore": {
      const spec = settings.cluster ?? { text: builtInCluster, from: "--cluster" };
      return restore({ file, dataDir, plan: parseCluster(spec) });
    }
    case "check":
      return check(dataDir);
    case "recover":
      return recover({ nodeId: survivorOf(settings.nodeid), dataDir, isForced });
    default:
      return unreachable(name);
  }
}

function survivorOf(given: Setting | null): number {
  if (!given) throw new UsageError("--nodeid is missing; say which node is left");
  if (!/^[1-9]\d{0,9}$/.test(given.text)) {
    throw new UsageError(`${given.from} ${given.text} is not a node's id`);
  }
  return Number(given.text);
}
