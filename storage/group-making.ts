/**
 * A group that begins with a state instead of with nothing: from a backup, or from what one node has
 * left. Its log is empty and starts behind that state, as after a snapshot.
 */

import { encodeConfiguration, type Configuration } from "../server/raft/configuration.ts";
import { index, term, type Entry } from "../server/raft/entry.ts";
import type { BackupReader } from "./backup-file.ts";
import { DiskError } from "./disk.ts";
import { createGroup, openGroup, type GroupFiles, type GroupOptions } from "./group-files.ts";
import type { OpenGroupOptions } from "./group-files.ts";
import { KeyValueStore, StateDamaged } from "./key-value-store.ts";
import type { SqliteDriver } from "./sqlite/port.ts";
import { setStateAside } from "./state-aside.ts";

export interface MakingOptions extends GroupOptions {
  readonly driver: SqliteDriver;
  /** Who the members are from now on. */
  readonly members: Configuration;
}

/** Log entries applied at a time. */
const applyBytes = 2 << 20;

type Files = GroupFiles<KeyValueStore>;

/**
 * Makes the files of a member of a new cluster, with the state of the backup. All members get the same:
 * what is in it counts as committed on all of them. Throws `StateDamaged` where the backup's rows are
 * not those it was made of.
 */
export function restoreGroup(options: MakingOptions, backup: BackupReader): void {
  createGroup(options);
  using(options, (files) => {
    const { applied, digest } = backup.head;
    const recovery = files.machine.beginRecovery(
      { ...applied, configuration: options.members },
      digest,
    );
    for (const batch of backup.batches()) refuse(options, recovery.add(batch));
    refuse(options, recovery.finish());
    const base = { lastIndex: applied.appliedIndex, lastTerm: applied.appliedTerm };
    files.log.prepareReset(base);
    recovery.install();
    files.log.reset(base);
    files.hardState.save({ term: applied.appliedTerm, vote: null });
  });
}

/**
 * Everything in the log counts from now on, up to where it is damaged, and these are the members. Begun
 * again after a crash, it goes on.
 */
export function recoverGroup(options: MakingOptions): void {
  using({ ...options, cutsLog: true }, (files) => {
    const { log, machine, hardState, note, members } = files;
    members.save(options.members);
    while (machine.applied.appliedIndex < log.lastIndex) {
      const from = index(machine.applied.appliedIndex + 1);
      for (const entry of log.entries(from, log.lastIndex, applyBytes)) machine.apply(entry);
      commit(options, machine);
    }
    const { appliedIndex, appliedTimeMs } = machine.applied;
    const base = { lastIndex: index(appliedIndex + 1), lastTerm: term(hardState.current.term + 1) };
    hardState.save({ term: base.lastTerm, vote: null });
    const data = encodeConfiguration(options.members);
    const place = { index: base.lastIndex, term: base.lastTerm, timeMs: appliedTimeMs };
    const entry: Entry = { ...place, kind: "configuration", data };
    // Noted before the state gets ahead of the log: a start in between finishes it, or forgets it.
    log.prepareReset(base);
    machine.apply(entry);
    commit(options, machine);
    log.reset(base);
    note.clear();
  });
}

function using(options: Opening, run: (files: Files) => void): void {
  const files = open(options);
  const { log, machine, hardState } = files;
  try {
    run(files);
  } catch (error) {
    // What a failure has left half open is not to hide it.
    for (const part of [machine, log, hardState]) closeQuietly(part);
    throw error;
  }
  machine.close();
  log.close();
  hardState.close();
}

function closeQuietly(part: { close(): void }): void {
  try {
    part.close();
  } catch {
    // The first failure is the one to tell.
  }
}

type Opening = MakingOptions & Pick<OpenGroupOptions<KeyValueStore>, "cutsLog">;

function open(options: Opening): Files {
  const { driver } = options;
  const opened = openGroup({
    ...options,
    openMachine: (path) => KeyValueStore.open({ driver, path }),
    setMachineAside: setStateAside,
    hasPeers: () => false,
  });
  if (!opened.ok) throw new StateDamaged(opened.damage.path, opened.damage.detail);
  return opened.files;
}

function commit({ directory }: MakingOptions, machine: KeyValueStore): void {
  const { appliedIndex } = machine.applied;
  if (machine.sync() === appliedIndex) return;
  throw new DiskError(directory, "write", "ENOSPC", "no room for what is applied");
}

function refuse({ directory }: MakingOptions, wrong: string | null): void {
  if (wrong !== null) throw new StateDamaged(directory, wrong);
}
