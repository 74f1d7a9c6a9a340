/**
 * Builds `./kv-deno` with `deno compile`. Left alone it embeds the whole `node_modules`, some 800 MB of
 * tools; everything that is not needed while the program runs is excluded here.
 */

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";

interface LockFile {
  packages: Record<string, { dev?: boolean }>;
}

const lock = JSON.parse(readFileSync("package-lock.json", "utf8")) as LockFile;

/** What lies in `directory` by its whole path; nothing where there is no such directory. */
function entries(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).map((name) => `${directory}/${name}`);
}

/** Every package that is there, scoped ones by scope and name. */
function installed(): string[] {
  return entries("node_modules").flatMap((path) => (path.includes("/@") ? entries(path) : [path]));
}

function isNeeded(path: string): boolean {
  const locked = lock.packages[path];
  return locked !== undefined && locked.dev !== true && path !== "node_modules/node-addon-api";
}

/** Of the SQLite addon only its JavaScript and the binary of this platform. */
function unneededOfSqlite(): string[] {
  const home = "node_modules/better-sqlite3";
  const binary = new RegExp(`/${process.platform}(?:musl)?-${process.arch}\\.node$`);
  const kept = new Set([`${home}/lib`, `${home}/prebuilds`, `${home}/package.json`]);
  return [
    ...entries(home).filter((path) => !kept.has(path)),
    ...entries(`${home}/prebuilds`).filter((path) => !binary.test(path)),
  ];
}

const excluded = [...installed().filter((path) => !isNeeded(path)), ...unneededOfSqlite()];
const result = spawnSync(
  "node_modules/.bin/deno",
  [
    ...["compile", "--allow-all", "--no-check", "--no-lock", "--node-modules-dir=manual"],
    ...excluded.flatMap((path) => ["--exclude", path]),
    ...["--output", "kv-deno", "cmd/kv.ts"],
  ],
  { stdio: "inherit" },
);
process.exitCode = result.status ?? 1;
