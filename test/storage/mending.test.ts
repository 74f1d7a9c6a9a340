/** Damage that is mended at the start: nothing wrong is kept, and no loss goes without its note. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { index, nodeId, term, type Entry } from "../../server/raft/entry.ts";
import {
  createGroup,
  openGroup,
  type GroupFiles,
  type OpenGroup,
  type OpenGroupOptions,
} from "../../storage/group-files.ts";
import { DiskError } from "../../storage/disk.ts";
import { setAsideDirectory } from "../../storage/set-aside.ts";
import { sharedPlaces } from "../harness/share.ts";
import { MemoryMachine } from "../server/memory-machine.ts";
import { entries as entriesOf, killAt } from "./log-scene.ts";
import { MemoryDisk } from "./memory-disk.ts";

const group = "group";
const last = 60;
const logSizes = { segmentBytes: 1024, preallocateBytes: 512, cacheBytes: 600 };
const written = entriesOf(1, last);

interface Scene {
  readonly disk: MemoryDisk;
  readonly machine: MemoryMachine;
  /** What the state machine's file is said to be. */
  stateDamage: string | null;
  /** There was no such file. */
  isStateNew: boolean;
}

/** A group that has `last` entries in several segments, and has applied some of them. */
function scene(applied: number): Scene {
  const disk = new MemoryDisk();
  disk.makeDirectory(group);
  const drawSalt = (): number => 99;
  createGroup({ disk, directory: group, group: 0, drawSalt });
  const made: Scene = { disk, machine: new MemoryMachine(), stateDamage: null, isStateNew: false };
  const { log, hardState } = opened(made);
  hardState.save({ term: term(1), vote: nodeId(2) });
  for (const entry of written) log.append([entry]);
  log.sync();
  log.close();
  made.machine.applied = {
    appliedIndex: index(applied),
    appliedTerm: term(applied === 0 ? 0 : 1),
    appliedTimeMs: 0,
    configuration: null,
  };
  return made;
}

function open(
  made: Scene,
  options: Partial<Pick<OpenGroupOptions<MemoryMachine>, "hasPeers" | "suspect">> = {},
): OpenGroup<MemoryMachine> {
  const { disk, machine } = made;
  return openGroup({
    disk,
    directory: group,
    group: 0,
    drawSalt: () => disk.operations + 1,
    logSizes,
    openMachine: (path) =>
      made.stateDamage === null
        ? { ok: true, store: machine, isNew: made.isStateNew }
        : { ok: false, damage: { path, detail: made.stateDamage } },
    setMachineAside: () => {
      machine.wipe();
      made.stateDamage = null;
    },
    hasPeers: () => true,
    ...options,
  });
}

function opened(...args: Parameters<typeof open>): GroupFiles<MemoryMachine> {
  const result = open(...args);
  if (!result.ok) throw new Error(`${result.damage.path}: ${result.damage.detail}`);
  return result.files;
}

const logFiles = ({ disk }: Scene): string[] =>
  disk.list(`${group}/log`).map((name) => `${group}/log/${name}`);

/** The `count`th file of the log, from 0; −1 is the last. */
function logFile(made: Scene, count: number): string {
  const path = logFiles(made).at(count);
  if (path === undefined) throw new Error("there is no such file");
  return path;
}

function flip(disk: MemoryDisk, path: string, offset: number): void {
  const file = disk.open(path, "readWrite");
  const byte = new Uint8Array(1);
  file.read(offset, byte);
  file.write(offset, Uint8Array.of((byte[0] ?? 0) ^ 0x10));
  file.sync();
}

const usedBytes = (disk: MemoryDisk, path: string): number => {
  const file = disk.open(path, "read");
  const bytes = Buffer.alloc(file.size());
  file.read(0, bytes);
  return bytes.findLastIndex((byte) => byte !== 0) + 1;
};

const contents = (disk: MemoryDisk): string =>
  disk
    .list(group)
    .map((name) => {
      const file = disk.open(`${group}/${name}`, "read");
      const bytes = Buffer.alloc(file.size());
      file.read(0, bytes);
      return `${name} ${bytes.toString("base64")}`;
    })
    .join("\n");

const allOf = ({ log }: GroupFiles<MemoryMachine>): Entry[] =>
  log.lastIndex < log.firstIndex ? [] : log.entries(log.firstIndex, log.lastIndex, Infinity);

