/** What a node remembers of its cluster's members beside the log and the state. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { MemberNote } from "../../storage/member-note.ts";
import { membersOf } from "../raft/message-text.ts";
import { MemoryDisk } from "./memory-disk.ts";

const group = "group";

function scene(): MemoryDisk {
  const disk = new MemoryDisk();
  disk.makeDirectory(group);
  return disk;
}

const noted = (disk: MemoryDisk): unknown => new MemberNote(disk, group).noted;

test("the members saved last are there after a power loss", () => {
  const disk = scene();
  assert.is(noted(disk), null);
  const note = new MemberNote(disk, group);
  note.save(membersOf("1,2,~3"));
  // The same revision: a cluster that was recovered counts anew.
  note.save(membersOf("1"));
  disk.crash(() => 0);
  assert.equal(noted(disk), membersOf("1"));
});

test("a note that is damaged counts as none, and is renewed", () => {
  const disk = scene();
  new MemberNote(disk, group).save(membersOf("1,2"));
  const file = disk.open(`${group}/members`, "readWrite");
  file.write(20, Uint8Array.of(0));
  file.close();
  const note = new MemberNote(disk, group);
  assert.ok(note.noted === null && note.isDamaged);
  note.save(membersOf("1,2"));
  assert.equal(noted(disk), membersOf("1,2"));
});

test("on a full disk the older note stays, and nothing ends", () => {
  const disk = scene();
  const note = new MemberNote(disk, group);
  note.save(membersOf("1"));
  disk.capacityBytes = disk.usedBytes;
  note.save(membersOf("1,2,3"));
  assert.equal(noted(disk), membersOf("1"));
  disk.capacityBytes = Infinity;
  note.save(membersOf("1,2,3"));
  assert.equal(noted(disk), membersOf("1,2,3"));
});

test.run();
