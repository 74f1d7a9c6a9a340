/** Verifies one group's files without changing them: every record, page and row, and that they fit. */

import { chmodSync, copyFileSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeConfiguration, type Configuration } from "../server/raft/configuration.ts";
import { index } from "../server/raft/entry.ts";
import type { Disk } from "./disk.ts";
import { HardStateFile } from "./hard-state.ts";
import { MemberNote } from "./member-note.ts";
import { MendingNote } from "./mending-note.ts";
import type { LogDamage } from "./log-damage.ts";
import { mendLog } from "./log-mending.ts";
import { RaftLog, type OpenLogResult } from "./raft-log.ts";
import { segmentFirstIndex } from "./segment.ts";
import { appliedState } from "./key-value-store.ts";
import { SqliteError, type SqliteDriver } from "./sqlite/port.ts";
import { verifyRows } from "./row-scan.ts";
import { hex32 } from "./state-hash.ts";
import {
  fileBytes,
  isCutShort,
  openSchema,
  StateDamaged,
  walBytes,
  type StateMeta,
} from "./state-schema.ts";
import { UntouchedDisk } from "./untouched-disk.ts";

/** What is wrong, and where; `isMended`: the next start mends it without anybody's help. */
export interface Finding {
  readonly path: string;
  readonly detail: string;
  readonly isMended: boolean;
}

export interface GroupCheck {
  readonly findings: readonly Finding[];
  /** Each null where it could not be read. */
  readonly term: number | null;
  readonly state: { readonly rowCount: number; readonly appliedIndex: number } | null;
  readonly log: FoundLog | null;
  /** The newest there is, in the log or in the state; null: as the cluster was formed. */
  readonly configuration: Configuration | null;
}

/** As much of it as can be vouched for, from the state on. */
export interface FoundLog {
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** The newest among its entries that are not applied; null: none of them brings one. */
  readonly configuration: Configuration | null;
}

export interface GroupCheckOptions {
  readonly disk: Disk;
  readonly driver: SqliteDriver;
  /** Absolute. */
  readonly directory: string;
  readonly group: number;
}

/** A copy of a database has to be looked at, and there is no room for one. */
export class NoRoomForCopy extends Error {
  override name = "NoRoomForCopy";
  /** Of the database. */
  readonly path: string;
  /** Where there is none. */
  readonly directory: string;
  readonly bytes: number;

  constructor(path: string, bytes: number, options: ErrorOptions) {
    super(`${tmpdir()} has no room for a copy of ${path}`, options);
    this.path = path;
    this.directory = tmpdir();
    this.bytes = bytes;
  }
}

/** Damages of one log that are looked behind. */
const mendingsMax = 16;

/** Log entries read at a time. */
const readBytes = 2 << 20;

interface FoundState {
  readonly meta: StateMeta;
  readonly rowCount: number;
}

export function checkGroup(options: GroupCheckOptions): GroupCheck {
  const { directory } = options;
  const disk = new UntouchedDisk(options.disk);
  const findings: Finding[] = [];
  const note = (path: string, detail: string, isMended = false): void => {
    findings.push({ path, detail, isMended });
  };
  const term = checkHardState(disk, `${directory}/hard-state`, note);
  const mending = new MendingNote(disk, directory).current;
  for (const [part, detail] of Object.entries(mending)) {
    if (detail !== null)
      note(`${directory}/mending`, `the ${part} is being mended: ${detail}`, true);
  }
  const members = new MemberNote(disk, directory);
  if (members.isDamaged) note(`${directory}/members`, "it contradicts its checksum", true);
  const state = checkState(options.driver, `${directory}/state.sqlite`, { note, term });
  const log = checkLog({ ...options, disk }, { state, term, note });
  const applied = state?.meta.configuration;
  return {
    findings,
    term,
    state: state && { rowCount: state.rowCount, appliedIndex: state.meta.appliedIndex },
    log,
    configuration:
      log?.configuration ?? (applied ? decodeConfiguration(applied) : null) ?? members.noted,
  };
}

type Note = (path: string, detail: string, isMended?: boolean) => void;

function checkHardState(disk: UntouchedDisk, path: string, note: Note): number | null {
  const opened = HardStateFile.open(disk, path);
  if (!opened.ok) {
    note(path, opened.damage.detail);
    return null;
  }
  // A start makes both copies alike, and has nothing to do where they are.
  if (disk.isChanged(path)) note(path, "one of its two copies is damaged", true);
  const { term } = opened.file.current;
  opened.file.close();
  return term;
}

