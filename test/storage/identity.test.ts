/** Whose directory it is: replaced as a whole, checked when read. */

import { crc32 } from "node:zlib";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { nodeId } from "../../server/raft/entry.ts";
import { DiskError } from "../../storage/disk.ts";
import { readIdentity, writeIdentity, type Identity } from "../../storage/identity.ts";
import { MemoryDisk, seeded } from "./memory-disk.ts";

const directory = "node-1";

const unformed: Identity = {
  nodeId: nodeId(1),
  incarnation: "a".repeat(32),
  clusterId: null,
  members: [],
};

const formed: Identity = {
  ...unformed,
  clusterId: "c".repeat(32),
  members: [1, 2, 3].map((id) => ({
    id: nodeId(id),
    role: "voter",
    raft: `127.0.0.1:6300${id}`,
    http: `127.0.0.1:800${id}`,
    incarnation: String(id).repeat(32),
  })),
};

test("nothing is there before the first write", () => {
  assert.equal(readIdentity(new MemoryDisk(), directory), { kind: "none" });
});

test("what was written is read back", () => {
  const disk = new MemoryDisk();
  for (const identity of [unformed, formed]) {
    writeIdentity(disk, directory, identity);
    assert.equal(readIdentity(disk, directory), { kind: "found", identity });
  }
});

test("a change of any byte is noticed", () => {
  const disk = new MemoryDisk();
  writeIdentity(disk, directory, formed);
  const path = `${directory}/identity`;
  const whole = disk.bytes(path).slice();
  for (let at = 0; at < whole.byteLength - 1; at++) {
    disk.edit(path, (bytes) => {
      bytes.set(whole);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
    });
    assert.is(readIdentity(disk, directory).kind, "damaged", `byte ${at}`);
  }
});

test("a checksum that fits text that is no identity is damage, and no crash", () => {
  const disk = new MemoryDisk();
  writeIdentity(disk, directory, formed);
  const whole = new TextDecoder().decode(disk.bytes(`${directory}/identity`)).split("\n")[0] ?? "";
  const texts = [
    "",
    "null",
    "[]",
    whole.replace("{", 'z"'),
    whole.replace('"nodeId":1', '"nodeId":0'),
    whole.replace("a".repeat(32), "../"),
    whole.replace('"members":[', '"members":[7,'),
  ];
  for (const text of texts) {
    const line = new TextEncoder().encode(`${text}\n${crc32(text)}\n`);
    disk.edit(`${directory}/identity`, () => line);
    assert.is(readIdentity(disk, directory).kind, "damaged", text);
  }
});

test("power loss at every operation leaves the old identity or the new one", () => {
  for (let at = 1; at <= 6; at++) {
    for (let seed = 0; seed < 20; seed++) {
      const disk = new MemoryDisk();
      writeIdentity(disk, directory, unformed);
      const start = disk.operations;
      disk.beforeOperation = (operation, where) => {
        if (disk.operations - start === at) throw new DiskError(where, operation, "EIO", "cut");
      };
      let isDone = true;
      try {
        writeIdentity(disk, directory, formed);
      } catch {
        isDone = false;
      }
      disk.crash(seeded(seed * 10 + at));
      const found = readIdentity(disk, directory);
      assert.is(found.kind, "found", `operation ${at}, seed ${seed}`);
      if (found.kind !== "found") continue;
      const expected = found.identity.clusterId === null && !isDone ? unformed : formed;
      assert.equal(found.identity, expected);
    }
  }
});

test.run();
