/**
 * One group's files, `DIR/node-N/group-G`: makes them, opens them and checks that they belong together.
 * Everything but the state machine's own file goes through the disk port.
 */

import type { Configuration } from "../server/raft/configuration.ts";
import { index, type Index } from "../server/raft/entry.ts";
import type { StateMachine } from "../server/state-machine/port.ts";
import { DiskError, type Disk } from "./disk.ts";
import { HardStateFile } from "./hard-state.ts";
import { mendLog } from "./log-mending.ts";
import { MemberNote } from "./member-note.ts";
import { MendingNote } from "./mending-note.ts";
import { type LogDamage } from "./log-damage.ts";
import { RaftLog, type OpenLogResult, type RaftLogOptions } from "./raft-log.ts";
import { setAsideDirectory } from "./set-aside.ts";

/** What cannot be vouched for, and where. */
export interface FileDamage {
  readonly path: string;
  readonly detail: string;
  /** False where making the file anew would take away something that is of use. Default true. */
  readonly isMendable?: boolean;
}

export type OpenedMachine<M extends StateMachine> =
  | {
      readonly ok: true;
      readonly store: M;
      /** There was no file. Default false. */
      readonly isNew?: boolean;
    }
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
  readonly note: MendingNote;
  readonly members: MemberNote;
  /** One line: what was found. */
  readonly verdict: string;
}

export type OpenGroup<M extends StateMachine> =
  | { readonly ok: true; readonly files: GroupFiles<M> }
  | { readonly ok: false; readonly damage: FileDamage };

const logDirectory = (directory: string): string => `${directory}/log`;
const hardStatePath = (directory: string): string => `${directory}/hard-state`;
const statePath = (directory: string): string => `${directory}/state.sqlite`;

const asFileDamage = ({ path, offset, detail }: LogDamage): FileDamage => ({
  path,
  detail: `at byte ${offset}, ${detail}`,
});

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

/** A part of which a running node found that it is damaged. */
export type Suspect = { readonly part: "log" | "state"; readonly detail: string };

export interface OpenGroupOptions<M extends StateMachine> extends GroupOptions {
  /** Opens the state machine's file at the given path, or makes an empty one where there is none. */
  readonly openMachine: (path: string) => OpenedMachine<M>;
  /** Moves the state machine's file out of the way, into the given directory. */
  readonly setMachineAside: (path: string, directory: string) => void;
  /**
   * Whether there are other members, who may give back what is lost here; `newest` are the newest
   * known, null: those of the cluster's formation.
   */
  readonly hasPeers: (newest: Configuration | null) => boolean;
  /** A log is cut before the damage although nobody may give back the rest: a person wants it. */
  readonly cutsLog?: boolean;
  /** Is verified, or made anew, before anything else. */
  readonly suspect?: Suspect;
}

/** Attempts at mending in one start. Each goes further back than the one before, or is the last. */
const mendingsMax = 16;

/**
 * Opens the group's files. What is damaged and can be mended is mended, or prepared for it: the note
 * says what is still to come. Damage is what cannot be mended; then nothing was changed.
 */
export function openGroup<M extends StateMachine>(options: OpenGroupOptions<M>): OpenGroup<M> {
  const { disk, directory, suspect } = options;
  const hardState = HardStateFile.open(disk, hardStatePath(directory));
  if (!hardState.ok) return hardState;
  const note = new MendingNote(disk, directory);
  // The process before may have ended in removing it: what is believed now stays so.
  disk.syncDirectory(directory);
  const members = new MemberNote(disk, directory);
  const group = { ...options, note, members, hardState: hardState.file };
  if (suspect?.part === "state") {
    const damage = { path: statePath(directory), detail: suspect.detail };
    if (!mendState(group, damage)) return closing(group, damage);
  }
  for (let mendings = 0; ; mendings++) {
    const state = options.openMachine(statePath(directory));
    if (!state.ok) {
      if (mendings < mendingsMax && mendState(group, state.damage)) continue;
      return closing(group, state.damage);
    }
    // Before its first term a node has applied nothing, and its state is made with its first start.
    if (state.isNew === true && hardState.file.current.term > 0) {
      note.ensure("state", `${statePath(directory)}: it is missing`);
    }
    const opened = openLog(group, index(state.store.applied.appliedIndex + 1));
    if (opened.ok) return together(group, state.store, opened);
    const isMended = mendings < mendingsMax && mendMachineLog(group, state.store, opened.damage);
    state.store.close();
    if (!isMended) return closing(group, asFileDamage(opened.damage));
  }
}

