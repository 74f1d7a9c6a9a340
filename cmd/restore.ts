/** `kv restore`: the data directories of a new cluster, all with the state of one backup. */

import { join, resolve } from "node:path";
import { clusterIdOf, type PlannedMember } from "../server/formation.ts";
import { configuration, type Member } from "../server/raft/configuration.ts";
import { BackupReader } from "../storage/backup-file.ts";
import type { Disk } from "../storage/disk.ts";
import { restoreGroup } from "../storage/group-making.ts";
import { writeIdentity } from "../storage/identity.ts";
import { NodeDisk } from "../storage/node-disk.ts";
import { loadSqlite } from "../storage/sqlite/open.ts";
import type { SqliteDriver } from "../storage/sqlite/port.ts";
import { StateDamaged } from "../storage/state-schema.ts";
import { exitCodes, StartError } from "./exit.ts";
import {
  createDirectory,
  drawIncarnation,
  drawSalt,
  explaining,
  group,
  groupDirectory,
} from "./node-directory.ts";
import type { Report } from "./operator-commands.ts";

export interface RestoreOptions {
  readonly file: string;
  readonly dataDir: string;
  readonly plan: readonly PlannedMember[];
}

export async function restore({ file, dataDir, plan }: RestoreOptions): Promise<Report> {
  const path = resolve(dataDir);
  const disk = new NodeDisk();
  const driver = await loadSqlite();
  return explaining(path, async () => {
    for (const { id } of plan) refuseUsed(disk, join(path, `node-${id}`));
    const backup = opened(disk, driver, resolve(file));
    try {
      const rowCount = verified(backup, resolve(file));
      const members: Member[] = plan.map(({ id, raft, http }) => {
        return { id, role: "voter", raft, http, incarnation: drawIncarnation() };
      });
      const clusterId = clusterIdOf(members);
      makeAll({ disk, driver, path, backup, members, clusterId });
      const { appliedIndex } = backup.head.applied;
      return {
        lines: told({ path, members, clusterId, rowCount, appliedIndex }),
        code: exitCodes.done,
      };
    } finally {
      backup.close();
    }
  });
}

interface Making {
  readonly disk: Disk;
  readonly driver: SqliteDriver;
  readonly path: string;
  readonly backup: BackupReader;
  readonly members: readonly Member[];
  readonly clusterId: string;
}

/** Beside their places first, so that a failure leaves nothing there. */
function makeAll(making: Making): void {
  const { disk, path, members } = making;
  const isNew = !disk.exists(path);
  const temporary = `${path}/.restoring`;
  if (disk.exists(temporary)) disk.remove(temporary);
  try {
    createDirectory(disk, temporary);
    for (const { id } of members) makeNode(making, `${temporary}/node-${id}`, id);
    for (const { id } of members) disk.rename(`${temporary}/node-${id}`, `${path}/node-${id}`);
    disk.remove(temporary);
    disk.syncDirectory(path);
  } catch (error) {
    if (disk.exists(temporary)) disk.remove(temporary);
    if (isNew && disk.exists(path) && disk.list(path).length === 0) disk.remove(path);
    throw error;
  }
}

function makeNode(making: Making, path: string, id: Member["id"]): void {
  const { disk, driver, backup, members, clusterId } = making;
  disk.makeDirectory(path);
  restoreGroup(
    {
      disk,
      driver,
      directory: groupDirectory(path),
      group,
      drawSalt,
      members: configuration(members),
    },
    backup,
  );
  disk.syncDirectory(path);
  const incarnation = members.find((member) => member.id === id)?.incarnation ?? "";
  writeIdentity(disk, path, { nodeId: id, incarnation, clusterId, members });
}

function refuseUsed(disk: Disk, path: string): void {
  if (!disk.exists(path) || disk.list(path).length === 0) return;
  throw new StartError(`${path} is in use already; restore into another --data-dir, or delete it`);
}

function opened(disk: Disk, driver: SqliteDriver, file: string): BackupReader {
  if (!disk.exists(file)) throw new StartError(`${file} does not exist`);
  try {
    return BackupReader.open(driver, file);
  } catch (error) {
    throw asStartError(error, file);
  }
}

function verified(backup: BackupReader, file: string): number {
  try {
    return backup.verify();
  } catch (error) {
    throw asStartError(error, file);
  }
}

function asStartError(error: unknown, file: string): unknown {
  if (!(error instanceof StateDamaged)) return error;
  return new StartError(`${file} cannot be restored: ${error.detail}`);
}

function told(made: {
  readonly path: string;
  readonly members: readonly Member[];
  readonly clusterId: string;
  readonly rowCount: number;
  readonly appliedIndex: number;
}): string[] {
  const { path, members, clusterId, rowCount, appliedIndex } = made;
  const places = members.map(({ id }) => `${path}/node-${id}`);
  return [
    `new cluster ${clusterId}: ${rowCount} rows as of entry ${appliedIndex}, in ${places.join(", ")}`,
    "on several machines: copy each directory to its node's machine, and start every node from its copy",
  ];
}
