/**
 * `npm run sim:bugs`: plants one bug after the other in a copy of the source and lets the simulator
 * look for it, within a budget of seeds. `--only TEXT`, as often as wanted, takes those whose names
 * contain it; `--write` renews their rows of the table in `planted-bugs.md`.
 */

import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { plantedBugs, type PlantedBug } from "./planted-bugs.ts";

/** Seeds a bug may stay hidden for. */
const seedsMax = 3_000;
/** Of processor time: what else the machine does is no part of the budget. */
const cpuSecondsMax = 180;
/** Where it gets none. */
const wallMsMax = 20 * cpuSecondsMax * 1_000;

const root = fileURLToPath(new URL("../..", import.meta.url));
const table = join(root, "test/sim/planted-bugs.md");

interface Found {
  readonly bug: PlantedBug;
  /** The first seed that fails; null: none did. */
  readonly seed: number | null;
  readonly seconds: number;
  readonly message: string;
}

function plant(directory: string, bug: PlantedBug): void {
  for (const { file, find, replace } of bug.also ? [bug, bug.also] : [bug]) {
    const path = join(directory, file);
    const text = readFileSync(path, "utf8");
    if (text.split(find).length !== 2)
      throw new Error(`"${bug.name}": not exactly once in ${file}`);
    writeFileSync(
      path,
      text.replace(find, () => replace),
    );
  }
}

function look(bug: PlantedBug): Found {
  const directory = mkdtempSync(join(tmpdir(), "kv-planted-"));
  try {
    for (const part of ["client", "server", "storage", "test", "package.json"]) {
      cpSync(join(root, part), join(directory, part), { recursive: true });
    }
    symlinkSync(join(root, "node_modules"), join(directory, "node_modules"));
    plant(directory, bug);
    const started = performance.now();
    const search = `ulimit -t ${cpuSecondsMax}; exec "$0" test/sim/run.ts --seeds 1-${seedsMax} --first`;
    const { stdout, stderr, signal } = spawnSync("bash", ["-c", search, process.execPath], {
      ...{ cwd: directory, encoding: "utf8", timeout: wallMsMax, maxBuffer: 64 << 20 },
    });
    const seconds = (performance.now() - started) / 1_000;
    if (!/^\d+ seeds, /m.test(stdout) && signal === null) {
      throw new Error(`"${bug.name}": the simulator did not run: ${stderr}`);
    }
    const failed = /^seed (\d+) fails: (.*)$/m.exec(stdout);
    return {
      bug,
      seed: failed ? Number(failed[1]) : null,
      seconds,
      message: failed?.[2] ?? "not found",
    };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** What a node was asked may be long. */
const messageMax = 240;

function row({ bug, seed, seconds, message }: Found): string {
  return `| ${bug.name} | \`${bug.file}\` | ${seed ?? "—"} | ${seconds.toFixed(1)} | ${brief(message)} |`;
}

function brief(message: string): string {
  const text = message.replaceAll("|", "/");
  return text.length > messageMax ? `${text.slice(0, messageMax)}…` : text;
}

/** The rows of the table as it is, by the name of the bug. */
function knownRows(): Map<string, string> {
  const rows = new Map<string, string>();
  for (const line of readFileSync(table, "utf8").split("\n")) {
    const name = /^\| (.*?) +\| `/.exec(line)?.[1];
    if (name !== undefined) rows.set(name, line);
  }
  return rows;
}

function given(): { readonly only?: string[]; readonly write?: boolean } {
  try {
    return parseArgs({
      options: { only: { type: "string", multiple: true }, write: { type: "boolean" } },
    }).values;
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    console.error(`${problem}; use: npm run sim:bugs -- [--only TEXT …] [--write]`);
    process.exit(2);
  }
}

const { only = [""], write = false } = given();
const chosen = plantedBugs.filter(({ name }) => only.some((text) => name.includes(text)));
const found = chosen.map((bug) => {
  const result = look(bug);
  console.log(row(result));
  return result;
});
const missed = found.filter(({ seed }) => seed === null);
if (write) {
  const head = [
    "# Planted bugs",
    "",
    `Each is put into a copy of the source; the simulator looks for it from seed 1 on, for ${seedsMax} seeds`,
    `or ${cpuSecondsMax} seconds of processor time at the most. \`npm run sim:bugs -- --write\` makes this table.`,
    "",
    "| bug | file | found by seed | seconds | what the simulator says |",
    "| --- | --- | --: | --: | --- |",
  ];
  const rows = knownRows();
  for (const each of found) rows.set(each.bug.name, row(each));
  const all = plantedBugs.flatMap(({ name }) => rows.get(name) ?? []);
  writeFileSync(table, [...head, ...all, ""].join("\n"));
}
console.log(`${found.length - missed.length} of ${found.length} planted bugs found`);
process.exitCode = missed.length === 0 ? 0 : 1;
