/** What the simulated disk leaves of names after a power loss. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { readFully, writeFully } from "../../storage/disk.ts";
import { Random } from "../raft/random.ts";
import { SimDisk } from "./disk.ts";

function write(disk: SimDisk, path: string, text: string): void {
  const file = disk.open(path, "create");
  writeFully(file, 0, Buffer.from(text));
  file.sync();
}

function contents(disk: SimDisk, path: string): string {
  const file = disk.open(path, "read");
  const bytes = Buffer.alloc(file.size());
  readFully(file, 0, bytes);
  return bytes.toString();
}

test("a name that survives names the file that was renamed, whatever is back at its old name", () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 64; seed++) {
    const disk = new SimDisk(new Random(seed));
    disk.makeDirectory("node");
    write(disk, "node/file.new", "first");
    disk.remove("node/file.new");
    write(disk, "node/file.new", "second");
    disk.rename("node/file.new", "node/file");
    disk.losePower(0.5);
    seen.add(disk.exists("node/file") ? contents(disk, "node/file") : "none");
  }
  assert.equal([...seen].sort(), ["none", "second"]);
});

test("a file that was moved away before its name was durable does not come back", () => {
  const disk = new SimDisk(new Random(1));
  for (const directory of ["a", "b"]) disk.makeDirectory(directory);
  write(disk, "a/file", "it");
  disk.rename("a/file", "b/file");
  disk.syncDirectory("b");
  disk.syncDirectory("a");
  disk.losePower(0);
  assert.equal(disk.files, ["b/file"]);
});

test("the sync of the directory that a file leaves makes its new name durable", () => {
  const disk = new SimDisk(new Random(1));
  for (const directory of ["a", "b"]) disk.makeDirectory(directory);
  write(disk, "a/file", "it");
  disk.syncDirectory("a");
  disk.rename("a/file", "b/file");
  disk.syncDirectory("a");
  disk.losePower(0);
  assert.equal(disk.files, ["b/file"]);
});

test.run();