type Group<M extends StateMachine> = OpenGroupOptions<M> & {
  readonly note: MendingNote;
  readonly members: MemberNote;
  readonly hardState: HardStateFile;
};

function closing<M extends StateMachine>(group: Group<M>, damage: FileDamage): OpenGroup<M> {
  group.hardState.close();
  return { ok: false, damage };
}

function openLog<M extends StateMachine>(group: Group<M>, replayFrom: Index): OpenLogResult {
  const { disk, directory, drawSalt, logSizes, suspect } = group;
  const log = logDirectory(directory);
  if (!disk.exists(log)) {
    const detail = "it is missing";
    return { ok: false, damage: { path: log, offset: 0, detail, segment: 0, firstLost: 1 } };
  }
  return RaftLog.open({
    disk,
    directory: log,
    group: group.group,
    drawSalt,
    replayFrom,
    verifiesAll: suspect?.part === "log",
    ...logSizes,
  });
}

function mendMachineLog<M extends StateMachine>(
  { disk, directory, note, members, hasPeers, cutsLog = false }: Group<M>,
  machine: M,
  damage: LogDamage,
): boolean {
  return mendLog(
    {
      disk,
      group: directory,
      log: logDirectory(directory),
      note,
      applied: machine.applied,
      syncMachine: () => {
        if (machine.sync() >= machine.applied.appliedIndex) return;
        const detail = "no room to make it durable, before which the log is not mended";
        throw new DiskError(statePath(directory), "write", "ENOSPC", detail);
      },
      hasPeers: cutsLog || hasPeers(newer(machine.applied.configuration, members.noted)),
    },
    damage,
  );
}

/** A crash may come between the two of a change. */
function newer(a: Configuration | null, b: Configuration | null): Configuration | null {
  return a && b ? (a.revision > b.revision ? a : b) : (a ?? b);
}

/**
 * The state is made anew by applying the log from its first entry on. Where the log does not reach back
 * so far, or is damaged as well, the others have to help, and where there are none the files stay.
 *
 * With their help the log goes too, whole as it may be: a node applies what follows its state, so a log
 * that begins behind an empty state can be of no use to it before a snapshot has come, which replaces
 * both. What is lost with it are entries that this node has acknowledged. That is noted before anything
 * is changed, and costs the node its vote until a leader has given back whatever it may have acknowledged
 * (`raft/recovery.ts` has the proof: it asks nothing of the entries that are left, so none may be left).
 * Term and vote have a file of their own and stay. Until all is whole again the old files lie in
 * `damaged`.
 */
function mendState<M extends StateMachine>(group: Group<M>, damage: FileDamage): boolean {
  const { disk, directory, note, members, hasPeers } = group;
  if (damage.isMendable === false) return false;
  if (!hasPeers(members.noted)) {
    const log = openLog(group, index(1));
    if (!log.ok) return false;
    log.log.close();
  }
  note.ensure("state", `${damage.path}: ${damage.detail}`);
  const aside = setAsideDirectory(directory);
  disk.makeDirectory(aside);
  group.setMachineAside(damage.path, aside);
  disk.syncDirectory(directory);
  return true;
}

function together<M extends StateMachine>(
  { directory, note, members, hardState }: Group<M>,
  machine: M,
  { log, droppedBytes }: OpenLogResult & { ok: true },
): OpenGroup<M> {
  const files = { log, hardState, machine, note, members };
  const contradiction = contradictionIn(files, directory);
  if (contradiction) {
    machine.close();
    log.close();
    hardState.close();
    return { ok: false, damage: contradiction };
  }
  const { appliedIndex } = machine.applied;
  const found = [
    `term ${hardState.current.term}`,
    `log ${log.firstIndex} to ${log.lastIndex}`,
    `applied ${appliedIndex}`,
  ];
  if (droppedBytes > 0) found.push(`${droppedBytes} bytes of an unfinished write dropped`);
  const { log: lostLog, state: lostState } = note.current;
  const damages = [lostLog, lostState].filter((detail) => detail !== null);
  const verdict =
    damages.length > 0 ? `damage is being mended (${damages.join("; ")})` : "files are whole";
  return { ok: true, files: { ...files, verdict: `${verdict}: ${found.join(", ")}` } };
}

/** Files that are whole, each by itself, and cannot be of one node at one time. */
function contradictionIn(
  { log, hardState, machine }: Pick<GroupFiles<StateMachine>, "log" | "hardState" | "machine">,
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
