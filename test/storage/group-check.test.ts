/** The check: finds what is wrong in each file, and changes none. */

import { spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { index, nodeId, term, type Entry } from "../../server/raft/entry.ts";
import { encodeCommand } from "../../server/state-machine/codec.ts";
import { frameCommand } from "../../server/state-machine/command-header.ts";
import { checkGroup, NoRoomForCopy, type GroupCheck } from "../../storage/group-check.ts";
import type { LogSizes } from "../../storage/group-files.ts";
import { NodeDisk } from "../../storage/node-disk.ts";
import { UntouchedDisk } from "../../storage/untouched-disk.ts";
import { applyAll } from "./apply-all.ts";
import { newGroup } from "./new-group.ts";
import { driver } from "./store-scene.ts";

const disk = new NodeDisk();

/** A node's files as a kill in the middle of its work leaves them. */
function withNode(run: (path: string) => void, logSizes: LogSizes = {}): void {
  const path = mkdtempSync(join(tmpdir(), "kv-check-test-"));
  const copy = `${path}-killed`;
  const { log, machine, hardState } = newGroup(path, logSizes);
  const entries = Array.from({ length: 200 }, (_, i): Entry => {
    const header = { origin: nodeId(1), session: 1, sequence: i };
    const value = new Uint8Array(300).fill(i);
    const command = { op: "put", key: `key ${i}`, value, contentType: null } as const;
    const data = frameCommand(header, encodeCommand(command));
    return { index: index(i + 1), term: term(1), kind: "command", timeMs: 1, data };
  });
  hardState.save({ term: term(1), vote: nodeId(1) });
  for (const entry of entries) log.append([entry]);
  log.sync();
  applyAll(machine, entries.slice(0, 100));
  machine.sync();
  applyAll(machine, entries.slice(100));
  machine.commit();
  disk.makeDirectory(`${copy}/log`);
  for (const name of filesIn(path))
    writeFileSync(`${copy}/${name}`, readFileSync(`${path}/${name}`));
  try {
    run(copy);
  } finally {
    machine.close();
    log.close();
    hardState.close();
    for (const directory of [path, copy]) rmSync(directory, { recursive: true, force: true });
  }
}

function filesIn(path: string): string[] {
  const names = readdirSync(path, { recursive: true, encoding: "utf8" });
  return names.filter((name) => statSync(`${path}/${name}`).isFile()).sort();
}

const contents = (path: string): unknown =>
  filesIn(path).map((name) => [name, readFileSync(`${path}/${name}`).toString("base64")]);

/** Looks twice: what it found once it finds again, because it has changed nothing. */
function check(path: string): GroupCheck {
  const before = contents(path);
  const first = checkGroup({ disk, driver, directory: path, group: 0 });
  assert.equal(contents(path), before, "nothing is changed");
  assert.equal(checkGroup({ disk, driver, directory: path, group: 0 }), first);
  return first;
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

test("what a kill leaves is whole, and stays as it is", () => {
  withNode((path) => {
    assert.ok(statSync(`${path}/state.sqlite-wal`).size > 0);
    const { findings, state, log, term: inTerm } = check(path);
    assert.equal(findings, []);
    assert.equal(state, { rowCount: 200, appliedIndex: 200 });
    assert.equal(log, { firstIndex: 1, lastIndex: 200, lastTerm: 1, configuration: null });
    assert.is(inTerm, 1);
  });
});

test("a flipped bit in any file is a finding that names the file", () => {
  const segment = "log/0000000000000001.log";
  // In the value of a row that no later transaction has touched, and in the key before it.
  const places: [string, (bytes: Buffer) => number][] = [
    [segment, () => 10],
    [segment, () => 1_000],
    ["state.sqlite", (bytes) => bytes.indexOf(Buffer.alloc(300, 50)) + 20],
    ["state.sqlite", (bytes) => bytes.indexOf(Buffer.alloc(300, 50)) - 2],
  ];
  for (const [name, place] of places) {
    withNode((path) => {
      const at = place(readFileSync(`${path}/${name}`));
      assert.ok(at > 0);
      flip(`${path}/${name}`, at);
      const { findings } = check(path);
      assert.is(findings[0]?.path, `${path}/${name}`, `${name}, byte ${at}`);
      assert.is(findings[0]?.isMended, false);
    });
  }
});

test("a damaged part of the log that the state stands for is mended by the next start, and the rest is looked at", () => {
  const inSegments = { segmentBytes: 8 << 10, preallocateBytes: 1 << 10 };
  withNode((path) => {
    const segments = readdirSync(`${path}/log`).map((name) => `${path}/log/${name}`);
    const [first = ""] = segments;
    const last = segments.at(-1) ?? "";
    assert.ok(segments.length > 4);
    flip(first, 1_000);
    const { findings, log } = check(path);
    assert.equal(
      findings.map((finding) => [finding.path, finding.isMended]),
      [[first, true]],
    );
    assert.is(log?.lastIndex, 200);
    flip(last, 200);
    const both = check(path);
    assert.equal(
      both.findings.map((finding) => [finding.path, finding.isMended]),
      [
        [first, true],
        [last, false],
      ],
    );
  }, inSegments);
});

test("what a flipped bit takes from the database's own log is in the Raft log still", () => {
  withNode((path) => {
    const wal = `${path}/state.sqlite-wal`;
    flip(wal, readFileSync(wal).indexOf(Buffer.alloc(300, 150)) + 20);
    const { findings, state, log } = check(path);
    assert.equal([findings, state?.appliedIndex, log?.lastIndex], [[], 100, 200]);
  });
});

test("one bad copy of term and vote is told apart from two", () => {
  withNode((path) => {
    const file = `${path}/hard-state`;
    flip(file, 20);
    assert.equal(
      check(path).findings.map((finding) => [finding.path, finding.isMended]),
      [[file, true]],
    );
    flip(file, 4_096 + 20);
    assert.equal(
      check(path).findings.map((finding) => [finding.path, finding.isMended]),
      [[file, false]],
    );
  });
});

test("missing files, and files that do not fit together, are findings", () => {
  withNode((path) => {
    rmSync(`${path}/state.sqlite`);
    rmSync(`${path}/state.sqlite-wal`);
    assert.match(check(path).findings[0]?.detail ?? "", /missing/);
  });
  withNode((path) => {
    rmSync(`${path}/log`, { recursive: true });
    assert.match(check(path).findings[0]?.detail ?? "", /missing/);
  });
  withNode((path) => {
    const log = `${path}/log/0000000000000001.log`;
    writeFileSync(log, readFileSync(log).subarray(0, 9_000));
    assert.match(check(path).findings[0]?.detail ?? "", /it ends at entry/);
  });
});

test("a disk that is not touched keeps every change to itself", () => {
  withNode((path) => {
    const before = contents(path);
    const own = new UntouchedDisk(disk);
    const file = own.open(`${path}/hard-state`, "readWrite");
    const size = file.size();
    file.write(size + 10, Uint8Array.of(1, 2, 3));
    assert.is(file.size(), size + 13);
    const found = new Uint8Array(3);
    assert.is(file.read(size + 10, found), 3);
    assert.equal(found, Uint8Array.of(1, 2, 3));
    file.truncate(5);
    assert.is(own.open(`${path}/hard-state`, "read").size(), 5, "later readers see it");
    own.open(`${path}/new`, "create").write(0, Uint8Array.of(9));
    own.rename(`${path}/new`, `${path}/newer`);
    own.remove(`${path}/state.sqlite`);
    assert.ok(own.exists(`${path}/newer`) && !own.exists(`${path}/new`));
    assert.not.ok(own.list(path).includes("state.sqlite"));
    assert.ok(own.list(path).includes("newer"));
    assert.throws(() => own.open(`${path}/state.sqlite`, "read"), /no such file/);
    assert.throws(() => own.open(`${path}/newer`, "create"), /exists/);
    assert.ok(own.isChanged(`${path}/hard-state`) && !own.isChanged(`${path}/log`));
    assert.equal(contents(path), before);
  });
});

/** As somebody who may read these files and write none of them. */
function asReader(path: string, run: () => void): void {
  const isRoot = process.getuid?.() === 0 && process.seteuid !== undefined;
  for (const name of readdirSync(path, { recursive: true, encoding: "utf8" })) {
    chmodSync(`${path}/${name}`, statSync(`${path}/${name}`).isDirectory() ? 0o555 : 0o444);
  }
  chmodSync(path, 0o555);
  if (isRoot) process.seteuid?.(65_534);
  try {
    run();
  } finally {
    if (isRoot) process.seteuid?.(0);
    chmodSync(path, 0o755);
    chmodSync(`${path}/log`, 0o755);
  }
}

test("whoever may only read finds the same", () => {
  withNode((path) => {
    const found = check(path);
    asReader(path, () => assert.equal(check(path), found));
    // Without anything beside it SQLite would read it in its place, if it could lock it there.
    const database = driver.open(`${path}/state.sqlite`);
    database.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get();
    database.close();
    for (const end of ["-wal", "-shm"]) rmSync(`${path}/state.sqlite${end}`, { force: true });
    asReader(path, () => assert.equal(check(path), found));
  });
});

test("where a copy has no room it says how large it is, and where the room is missing", () => {
  if (process.getuid?.() !== 0) return;
  withNode((path) => {
    const scratch = mkdtempSync(join(tmpdir(), "kv-check-small-"));
    const before = process.env["TMPDIR"];
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=16k", "tmpfs", scratch]);
    process.env["TMPDIR"] = scratch;
    try {
      // Where nothing can be mounted there is nothing to see.
      if (mounted.status !== 0) return;
      const run = (): unknown => checkGroup({ disk, driver, directory: path, group: 0 });
      assert.throws(run, (error: Error) => {
        assert.instance(error, NoRoomForCopy);
        return (
          (error as NoRoomForCopy).directory === scratch && error.message.endsWith("state.sqlite")
        );
      });
      assert.equal(readdirSync(scratch), []);
    } finally {
      if (before === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = before;
      if (mounted.status === 0) spawnSync("umount", [scratch]);
      rmSync(scratch, { recursive: true, force: true });
    }
  });
});

test.run();
