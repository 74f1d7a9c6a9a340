/** `DIR/node-N`: locks it, knows whose it is, and opens what is in it, or says why not. */

import { dirname, resolve } from "node:path";
import type { Formed } from "../server/formation.ts";
import type { DiskSpace } from "../server/ports.ts";
import type { Limits } from "../server/limits.ts";
import { must } from "../server/raft/assert.ts";
import { hasOtherVoter, type Configuration } from "../server/raft/configuration.ts";
import type { NodeId } from "../server/raft/entry.ts";
import { BackupFiles } from "../storage/backup-files.ts";
import { DirectoryLock } from "../storage/directory-lock.ts";
import type { Disk } from "../storage/disk.ts";
import { NoRoomForCopy } from "../storage/group-check.ts";
import {
  createGroup,
  openGroup,
  type FileDamage,
  type GroupFiles,
  type Suspect,
  type LogSizes,
} from "../storage/group-files.ts";
import { readIdentity, writeIdentity, type Identity } from "../storage/identity.ts";
import { HistoryFile } from "../storage/history-file.ts";
import { KeyValueStore } from "../storage/key-value-store.ts";
import { MemberNote } from "../storage/member-note.ts";
import { NodeDisk } from "../storage/node-disk.ts";
import { ReservedSpace } from "../storage/reserved-space.ts";
import { SnapshotFiles } from "../storage/snapshot-files.ts";
import { loadSqlite } from "../storage/sqlite/open.ts";
import { setStateAside } from "../storage/state-aside.ts";
import { SqliteError, type SqliteDriver } from "../storage/sqlite/port.ts";
import { exitCodes, StartError } from "./exit.ts";
import { diskTrouble } from "./last-words.ts";
import { systemRandom } from "./system.ts";

/** The only group there is yet. */
export const group = 0;

export interface OpenedGroup extends GroupFiles<KeyValueStore> {
  readonly space: DiskSpace;
  readonly snapshots: SnapshotFiles;
  readonly backups: BackupFiles;
  readonly history: HistoryFile;
}

interface Parts {
  readonly disk: Disk;
  readonly driver: SqliteDriver;
  readonly path: string;
  readonly lock: DirectoryLock;
  readonly identity: Identity;
}