function checkLog(
  { disk, directory, group }: GroupCheckOptions,
  { state, term, note }: { state: FoundState | null; term: number | null; note: Note },
): FoundLog | null {
  const path = `${directory}/log`;
  if (!disk.exists(path)) {
    note(path, "it is missing");
    return null;
  }
  const firstIndex =
    disk
      .list(path)
      .map(segmentFirstIndex)
      .find((first) => first !== null) ?? 1;
  const open = (): OpenLogResult =>
    RaftLog.open({
      disk,
      directory: path,
      group,
      drawSalt: () => 0,
      // Without a state nobody knows from where on the log is needed: then it may begin anywhere.
      replayFrom: index(state === null ? firstIndex : state.meta.appliedIndex + 1),
      verifiesAll: true,
    });
  let opened = open();
  for (let mendings = 0; !opened.ok; mendings++) {
    const { damage } = opened;
    const place = `at byte ${damage.offset}, ${damage.detail}`;
    const mended = state === null ? null : mend({ disk, directory }, state, damage);
    if (mended === "whole") note(damage.path, `${place}; the state has what was in it`, true);
    else note(damage.path, place);
    if (mended === null || mendings >= mendingsMax) return null;
    opened = open();
  }
  const { log } = opened;
  const lastTerm = log.term(log.lastIndex) ?? 0;
  if (term !== null && lastTerm > term) {
    note(
      `${directory}/hard-state`,
      `it knows term ${term}, but the log has entries of ${lastTerm}`,
    );
  }
  if (state && log.term(index(state.meta.appliedIndex)) !== state.meta.appliedTerm) {
    const { appliedIndex: at, appliedTerm } = state.meta;
    note(path, `entry ${at}, which is applied, is not there or not of term ${appliedTerm}`);
  }
  const { firstIndex: first, lastIndex } = log;
  const configuration = newestConfiguration(log, state?.meta.appliedIndex ?? 0);
  log.close();
  return { firstIndex: first, lastIndex, lastTerm, configuration };
}

/** For this process alone, what a start would do. "cut": entries that are not applied are gone. */
function mend(
  { disk, directory }: { disk: Disk; directory: string },
  { meta }: FoundState,
  damage: LogDamage,
): "whole" | "cut" | null {
  const options = {
    ...{ disk, group: directory, log: `${directory}/log` },
    note: new MendingNote(disk, directory),
    applied: appliedState(meta),
    syncMachine: () => {},
  };
  if (mendLog({ ...options, hasPeers: false }, damage)) return "whole";
  return mendLog({ ...options, hasPeers: true }, damage) ? "cut" : null;
}

function newestConfiguration(log: RaftLog, appliedIndex: number): Configuration | null {
  let newest: Configuration | null = null;
  let from = Math.max(appliedIndex + 1, log.firstIndex);
  while (from <= log.lastIndex) {
    const entries = log.entries(index(from), log.lastIndex, readBytes);
    for (const { kind, data } of entries) {
      if (kind === "configuration") newest = decodeConfiguration(data);
    }
    from += entries.length;
  }
  return newest;
}

/**
 * With bytes in a write-ahead log SQLite would change the file, and it reads none that it may not write
 * beside: then a copy is looked at.
 */
function checkState(
  driver: SqliteDriver,
  path: string,
  { note, term }: { note: Note; term: number | null },
): FoundState | null {
  try {
    if (isMissing(path)) {
      // It is made with the first start.
      if (term !== null && term > 0) note(path, "it is missing");
      return null;
    }
    if (isCutShort(path)) throw new StateDamaged(path, "its end is missing");
    return walBytes(path) > 0 ? readCopy(driver, path) : readInPlace(driver, path);
  } catch (error) {
    if (error instanceof StateDamaged) note(path, error.detail);
    else if (error instanceof SqliteError && error.isDamage) note(path, error.detail);
    else throw error;
    return null;
  }
}

function readInPlace(driver: SqliteDriver, path: string): FoundState {
  try {
    return readState(driver, path);
  } catch (error) {
    const isForbidden =
      error instanceof SqliteError &&
      /^SQLITE_(?:READONLY|CANTOPEN|PERM|IOERR_LOCK)/.test(error.code);
    if (!isForbidden) throw error;
    return readCopy(driver, path);
  }
}

function readCopy(driver: SqliteDriver, path: string): FoundState {
  let directory: string | null = null;
  try {
    directory = mkdtempSync(join(tmpdir(), "kv-check-"));
    return readState(driver, copied(path, directory));
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (!/^(?:ENOSPC|EDQUOT|SQLITE_FULL)$/.test(code)) throw error;
    throw new NoRoomForCopy(path, fileBytes(path) + walBytes(path), { cause: error });
  } finally {
    if (directory !== null) rmSync(directory, { recursive: true, force: true });
  }
}

/** Or empty, which is what a crash leaves of one that was being made. */
const isMissing = (path: string): boolean =>
  walBytes(path) === 0 && (statSync(path, { throwIfNoEntry: false })?.size ?? 0) === 0;

function copied(path: string, directory: string): string {
  const copy = join(directory, "state.sqlite");
  copyFileSync(path, copy);
  if (walBytes(path) > 0) copyFileSync(`${path}-wal`, `${copy}-wal`);
  // Of files that nobody may write the copies are none either, and no lock can be had on them.
  for (const name of readdirSync(directory)) chmodSync(join(directory, name), 0o600);
  return copy;
}

function readState(driver: SqliteDriver, path: string): FoundState {
  const database = driver.open(path);
  try {
    database.exec("PRAGMA locking_mode = EXCLUSIVE");
    const meta = openSchema(database);
    const stateHash = hex32(meta.hashHigh) + hex32(meta.hashLow);
    const bookHash = hex32(meta.bookHigh) + hex32(meta.bookLow);
    return { meta, rowCount: verifyRows(database, { stateHash, bookHash }) };
  } finally {
    database.close();
  }
}
