/** `kv check`: what is wrong with the files of nodes that do not run, and what to do about it. */

import { join, resolve } from "node:path";
import { configuration, hasOtherVoter } from "../server/raft/configuration.ts";
import type { Disk } from "../storage/disk.ts";
import { DirectoryLock } from "../storage/directory-lock.ts";
import {
  checkGroup,
  type Finding,
  type FoundLog,
  type GroupCheck,
} from "../storage/group-check.ts";
import { readIdentity } from "../storage/identity.ts";
import { NodeDisk } from "../storage/node-disk.ts";
import { loadSqlite } from "../storage/sqlite/open.ts";
import { SqliteError, type SqliteDriver } from "../storage/sqlite/port.ts";
import { exitCodes, StartError } from "./exit.ts";
import { explaining, groupDirectory, group } from "./node-directory.ts";
import type { Report } from "./operator-commands.ts";

/** Every `node-N` in `dataDir`, or `dataDir` itself where it is a node's own. */
export async function check(dataDir: string): Promise<Report> {
  const path = resolve(dataDir);
  const disk = new NodeDisk();
  const driver = await loadSqlite();
  return explaining(path, async () => {
    if (!disk.exists(path)) throw new StartError(`${path} does not exist; see --data-dir`);
    const names = disk.list(path);
    const nodes = names.filter((name) => /^node-\d+$/.test(name)).map((name) => join(path, name));
    if (nodes.length === 0 && !names.includes("identity")) {
      throw new StartError(`${path} holds no node's files; see --data-dir`);
    }
    const lines: string[] = [];
    let isWhole = true;
    for (const node of nodes.length > 0 ? nodes : [path]) {
      const findings = await checkNode(node, { disk, driver, lines });
      if (findings > 0) isWhole = false;
    }
    return { lines, code: isWhole ? exitCodes.done : exitCodes.refused };
  });
}

interface Tools {
  readonly disk: Disk;
  readonly driver: SqliteDriver;
  readonly lines: string[];
}

/** Returns how many findings there are. */
async function checkNode(path: string, { disk, driver, lines }: Tools): Promise<number> {
  // Where there is no lock yet, none is made.
  const lock = disk.exists(`${path}/lock`) ? lockOf(driver, path) : undefined;
  if (lock === null) {
    lines.push(`${path}: in use by a running node; stop it, and check again`);
    return 1;
  }
  try {
    const found = readIdentity(disk, path);
    if (found.kind === "none" && !disk.exists(groupDirectory(path))) {
      lines.push(`${path}: empty`);
      return 0;
    }
    if (found.kind !== "found") {
      const detail = found.kind === "none" ? "it is missing, but there is a log" : found.detail;
      lines.push(advised({ path: `${path}/identity`, detail, isMended: false }, true));
      return 1;
    }
    const { identity } = found;
    if (identity.clusterId === null) {
      lines.push(`${path}: whole; it belongs to no cluster yet`);
      return 0;
    }
    const checked = checkGroup({ disk, driver, directory: groupDirectory(path), group });
    const members = checked.configuration ?? configuration(identity.members);
    const hasPeers = hasOtherVoter(members, identity.nodeId);
    for (const finding of checked.findings) lines.push(advised(finding, hasPeers));
    if (checked.findings.length === 0) lines.push(`${path}: whole: ${summary(checked)}`);
    return checked.findings.length;
  } finally {
    lock?.release();
  }
}

/** Null where a node runs there. Undefined where nothing can be locked: whoever may only read, looks. */
function lockOf(driver: SqliteDriver, path: string): DirectoryLock | null | undefined {
  try {
    return DirectoryLock.acquire(driver, path);
  } catch (error) {
    const isForbidden = error instanceof SqliteError && error.code.startsWith("SQLITE_READONLY");
    if (!isForbidden) throw error;
    return DirectoryLock.isHeld(driver, path) ? null : undefined;
  }
}

export function summary({ term, state, log }: GroupCheck): string {
  const parts: string[] = [];
  if (state) parts.push(`${state.rowCount} rows`, `applied ${state.appliedIndex}`);
  if (log) parts.push(inLog(log));
  if (term !== null) parts.push(`term ${term}`);
  return parts.join(", ");
}

function inLog({ firstIndex, lastIndex, lastTerm }: FoundLog): string {
  if (lastIndex < firstIndex) return `log empty behind ${lastIndex} of term ${lastTerm}`;
  return `log ${firstIndex} to ${lastIndex} of term ${lastTerm}`;
}

/** What is wrong, and what to do. */
export function advised({ path, detail, isMended }: Finding, hasPeers: boolean): string {
  return `${path}: ${detail}; ${adviceFor(path, isMended, hasPeers)}`;
}

function adviceFor(path: string, isMended: boolean, hasPeers: boolean): string {
  if (isMended) return "start the node, and it is mended by itself";
  if (!hasPeers) return "no other node has the data: restore a backup (kv restore)";
  if (/(?:identity|hard-state)$/.test(path)) {
    return "delete this node's directory and start it: the others give it everything again";
  }
  return "start the node while the others run: they give it what is lost";
}
