/**
 * One group's files, `DIR/node-N/group-G`: makes them, opens them and checks that they belong together.
 * Everything but the state machine's own file goes through the disk port.
 */

import { index } from "../server/raft/entry.ts";
import type { StateMachine } from "../server/state-machine/port.ts";
import type { Disk } from "./disk.ts";
import { HardStateFile } from "./hard-state.ts";
import { RaftLog, type RaftLogOptions } from "./raft-log.ts";

/** What cannot be vouched for, and where. */
export interface FileDamage {
  readonly path: string;
  readonly detail: string;
}

export type OpenedMachine<M extends StateMachine> =
  | { readonly ok: true; readonly store: M }
  | { readonly ok: false; readonly damage: FileDamage };

export type LogSizes = Pick<
  RaftLogOptions,
  "segmentBytes" | "segmentEntries" | "preallocateBytes" | "cacheBytes"
>;

export interface GroupOptions {
  readonly disk: Disk;
  /** The group's own directory. */
  readonly directory: string;
  readonly group: number;
  /** A random 32-bit number for each new log segment. */
  readonly drawSalt: () => number;
  readonly logSizes?: LogSizes;
}

export interface GroupFiles<M extends StateMachine> {
  readonly log: RaftLog;
  readonly hardState: HardStateFile;
  readonly machine: M;
  /** One line: what was found. */
  readonly verdict: string;
}

export type OpenGroup<M extends StateMachine> =
  | { readonly ok: true; readonly files: GroupFiles<M> }
  | { readonly ok: false; readonly damage: FileDamage };

const logDirectory = (directory: string): string => `${directory}/log`;
const hardStatePath = (directory: string): string => `${directory}/hard-state`;

/**
 * Makes the files of a member that has promised nothing yet; the state machine makes its own when it
 * is opened. The entry of `directory` in the one above is the caller's to sync.
 */
export function createGroup({ disk, directory, group, drawSalt }: GroupOptions): void {
  disk.makeDirectory(logDirectory(directory));
  RaftLog.create({ disk, directory: logDirectory(directory), group, drawSalt });
  HardStateFile.create(disk, hardStatePath(directory));
  disk.syncDirectory(directory);
}

/** Opens the group's files. `openMachine` opens the state machine's file at the path it is given. */
export function openGroup<M extends StateMachine>(
  options: GroupOptions & { openMachine: (path: string) => OpenedMachine<M> },
): OpenGroup<M> {
  const { disk, directory, group, drawSalt, logSizes } = options;
  const hardState = HardStateFile.open(disk, hardStatePath(directory));
  if (!hardState.ok) return hardState;
  if (!disk.exists(logDirectory(directory))) {
    return { ok: false, damage: { path: logDirectory(directory), detail: "it is missing" } };
  }
  const state = options.openMachine(`${directory}/state.sqlite`);
  if (!state.ok) return state;
  const machine = state.store;
  const { appliedIndex } = machine.applied;
  const opened = RaftLog.open({
    disk,
    directory: logDirectory(directory),
    group,
    drawSalt,
    replayFrom: index(appliedIndex + 1),
    ...logSizes,
  });
  if (!opened.ok) {
    const { path, offset, detail } = opened.damage;
    return { ok: false, damage: { path, detail: `at byte ${offset}, ${detail}` } };
  }
  const { log, droppedBytes } = opened;
  const files = { log, hardState: hardState.file, machine };
  const contradiction = contradictionIn(files, directory);
  if (contradiction) return { ok: false, damage: contradiction };
  const torn = droppedBytes > 0 ? `, ${droppedBytes} bytes of an unfinished write dropped` : "";
  const verdict =
    `files are whole: term ${hardState.file.current.term}, log ${log.firstIndex} to ` +
    `${log.lastIndex}, applied ${appliedIndex}${torn}`;
  return { ok: true, files: { ...files, verdict } };
}

/** Files that are whole, each by itself, and cannot be of one node at one time. */
function contradictionIn(
  { log, hardState, machine }: Omit<GroupFiles<StateMachine>, "verdict">,
  directory: string,
): FileDamage | null {
  const { appliedIndex, appliedTerm } = machine.applied;
  if (log.term(appliedIndex) !== appliedTerm) {
    const detail = `it ends at entry ${log.lastIndex}, but entry ${appliedIndex} is already applied`;
    return { path: logDirectory(directory), detail };
  }
  const { term } = hardState.current;
  const lastTerm = log.term(log.lastIndex) ?? 0;
  if (lastTerm > term) {
    const detail = `it knows term ${term}, but the log has entries of term ${lastTerm}`;
    return { path: hardStatePath(directory), detail };
  }
  return null;
}
