/**
 * The readers of the log's files, after what disks do to them. Whatever opens holds what was known to
 * be synced; or it says that it is damaged. Never a crash, never an entry that nobody wrote.
 */

import { crc32 } from "node:zlib";
import * as assert from "uvu/assert";
import { index, term, type Entry } from "../../server/raft/entry.ts";
import { decodeHeader, recordBytes, recordHeaderBytes, sectorBytes } from "../../storage/record.ts";
import { decodeSegmentHeader, segmentHeaderBytes, segmentName } from "../../storage/segment.ts";
import { scanSegment } from "../../storage/segment-scan.ts";
import { largestAllocation } from "./allocation.ts";
import { directory, LogScene, readable } from "./log-scene.ts";
import { mutate } from "./mutation.ts";
import type { Tape } from "./tape.ts";

const actsMax = 12;

function scene(tape: Tape): LogScene {
  const made = new LogScene(tape);
  for (let acts = 1 + tape.below(actsMax); acts > 0; acts--) made.act();
  return made;
}

/** Kills, power losses and full disks alone never cost what was synced, nor end in damage. */
export function checkCrashes(tape: Tape): void {
  const log = new LogScene(tape);
  while (!tape.isAtEnd) log.act();
}

/** Flipped bits: all is there, or it is damaged. */
export function checkFlips(tape: Tape): void {
  const log = scene(tape);
  const flips = 1 + tape.below(4);
  for (let done = 0; done < flips; done++) {
    const path = tape.pick(log.files);
    log.disk.edit(path, (bytes) => flip(bytes, tape, flips === 1));
  }
  const found = open(log);
  if (found !== null) assert.equal(found, log.entries, "a flip cost something, and nobody said so");
}

/** Changes a byte into another; zero only where it is the only one: more zeros may be a lost sector. */
function flip(bytes: Uint8Array, tape: Tape, isAlone: boolean): void {
  const at = tape.below(bytes.byteLength);
  const before = bytes[at] ?? 0;
  const after = before ^ (tape.once(2) ? 1 << tape.below(8) : 1 + tape.below(255));
  bytes[at] = after === 0 && !isAlone ? 0xff ^ (before >> 1) : after;
}

/** Lost sectors and lost tails: a prefix is there, and never less than what later records vouch for. */
export function checkLosses(tape: Tape): void {
  const log = scene(tape);
  const last = log.files.findLast((path) => path.endsWith(".log")) ?? "";
  const whole = log.disk.bytes(last).slice();
  let isElsewhere = false;
  for (let losses = 1 + tape.below(3); losses > 0; losses--) {
    const path = tape.once(4) ? tape.pick(log.files) : last;
    if (path !== last) isElsewhere = true;
    log.disk.edit(path, (bytes) => lose(bytes, tape));
  }
  const left = log.disk.bytes(last).slice();
  const found = open(log);
  if (found === null) return;
  assert.equal(found, log.entries.slice(0, found.length), "a prefix of what was written is there");
  const records = recordsOf(Buffer.from(whole));
  const touched = records.findIndex((record) => isChanged(whole, left, record));
  if (touched < 0) {
    assert.is(found.length, log.entries.length, "nothing was lost");
    return;
  }
  const first = log.entries.length - records.length + touched;
  assert.ok(found.length >= first, `${found.length} entries of the ${first} that were not touched`);
  if (found.length > first || isElsewhere) return;
  const lostAt = records[touched]?.at ?? 0;
  const witness = records
    .slice(touched + 1)
    .find((record) => record.synced > lostAt && !isChanged(whole, left, record));
  assert.is(witness, undefined, "a later record says that what is missing had been synced");
}

function lose(bytes: Uint8Array, tape: Tape): Uint8Array | void {
  const at = tape.below(bytes.byteLength);
  if (tape.once(3)) return bytes.slice(0, at);
  const start = tape.once(2) ? at : at - (at % sectorBytes);
  bytes.fill(0, start, start + tape.pick([sectorBytes, 2 * sectorBytes, 8, 64]));
}

interface WrittenRecord {
  readonly at: number;
  /** Behind its body: of the padding that follows only the length counts. */
  readonly end: number;
  readonly paddedEnd: number;
  readonly synced: number;
}

