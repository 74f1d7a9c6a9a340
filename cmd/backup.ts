/** `kv backup`: fetches a backup from a node, verifies it, and gives it its name only then. */

import { randomUUID } from "node:crypto";
import { createWriteStream, existsSync, linkSync, renameSync, rmSync, statSync } from "node:fs";
import { get, type IncomingMessage } from "node:http";
import { basename, dirname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { BackupReader } from "../storage/backup-file.ts";
import { loadSqlite } from "../storage/sqlite/open.ts";
import { SqliteError } from "../storage/sqlite/port.ts";
import { StateDamaged, syncDirectory } from "../storage/state-schema.ts";
import { exitCodes, StartError } from "./exit.ts";
import type { Report } from "./operator-commands.ts";

export interface BackupOptions {
  readonly file: string;
  readonly endpoints: readonly string[];
  /** Whether an older file may be replaced. */
  readonly replaces: boolean;
}

/** A node makes the whole file before it sends the first byte; a large state takes its time. */
const answerMs = 600_000;
/** So it is first asked whether it is there at all: one that is frozen accepts connections for ever. */
const presenceMs = 3_000;
/** Of a connection over which nothing comes. */
const idleMs = 30_000;
const problemBytesMax = 64 << 10;

export async function backup({ file, endpoints, replaces }: BackupOptions): Promise<Report> {
  const path = resolve(file);
  const there = statSync(path, { throwIfNoEntry: false });
  if (there !== undefined && !replaces) {
    throw new StartError(`${path} exists already; give another name, or --force to replace it`);
  }
  if (there !== undefined && !there.isFile()) {
    throw new StartError(`${path} is no ordinary file; give another name`);
  }
  if (!existsSync(dirname(path))) throw new StartError(`${dirname(path)} does not exist`);
  // A name of its own: another backup to the same place may be under way.
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}.part`);
  try {
    await fetchFromAny(endpoints, temporary);
    const told = await verified(temporary);
    // A file may have come there meanwhile.
    if (replaces) renameSync(temporary, path);
    else placeAnew(temporary, path);
    syncDirectory(dirname(path));
    return { lines: [`${path}: ${told}`], code: exitCodes.done };
  } catch (error) {
    rmSync(temporary, { force: true });
    throw explained(error, path);
  }
}

/** Throws EEXIST where something is there already. */
function placeAnew(temporary: string, path: string): void {
  try {
    linkSync(temporary, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Not every file system has links.
    if (code !== "EPERM" && code !== "ENOTSUP" && code !== "EOPNOTSUPP") throw error;
    renameSync(temporary, path);
    return;
  }
  rmSync(temporary);
}

/** Whether another node may be asked after this. */
class Refused extends Error {
  override name = "Refused";
  readonly mayPass: boolean;

  constructor(message: string, mayPass: boolean) {
    super(message);
    this.mayPass = mayPass;
  }
}

async function fetchFromAny(endpoints: readonly string[], path: string): Promise<void> {
  let last: Refused | null = null;
  for (const endpoint of endpoints) {
    try {
      await fetchFrom(endpoint, path);
      return;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      last = error;
      if (!error.mayPass) break;
    }
  }
  throw new StartError(last?.message ?? "there is no endpoint to ask", exitCodes.unreachable);
}

async function fetchFrom(endpoint: string, path: string): Promise<void> {
  const { host } = new URL(endpoint);
  const unreachable = (error: unknown): never => {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Refused(`${host}: it cannot be reached (${code ?? message})`, true);
  };
  (await ask(new URL("/livez", endpoint), presenceMs).catch(unreachable)).resume();
  const answer = await ask(new URL("/v1/backup", endpoint), answerMs).catch(unreachable);
  if (answer.statusCode !== 200) {
    throw new Refused(`${host}: ${await problemIn(answer)}`, (answer.statusCode ?? 0) >= 500);
  }
  const sink = createWriteStream(path, { flags: "w", mode: 0o600, flush: true });
  try {
    await pipeline(answer, sink);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOSPC" || code === "EACCES" || code === "EROFS") throw error;
    throw new Refused(`${host}: the connection broke off (${code ?? String(error)})`, true);
  }
}

function ask(url: URL, withinMs: number): Promise<IncomingMessage> {
  return new Promise((answered, reject) => {
    const signal = AbortSignal.timeout(withinMs);
    const request = get(url, { agent: false });
    const abort = (): void => void request.destroy(new Error("no answer in time"));
    signal.addEventListener("abort", abort);
    request.on("error", reject);
    request.on("response", (answer) => {
      signal.removeEventListener("abort", abort);
      answer.setTimeout(idleMs, () => answer.destroy(new Error("nothing came for too long")));
      answered(answer);
    });
  });
}

async function problemIn(answer: IncomingMessage): Promise<string> {
  let text = "";
  for await (const piece of answer) {
    text += String(piece);
    if (text.length > problemBytesMax) break;
  }
  try {
    const { detail } = JSON.parse(text) as { detail?: unknown };
    if (typeof detail === "string") return detail;
  } catch {
    // Not one of our nodes.
  }
  return `it answered with status ${answer.statusCode}`;
}

/** Every page and every row; returns what is in it. */
async function verified(path: string): Promise<string> {
  const reader = BackupReader.open(await loadSqlite(), path);
  try {
    const rowCount = reader.verify();
    const { applied, clusterId } = reader.head;
    return `${rowCount} rows of cluster ${clusterId}, as of entry ${applied.appliedIndex}`;
  } finally {
    reader.close();
  }
}

function explained(error: unknown, path: string): unknown {
  if (error instanceof StateDamaged || error instanceof SqliteError) {
    return new StartError(`what came is not a whole backup: ${error.detail}; try again`);
  }
  const { code } = error as NodeJS.ErrnoException;
  if (error instanceof StartError || typeof code !== "string") return error;
  if (code === "EEXIST") return new StartError(`${path} has come meanwhile; give another name`);
  return new StartError(`${path} cannot be written (${code})`);
}
