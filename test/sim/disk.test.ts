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

test.run();