export class NodeDirectory {
  readonly #parts: Parts;
  #identity: Identity;
  #group: OpenedGroup | null = null;

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.#identity = parts.identity;
  }

  /**
   * Opens the directory or makes a new one. A directory that is there is locked and checked first;
   * `beforeCreation` runs before anything new is made, so that a start that fails in it leaves no
   * file behind.
   */
  static async open(options: {
    path: string;
    nodeId: NodeId;
    beforeCreation: () => Promise<void>;
  }): Promise<NodeDirectory> {
    const path = resolve(options.path);
    const disk = new NodeDisk();
    const driver = await loadSqlite();
    return explaining(path, async () => {
      const isNew = !disk.exists(path);
      if (isNew) await options.beforeCreation();
      if (isNew) createDirectory(disk, path);
      const lock = acquireLock(driver, path);
      try {
        const found = ownIdentity(disk, path, options.nodeId);
        if (!isNew) await options.beforeCreation();
        const identity = found ?? newIdentity(disk, path, options.nodeId);
        return new NodeDirectory({ disk, driver, path, lock, identity });
      } catch (error) {
        lock.release();
        throw error;
      }
    });
  }

  get identity(): Identity {
    return this.#identity;
  }

  /**
   * The cluster has formed. The group's files come first and the identity last: with a cluster's id
   * in it, missing files mean that something was lost, and never that nothing was there yet.
   */
  saveFormation(formed: Formed): void {
    const { disk, path } = this.#parts;
    const directory = groupDirectory(path);
    // Left by a crash in this very place; a node that has not formed has promised nothing.
    if (disk.exists(directory)) disk.remove(directory);
    createGroup({ disk, directory, group, drawSalt });
    disk.syncDirectory(path);
    this.#identity = { ...this.#identity, clusterId: formed.clusterId, members: formed.members };
    writeIdentity(disk, path, this.#identity);
  }

  /**
   * Opens the group's files, checks that they belong together, and mends what can be mended. `suspect`:
   * what a running node has found damaged; its group was closed by `leaveGroup`.
   */
  openGroup(formed: Configuration, limits: Limits, suspect?: Suspect): OpenedGroup {
    try {
      this.#group = this.#openGroup(formed, limits, suspect);
      return this.#group;
    } catch (error) {
      throw explained(this.#parts.path, error);
    }
  }

  #openGroup(formed: Configuration, limits: Limits, suspect?: Suspect): OpenedGroup {
    const { disk, driver, path, identity } = this.#parts;
    const hasPeers = (newest: Configuration | null): boolean =>
      hasOtherVoter(newest ?? formed, identity.nodeId);
    const directory = groupDirectory(path);
    const opened = openGroup({
      disk,
      directory,
      group,
      drawSalt,
      logSizes: logSizes(limits),
      openMachine: (file) => KeyValueStore.open({ driver, path: file }),
      setMachineAside: setStateAside,
      hasPeers,
      ...(suspect && { suspect }),
    });
    if (!opened.ok) throw damaged(opened.damage, hasPeers(new MemberNote(disk, directory).noted));
    const { log, machine } = opened.files;
    const clusterId = must(this.#identity.clusterId, "a group belongs to a cluster");
    const snapshots = new SnapshotFiles({
      disk,
      directory,
      group,
      clusterId,
      drawId: () => Math.floor(systemRandom.fraction() * 2 ** 48),
      machine,
      log,
      formed,
    });
    const backups = new BackupFiles({
      ...{ disk, driver, clusterId, machine, formed },
      directory: snapshots.directory,
    });
    const space = new ReservedSpace(disk, path);
    const history = new HistoryFile({ disk, directory, clusterId });
    return { ...opened.files, snapshots, backups, history, space };
  }

  /** Gives up the group's files as they are: something in them cannot be vouched for. */
  leaveGroup(): void {
    const left = this.#group;
    this.#group = null;
    if (!left) return;
    left.log.close();
    left.hardState.close();
    try {
      left.snapshots.close();
      left.machine.close();
    } catch {
      // It may be what is damaged. What it had not committed is applied again.
    }
  }

  close(): void {
    if (this.#group) {
      this.#group.snapshots.close();
      this.#group.machine.sync();
      this.#group.machine.close();
      this.#group.log.close();
      this.#group.hardState.close();
    }
    this.#parts.lock.release();
  }
}

/** Whole segments are dropped, so several have to fit into what may stay. */
const logSizes = ({ logBytesMax, logEntriesMax }: Limits): LogSizes => ({
  segmentBytes: Math.min(4 << 20, Math.ceil(logBytesMax / 8)),
  segmentEntries: Math.min(1 << 16, Math.ceil(logEntriesMax / 4)),
});

export const groupDirectory = (path: string): string => `${path}/group-${group}`;

export const drawSalt = (): number => Math.floor(systemRandom.fraction() * 2 ** 32);

export const drawIncarnation = (): string => Buffer.from(systemRandom.bytes(16)).toString("hex");

/** With every directory above it that had to be made: each is an entry in the one above. */
export function createDirectory(disk: Disk, path: string): void {
  const made: string[] = [];
  for (let above = path; !disk.exists(above); above = dirname(above)) made.push(above);
  disk.makeDirectory(path);
  for (const directory of made) disk.syncDirectory(dirname(directory));
}

function acquireLock(driver: SqliteDriver, path: string): DirectoryLock {
  let lock: DirectoryLock | null;
  try {
    lock = DirectoryLock.acquire(driver, path);
  } catch (error) {
    if (!(error instanceof SqliteError && error.isDamage)) throw error;
    throw new StartError(
      `${path}/lock is damaged: it is not a lock file (${error.code}); nothing else is in it: ` +
        "delete it where no kv process runs on this directory, and start again",
      exitCodes.damaged,
    );
  }
  if (lock) return lock;
  throw new StartError(`${path} is in use by another kv process; stop that one first`);
}

/** Null where the directory is empty. */
function ownIdentity(disk: Disk, path: string, nodeId: NodeId): Identity | null {
  const found = readIdentity(disk, path);
  switch (found.kind) {
    case "none":
      if (!disk.exists(groupDirectory(path))) return null;
      throw damaged({ path: `${path}/identity`, detail: "it is missing, but there is a log" });
    case "damaged":
      throw damaged(found);
    case "found":
      if (found.identity.nodeId === nodeId) return found.identity;
      throw new StartError(
        `${path} belongs to node ${found.identity.nodeId}, not to node ${nodeId}; ` +
          `use --nodeid ${found.identity.nodeId} or another --data-dir`,
      );
  }
}

function newIdentity(disk: Disk, path: string, nodeId: NodeId): Identity {
  const identity: Identity = {
    nodeId,
    incarnation: drawIncarnation(),
    clusterId: null,
    members: [],
  };
  writeIdentity(disk, path, identity);
  return identity;
}

/**
 * An older copy of a file is no advice: with term and vote of before, the node would vote a second time
 * in a term, and nothing would show it.
 */
function adviceFor(isMendable: boolean, hasPeers: boolean): string {
  if (!isMendable) return "start it with the version that has written it";
  if (!hasPeers) return "there is no other node that has the data: restore a backup (kv restore)";
  return (
    "the others go on without it: delete this node's directory and start it, and while most of the " +
    "others run they give it everything again"
  );
}

function damaged({ path, detail, isMendable = true }: FileDamage, hasPeers = true): StartError {
  const advice = adviceFor(isMendable, hasPeers);
  return new StartError(
    `${path} is damaged: ${detail}; this node does not start, so that nothing wrong is served; ${advice}`,
    exitCodes.damaged,
  );
}

/** Runs with what the disk says about something in `directory` turned into one line for a person. */
export async function explaining<T>(directory: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw explained(directory, error);
  }
}

/** What the disk says about something in a directory, as one line for a person. */
function explained(directory: string, error: unknown): unknown {
  if (error instanceof NoRoomForCopy) {
    const megabytes = Math.ceil(error.bytes / 1e6);
    const where = `${error.directory} has no room for a copy of ${error.path} (${megabytes} MB)`;
    return new StartError(
      `${where}, which has to be looked at; set TMPDIR to a directory that has`,
    );
  }
  const trouble = diskTrouble(error);
  if (!trouble) return error;
  const { path, what, code } = trouble;
  const where = path.startsWith(directory) ? path : `${directory}: ${path}`;
  const isForbidden = /^(?:EACCES|EPERM|EROFS|SQLITE_READONLY)$/.test(code);
  const advice = isForbidden ? "it has to be this user's to read and write" : "see --data-dir";
  return new StartError(`${where} cannot be used (${what}); ${advice}`);
}