/** What must hold however the files were damaged. */
function assertHonest(files: GroupFiles<MemoryMachine>, applied: number, what: string): void {
  const { log, note, hardState } = files;
  assert.equal(hardState.current, { term: term(1), vote: nodeId(2) }, what);
  const state = files.machine.applied.appliedIndex;
  assert.ok(log.firstIndex <= state + 1 && state <= log.lastIndex, `${what}: state and log meet`);
  assert.equal(allOf(files), written.slice(log.firstIndex - 1, log.lastIndex), what);
  if (log.lastIndex < last) assert.ok(note.current.log !== null, `${what}: the loss is noted`);
  if (state < applied) assert.ok(note.current.state !== null, `${what}: the state is noted`);
}

test("a record damaged behind what is applied: the log is cut before it, and that is noted", () => {
  const made = scene(5);
  const path = logFile(made, -1);
  // Not in the bytes that fill up the record.
  flip(made.disk, path, usedBytes(made.disk, path) - 9);
  const files = opened(made);
  assert.is(files.log.lastIndex, last - 1);
  assert.is(files.log.firstIndex, 1);
  assert.match(files.note.current.log ?? "", path);
  assert.match(files.verdict, path);
  assertHonest(files, 5, "cut");
});

test("a record damaged in the middle takes all that follows, and its files are set aside", () => {
  const made = scene(0);
  const { disk } = made;
  const damaged = logFile(made, 1);
  const later = logFiles(made).slice(2);
  assert.ok(later.length >= 2);
  flip(disk, damaged, 200);
  const files = opened(made);
  assertHonest(files, 0, "cut");
  assert.ok(files.log.lastIndex < last);
  const aside = disk.list(setAsideDirectory(group)).map((name) => `${group}/log/${name}`);
  assert.equal(aside, [damaged, ...later]);
});

test("a log damaged in what is applied goes on behind the state", () => {
  const made = scene(last - 1);
  flip(made.disk, logFile(made, -1), 80);
  const files = opened(made);
  assert.is(files.log.firstIndex, last);
  assert.is(files.log.lastIndex, last - 1);
  assert.is(files.log.term(index(last - 1)), 1);
  assertHonest(files, last - 1, "begun anew");
});

test("damage in files that hold only what is applied costs nothing but them", () => {
  const made = scene(last);
  flip(made.disk, logFile(made, 0), 80);
  const files = opened(made, { suspect: { part: "log", detail: "found while running" } });
  assert.is(files.log.lastIndex, last);
  assert.ok(files.log.firstIndex > 1);
  assert.equal(files.note.current, { log: null, state: null });
});

test("a header damaged in files that hold only what is applied costs nothing but them", () => {
  const made = scene(last);
  flip(made.disk, logFile(made, 1), 20);
  const files = opened(made, { hasPeers: () => false });
  assert.is(files.log.lastIndex, last);
  assert.equal(files.note.current, { log: null, state: null });
});

test("where the state cannot be made durable, no file of the log goes for its sake", () => {
  for (const [applied, file] of [
    [last, 0],
    [last - 1, -1],
  ] as const) {
    const made = scene(applied);
    flip(made.disk, logFile(made, file), 80);
    const before = logFiles(made);
    made.machine.isFull = true;
    const suspect = { part: "log", detail: "found while running" } as const;
    assert.throws(() => open(made, { suspect }), "no room");
    assert.equal(logFiles(made), before);
    made.machine.isFull = false;
    assertHonest(opened(made, { suspect }), applied, "with room again");
  }
});

test("without others to help, a loss is refused and every file stays as it is", () => {
  for (const applied of [0, last - 1]) {
    const made = scene(applied);
    flip(made.disk, logFile(made, -1), 80);
    const before = contents(made.disk);
    const result = open(made, { hasPeers: () => false });
    assert.ok(!result.ok && result.damage.path === logFile(made, -1));
    assert.is(contents(made.disk), before);
  }
});

test("whichever byte of the log is damaged, the rest is right and a loss is noted", () => {
  for (const applied of [0, 20, last - 1, last]) {
    const count = logFiles(scene(applied)).length;
    for (let at = 0; at < count; at++) {
      const used = usedBytes(scene(applied).disk, logFile(scene(applied), at));
      for (const offset of sharedPlaces(used, 13)) {
        const made = scene(applied);
        flip(made.disk, logFile(made, at), offset);
        const suspect = { part: "log", detail: "" } as const;
        const files = opened(made, { suspect });
        assertHonest(files, applied, `applied ${applied}, file ${at}, byte ${offset}`);
      }
    }
  }
});