function recordsOf(bytes: Buffer): WrittenRecord[] {
  const header = decodeSegmentHeader(bytes);
  if (header === null) return [];
  const result = scanSegment(bytes, header);
  if (result.kind === "damaged") return [];
  return result.table.offsets.map((at) => {
    const record = decodeHeader(bytes, at, header.salt);
    const bodyBytes = record?.bodyBytes ?? 0;
    const end = at + recordHeaderBytes + bodyBytes;
    return { at, end, paddedEnd: at + recordBytes(bodyBytes), synced: record?.syncedOffset ?? 0 };
  });
}

function isChanged(
  before: Uint8Array,
  after: Uint8Array,
  { at, end, paddedEnd }: WrittenRecord,
): boolean {
  if (after.byteLength < paddedEnd) return true;
  return Buffer.compare(before.subarray(at, end), after.subarray(at, end)) !== 0;
}

/** Anything: garbage, pieces of other files, files that are gone, double or from another time. */
export function checkAnything(tape: Tape): void {
  const log = scene(tape);
  const before = new Map(log.files.map((path) => [path, log.disk.bytes(path).slice()]));
  for (let acts = tape.below(4); acts > 0; acts--) log.act();
  for (let changes = 1 + tape.below(3); changes > 0; changes--) spoil(log, tape, before);
  const replayFrom = tape.once(3) ? 1 + tape.below(log.entries.length + 2) : 1;
  const found = open(log, replayFrom);
  if (found !== null) log.assertWritten(found, replayFrom);
}

function spoil(log: LogScene, tape: Tape, before: ReadonlyMap<string, Uint8Array>): void {
  const { disk, files } = log;
  const path = tape.pick(files.length > 0 ? files : [""]);
  if (path === "") return;
  const other = tape.pick(files);
  switch (tape.below(7)) {
    case 0:
      disk.edit(path, (bytes) => mutate(bytes, tape, disk.bytes(other)));
      break;
    case 1:
      disk.edit(path, () => before.get(path) ?? new Uint8Array(0));
      break;
    case 2:
      disk.edit(path, () => disk.bytes(other).slice());
      break;
    case 3:
      disk.remove(path);
      break;
    case 4: {
      const name = tape.pick([segmentName(1 + tape.below(40)), "truncating", "0.log", "x"]);
      if (disk.exists(`${directory}/${name}`)) break;
      disk.open(`${directory}/${name}`, "create");
      disk.edit(`${directory}/${name}`, () => tape.bytes(tape.pick([0, 12, 64, 200])));
      break;
    }
    case 5:
      disk.edit(path, (bytes) => forgeHeader(bytes, tape));
      break;
    default:
      disk.edit(path, () => tape.bytes(tape.below(300)));
  }
}

/** A checksum that is right leads further in: to numbers that no log ever wrote. */
function forgeHeader(bytes: Uint8Array, tape: Tape): Uint8Array | void {
  if (bytes.byteLength < segmentHeaderBytes) return;
  const copy = Buffer.from(bytes);
  copy.set(tape.bytes(8), 8 * tape.below(7));
  copy.writeUInt32LE(crc32(copy.subarray(0, 60)), 60);
  return new Uint8Array(copy);
}

/** The entries of what opens, null where it is damaged; and it is that again when asked again. */
function open(log: LogScene, replayFrom = 1): Entry[] | null {
  let most = 0;
  for (const path of log.files) most = Math.max(most, log.disk.bytes(path).byteLength);
  let found: Entry[] | null = null;
  const largest = largestAllocation(() => {
    found = readable(log.open(replayFrom));
  });
  assert.ok(
    largest <= Math.max(256 << 10, 2 * most),
    `a buffer of ${largest} for files of ${most}`,
  );
  const again = readable(log.open(replayFrom));
  assert.equal(again, found, "what is found does not depend on how often it is asked");
  if (found !== null) goesOn(log, found);
  return found;
}

/** A log that opened takes a further entry and has it the next time. */
function goesOn(log: LogScene, found: readonly Entry[]): void {
  const opened = log.open();
  if (!opened.ok) return;
  const lastTerm = found.at(-1)?.term ?? term(1);
  const data = new Uint8Array(20).fill(5);
  const at = index(opened.log.lastIndex + 1);
  const next: Entry = { index: at, term: lastTerm, kind: "command", timeMs: 1, data };
  opened.log.append([next]);
  opened.log.sync();
  assert.equal(readable(log.open()), [...found, next], "it goes on where it ended");
}
