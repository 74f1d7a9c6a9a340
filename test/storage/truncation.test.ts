/** The note that a truncation is under way: exact, or not believed. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { forgetTruncation, noteTruncation, notedTruncation } from "../../storage/truncation.ts";
import { MemoryDisk } from "./memory-disk.ts";

const directory = "log";
const path = `${directory}/truncating`;

function noted(from: number): MemoryDisk {
  const disk = new MemoryDisk();
  noteTruncation(disk, directory, from);
  return disk;
}

test("a note is read as it was written, until it is forgotten", () => {
  const disk = noted(7);
  assert.is(notedTruncation(disk, directory), 7);
  forgetTruncation(disk, directory);
  assert.is(notedTruncation(disk, directory), null);
});

test("a plain pattern of bytes is no note, though it is its own bare checksum", () => {
  const disk = noted(7);
  const pattern = Uint8Array.of(255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255);
  disk.edit(path, () => pattern);
  assert.is(notedTruncation(disk, directory), null);
});

test("a note cut short or with any bit changed is none", () => {
  const disk = noted(300);
  const whole = disk.bytes(path).slice();
  for (let bit = 0; bit < whole.byteLength * 8; bit++) {
    disk.edit(path, () => whole.with(bit >> 3, (whole[bit >> 3] ?? 0) ^ (1 << (bit % 8))));
    assert.is(notedTruncation(disk, directory), null, `bit ${bit}`);
  }
  disk.edit(path, () => whole.slice(0, -1));
  assert.is(notedTruncation(disk, directory), null);
});

test.run();