/** All but the newest files: whether there were more, nothing tells but the state machine. */
test("whichever files of the log are gone, the rest is right and a loss is noted", () => {
  const count = logFiles(scene(0)).length;
  for (const applied of [0, 20, last]) {
    for (let gone = 1; gone < 2 ** count; gone++) {
      if (applied < last && gone >= 2 ** (count - 1)) continue;
      const made = scene(applied);
      for (const [at, path] of logFiles(made).entries()) {
        if ((gone & (1 << at)) !== 0) made.disk.remove(path);
      }
      assertHonest(opened(made), applied, `applied ${applied}, gone ${gone.toString(2)}`);
    }
  }
});

test("a crash at any point of the mending is mended by the next start", () => {
  for (const applied of [0, 20, last - 1]) {
    let isDone = false;
    for (let at = 1; !isDone; at++) {
      const made = scene(applied);
      flip(made.disk, logFile(made, -2), 300);
      flip(made.disk, logFile(made, -1), 80);
      isDone = !killAt(made.disk, at, () => opened(made));
      if (at % 2 === 0) made.disk.crash(() => 0.5);
      const files = opened(made);
      assertHonest(files, applied, `applied ${applied}, killed at ${at}`);
      assert.ok(files.note.current.log !== null);
    }
  }
});

test("the note stays until it is cleared, and goes with the damaged files", () => {
  const made = scene(0);
  flip(made.disk, logFile(made, -1), 80);
  opened(made);
  const files = opened(made);
  assert.ok(files.note.current.log !== null);
  files.note.clear();
  made.disk.crash(() => 0);
  assert.equal(opened(made).note.current, { log: null, state: null });
  assert.equal(made.disk.list(setAsideDirectory(group)), []);
});

test("a note that the process before had removed does not come back", () => {
  const made = scene(0);
  flip(made.disk, logFile(made, -1), 80);
  const files = opened(made);
  made.disk.beforeOperation = (operation, path) => {
    if (operation === "syncDirectory") throw new DiskError(path, operation, "EIO", "injected");
  };
  assert.throws(() => files.note.clear(), /injected/);
  made.disk.beforeOperation = () => {};
  assert.is(opened(made).note.current.log, null);
  made.disk.crash(() => 0.99);
  assert.is(opened(made).note.current.log, null);
});

test("a note that cannot be read counts as a loss", () => {
  const made = scene(0);
  opened(made).note.add("state", "something");
  flip(made.disk, `${group}/mending`, 1);
  assert.ok(opened(made).note.current.log !== null);
});

test("a damaged state is made anew from a log that reaches back to the first entry", () => {
  for (const hasPeers of [true, false]) {
    const made = scene(last);
    made.stateDamage = "a page is damaged";
    const files = opened(made, { hasPeers: () => hasPeers });
    assert.is(files.machine.applied.appliedIndex, 0);
    assert.is(files.log.lastIndex, last);
    assert.is(files.note.current.log, null);
    assertHonest(files, last, "state");
  }
});

test("a state found damaged while the node ran is made anew", () => {
  const made = scene(last);
  const files = opened(made, { suspect: { part: "state", detail: "a row is wrong" } });
  assert.is(files.machine.applied.appliedIndex, 0);
  assertHonest(files, last, "suspect");
});

test("a damaged state over a compacted log needs the others for everything", () => {
  const made = scene(last);
  const files = opened(made);
  files.log.compact(index(30));
  files.log.close();
  made.stateDamage = "a page is damaged";
  assert.not(open(made, { hasPeers: () => false }).ok);
  assert.ok(made.stateDamage !== null, "the state was left alone");
  const mended = opened(made);
  assert.is(mended.log.lastIndex, 0);
  assert.is(mended.log.firstIndex, 1);
  assert.ok(mended.note.current.log !== null && mended.note.current.state !== null);
});

test("a state that is gone is made anew, and that is noted", () => {
  const made = scene(last);
  made.machine.wipe();
  made.isStateNew = true;
  assertHonest(opened(made), last, "gone");
});

test("a state that a newer version has written is left alone", () => {
  const made = scene(last);
  let wasMoved = false;
  const result = openGroup({
    disk: made.disk,
    directory: group,
    group: 0,
    drawSalt: () => 5,
    openMachine: (
      path,
    ): { ok: false; damage: { path: string; detail: string; isMendable: false } } => ({
      ok: false,
      damage: { path, detail: "newer", isMendable: false },
    }),
    setMachineAside: () => {
      wasMoved = true;
    },
    hasPeers: () => true,
  });
  assert.ok(!result.ok && !wasMoved);
});

test("what contradicts term and vote is not mended", () => {
  const made = scene(0);
  const files = opened(made);
  files.log.append(entriesOf(last + 1, last + 1, 7));
  files.log.sync();
  assert.not(open(made).ok);
});

test.run();
