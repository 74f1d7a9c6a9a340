/** Groups that begin with a state: restored from a backup, or made of what one node has left. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { configuration, encodeConfiguration } from "../../server/raft/configuration.ts";
import { index, nodeId, term, type Entry } from "../../server/raft/entry.ts";
import { encodeCommand } from "../../server/state-machine/codec.ts";
import { frameCommand } from "../../server/state-machine/command-header.ts";
import { BackupReader, BackupWriter } from "../../storage/backup-file.ts";
import type { Disk } from "../../storage/disk.ts";
import { checkGroup } from "../../storage/group-check.ts";
import { createGroup, openGroup, type GroupFiles } from "../../storage/group-files.ts";
import { recoverGroup, restoreGroup } from "../../storage/group-making.ts";
import { KeyValueStore } from "../../storage/key-value-store.ts";
import { NodeDisk } from "../../storage/node-disk.ts";
import { setStateAside } from "../../storage/state-aside.ts";
import { applyAll } from "./apply-all.ts";
import { driver, roomy, utf8 } from "./store-scene.ts";

const disk = new NodeDisk();
const member = (id: number, incarnation: string) =>
  ({ id: nodeId(id), role: "voter", raft: `a:${id}`, http: `b:${id}`, incarnation }) as const;
const three = configuration([member(1, "x"), member(2, "y"), member(3, "z")]);
const alone = configuration([member(2, "new")]);

function inDirectory(run: (path: string) => void): void {
  const path = mkdtempSync(join(tmpdir(), "kv-group-"));
  try {
    run(path);
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}

const making = (directory: string, on: Disk = disk) => ({
  disk: on,
  directory,
  group: 0,
  drawSalt: () => 7,
});

function opened(directory: string): GroupFiles<KeyValueStore> {
  const result = openGroup({
    ...making(directory),
    openMachine: (path) => KeyValueStore.open({ driver, path }),
    setMachineAside: setStateAside,
    hasPeers: () => false,
  });
  if (!result.ok) throw new Error(`${result.damage.path}: ${result.damage.detail}`);
  return result.files;
}

function close({ log, machine, hardState }: GroupFiles<KeyValueStore>): void {
  machine.close();
  log.close();
  hardState.close();
}

function put(at: number, inTerm: number): Entry {
  const header = { origin: nodeId(1), session: 1, sequence: at };
  const command = { op: "put", key: `k${at}`, value: utf8(`v${at}`), contentType: null } as const;
  const data = frameCommand(header, encodeCommand(command));
  return { index: index(at), term: term(inTerm), kind: "command", timeMs: at, data };
}

/** A node of three whose log ends at 40, with 25 of them applied. */
function makeNode(directory: string): void {
  createGroup(making(directory));
  const files = opened(directory);
  const data = encodeConfiguration(three);
  const first: Entry = { index: index(1), term: term(2), kind: "configuration", timeMs: 1, data };
  const entries = [first, ...Array.from({ length: 39 }, (_, i) => put(i + 2, i < 20 ? 2 : 5))];
  files.hardState.save({ term: term(6), vote: nodeId(3) });
  files.log.append(entries);
  files.log.sync();
  files.members.save(three);
  applyAll(files.machine, entries.slice(0, 25));
  files.machine.sync();
  close(files);
}

function backUp(directory: string, path: string): void {
  const { machine, ...rest } = opened(directory);
  const view = roomy(machine.prepareSnapshot());
  const head = { clusterId: "old", applied: view.applied, digest: view.digest };
  const writer = new BackupWriter({ driver, path, view, head });
  while (writer.step(1_000) === "more");
  close({ machine, ...rest });
}

test("restored groups are alike: the backup's rows, an empty log behind them, new members", () => {
  inDirectory((path) => {
    makeNode(`${path}/old`);
    backUp(`${path}/old`, `${path}/backup`);
    const backup = BackupReader.open(driver, `${path}/backup`);
    for (const name of ["one", "two"]) {
      restoreGroup({ ...making(`${path}/${name}`), driver, members: alone }, backup);
      const checked = checkGroup({ disk, driver, directory: `${path}/${name}`, group: 0 });
      assert.equal(checked.findings, []);
      const files = opened(`${path}/${name}`);
      const { machine, log, hardState } = files;
      assert.equal(machine.applied.appliedIndex, 25);
      assert.equal(machine.applied.configuration, alone);
      assert.equal(machine.digest(), backup.head.digest);
      assert.equal([log.firstIndex, log.lastIndex, log.term(index(25))], [26, 25, 5]);
      assert.equal(hardState.current, { term: 5, vote: null });
      log.append([put(26, 6)]);
      log.sync();
      close(files);
    }
    backup.close();
  });
});

test("recovering counts all that is in the log, and nobody but this node", () => {
  inDirectory((path) => {
    makeNode(path);
    recoverGroup({ ...making(path), driver, members: alone });
    assertRecovered(path);
  });
});

function assertRecovered(path: string): void {
  assert.equal(checkGroup({ disk, driver, directory: path, group: 0 }).findings, []);
  const files = opened(path);
  const { machine, log, hardState } = files;
  for (let at = 2; at <= 40; at++) {
    const found = machine.lookup({ type: "get", key: `k${at}` });
    assert.ok(found.type === "get" && found.row?.revision === at, `k${at}`);
  }
  assert.equal(machine.applied.configuration, alone);
  assert.equal(files.members.noted, alone);
  assert.is(log.lastIndex, machine.applied.appliedIndex);
  assert.is(log.firstIndex, log.lastIndex + 1);
  assert.ok(log.lastIndex > 40 && hardState.current.term > 6);
  assert.is(hardState.current.vote, null);
  close(files);
}

test("recovering that was interrupted at any change of a file goes on when it is begun again", () => {
  for (let at = 1; ; at++) {
    let isOver = false;
    inDirectory((path) => {
      makeNode(path);
      let changes = 0;
      const failing: Disk = new Proxy(disk, {
        get(target, name: keyof Disk) {
          const method = target[name].bind(target) as (...given: unknown[]) => unknown;
          return (...given: unknown[]) => {
            const isChange = name === "rename" || name === "remove" || name === "syncDirectory";
            // From the first file that is made on: before, the files are only opened.
            if (given[1] === "create" || (isChange && changes > 0)) changes++;
            if (changes === at) throw new Error("interrupted");
            return method(...given);
          };
        },
      });
      try {
        recoverGroup({ ...making(path, failing), driver, members: alone });
        isOver = true;
      } catch (error) {
        assert.match(String((error as Error).stack), /interrupted/, String((error as Error).stack));
        recoverGroup({ ...making(path), driver, members: alone });
      }
      assertRecovered(path);
    });
    if (!isOver) continue;
    assert.ok(at > 5, `${at} changes`);
    return;
  }
});

test.run();
