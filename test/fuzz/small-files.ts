/**
 * The small files of a node: term and vote, who it is, the note of a truncation. Damaged they say so;
 * what they tell is what was saved.
 */

import { crc32 } from "node:zlib";
import * as assert from "uvu/assert";
import { nodeId, term, type HardState } from "../../server/raft/entry.ts";
import { HardStateFile } from "../../storage/hard-state.ts";
import { readIdentity, writeIdentity, type Identity } from "../../storage/identity.ts";
import { noteTruncation, notedTruncation } from "../../storage/truncation.ts";
import { Random } from "../raft/random.ts";
import { hexId, identityOf } from "../server/peer-identities.ts";
import { MemoryDisk } from "../storage/memory-disk.ts";
import { largestAllocation } from "./allocation.ts";
import { mutate } from "./mutation.ts";
import type { Tape } from "./tape.ts";

const directory = "node";

class PowerLoss extends Error {}

// ------------------------------------------------------------------ term and vote

const hardStatePath = `${directory}/hard-state`;

/** Two slots in one file, at these places, with a checksum at the end of each. */
const slots = [0, 4_096] as const;
const slotBytes = 40;

/** A power loss never takes back what was saved; a damaged file says so or tells the last state. */
export function checkHardState(tape: Tape): void {
  const disk = new MemoryDisk();
  HardStateFile.create(disk, hardStatePath);
  disk.syncDirectory(directory);
  let acknowledged: HardState = { term: term(0), vote: null };
  let attempted = acknowledged;
  let file = openHardState(disk);
  assert.ok(file !== null, "a new file opens");
  for (let saves = tape.below(5); saves > 0 && file !== null; saves--) {
    const vote = tape.pick([null, nodeId(1), nodeId(2 ** 32 - 1)]);
    attempted = { term: term(acknowledged.term + 1 + tape.below(3)), vote };
    if (losesPower(disk, tape, () => file?.save(attempted))) {
      file = openHardState(disk);
      assert.ok(file !== null, "a power loss damages nothing");
      const found = file?.current ?? acknowledged;
      assert.ok(
        isSame(found, acknowledged) || isSame(found, attempted),
        "the state is the last one, or the one that was being saved",
      );
      acknowledged = found;
    } else acknowledged = attempted;
  }
  const isOneSlot = tape.once(2);
  disk.edit(hardStatePath, (bytes) => (isOneSlot ? spoilSlot(bytes, tape) : spoilAll(bytes, tape)));
  const opened = openHardState(disk);
  if (isOneSlot) assert.ok(opened !== null, "one slot is enough");
  // More than flips could bring back an older slot; that is not for a checksum to notice.
  if (isOneSlot) assert.equal(opened?.current, acknowledged);
  if (opened === null) return;
  const next = { term: term(opened.current.term + 1), vote: nodeId(3) };
  opened.save(next);
  assert.equal(openHardState(disk)?.current, next, "it goes on where it was");
}

const isSame = (a: HardState, b: HardState): boolean => a.term === b.term && a.vote === b.vote;

function openHardState(disk: MemoryDisk): HardStateFile | null {
  const result = HardStateFile.open(disk, hardStatePath);
  if (!result.ok) assert.ok(result.damage.detail.length > 0);
  return result.ok ? result.file : null;
}

/** Runs `work`, perhaps not to its end; answers whether the power was lost. */
function losesPower(disk: MemoryDisk, tape: Tape, work: () => void): boolean {
  let left = tape.below(8);
  disk.beforeOperation = () => {
    if (left-- === 0) throw new PowerLoss();
  };
  let isLost = false;
  try {
    work();
  } catch (error) {
    if (!(error instanceof PowerLoss)) throw error;
    isLost = true;
  }
  disk.beforeOperation = () => {};
  if (isLost) {
    const random = new Random(tape.seed());
    disk.crash(() => random.float());
  }
  return isLost;
}

/** Everything but a whole slot with a higher sequence: that would be one. */
function spoilSlot(bytes: Uint8Array, tape: Tape): Uint8Array {
  const at = tape.pick(slots);
  const spoiled = mutate(bytes.slice(at, at + slotBytes), tape).subarray(0, slotBytes);
  const copy = bytes.slice();
  copy.fill(0, at, at + slotBytes);
  copy.set(spoiled, at);
  return copy;
}

function spoilAll(bytes: Uint8Array, tape: Tape): Uint8Array {
  if (tape.once(4)) return tape.bytes(tape.below(200));
  const copy = Buffer.from(mutate(bytes, tape));
  // A checksum that is right leads further in: numbers that no node ever wrote.
  for (const at of slots) {
    if (!tape.once(2) || copy.byteLength < at + slotBytes) continue;
    copy.set(tape.bytes(8), at + tape.pick([8, 16, 24]));
    copy.writeUInt32LE(crc32(copy.subarray(at, at + 36)), at + 36);
  }
  return new Uint8Array(copy);
}

// ------------------------------------------------------------------ who the node is

const identity: Identity = {
  nodeId: nodeId(1),
  incarnation: hexId(1),
  clusterId: hexId(2),
  members: identityOf(1).members.map((member) => ({
    ...member,
    incarnation: hexId(member.id),
    role: "voter",
  })),
};

/** Damaged, absent, or exactly what was written; with a forged checksum, an identity all the same. */
export function checkIdentity(tape: Tape): void {
  const disk = new MemoryDisk();
  writeIdentity(disk, directory, identity);
  const path = `${directory}/identity`;
  const isForged = tape.once(3);
  disk.edit(path, (bytes) => {
    if (!isForged) return tape.once(6) ? tape.bytes(tape.below(60)) : mutate(bytes, tape);
    const line = Buffer.from(bytes).toString().split("\n")[0] ?? "";
    const text = Buffer.from(mutate(new TextEncoder().encode(line), tape)).toString();
    return new TextEncoder().encode(`${text}\n${crc32(text)}\n`);
  });
  const size = disk.bytes(path).byteLength;
  let found = readIdentity(disk, directory);
  const largest = largestAllocation(() => {
    found = readIdentity(disk, directory);
  });
  assert.ok(largest <= 2 * size, `a buffer of ${largest} for ${size} bytes`);
  assert.is.not(found.kind, "none");
  if (found.kind !== "found") return;
  if (!isForged) assert.equal(found.identity, identity);
  const { nodeId: id, incarnation, clusterId, members } = found.identity;
  assert.ok(Number.isInteger(id) && id > 0 && id < 2 ** 32, `node id ${id}`);
  assert.match(incarnation, /^[0-9a-f]{32}$/);
  if (clusterId !== null) assert.match(clusterId, /^[0-9a-f]{32}$/);
  assert.ok(Array.isArray(members));
}

// ------------------------------------------------------------------ the note of a truncation

/** A note says from where, or it was never durable. */
export function checkNote(tape: Tape): void {
  const disk = new MemoryDisk();
  const from = 1 + tape.below(1_000_000);
  noteTruncation(disk, directory, from);
  const path = `${directory}/truncating`;
  disk.edit(path, (bytes) => mutate(bytes, tape).slice(0, 12));
  const found = notedTruncation(disk, directory);
  assert.ok(found === null || found === from, `it says ${found} and not ${from}`);
}
