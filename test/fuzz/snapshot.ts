/**
 * The reader of snapshots, and what takes them in. A changed file is never half installed; one whose
 * checksums were made right again is taken apart without a crash, and in no more memory than it is long.
 */

import * as assert from "uvu/assert";
import { must } from "../../server/raft/assert.ts";
import { configuration } from "../../server/raft/configuration.ts";
import { index, nodeId, term } from "../../server/raft/entry.ts";
import type { SnapshotInfo } from "../../server/ports.ts";
import { encodeCommand } from "../../server/state-machine/codec.ts";
import { frameCommand } from "../../server/state-machine/command-header.ts";
import { chunkHeaderBytes, encodeChunk, type ChunkKind } from "../../storage/snapshot-format.ts";
import { SnapshotFiles } from "../../storage/snapshot-files.ts";
import { SnapshotReader } from "../../storage/snapshot-reader.ts";
import { FileSource } from "../../storage/byte-source.ts";
import { MemoryMachine } from "../server/memory-machine.ts";
import { MemoryDisk } from "../storage/memory-disk.ts";
import { allocations } from "./allocation.ts";
import { mutate } from "./mutation.ts";
import type { Tape } from "./tape.ts";

const directory = "group";
const incoming = `${directory}/snapshots`;

const formed = configuration([
  { id: nodeId(1), role: "voter", raft: "a:1", http: "a:2", incarnation: "0" },
]);

function machineWith(puts: number): MemoryMachine {
  const machine = new MemoryMachine();
  for (let at = 1; at <= puts; at++) {
    const value = new Uint8Array((at * 37) % 90).fill(at);
    const command = encodeCommand({ op: "put", key: `k${at % 9}`, value, contentType: null });
    const data = frameCommand({ origin: nodeId(1), session: 2, sequence: at }, command);
    machine.apply({ index: index(at), term: term(4), kind: "command", timeMs: at, data });
  }
  return machine;
}

interface Place {
  readonly disk: MemoryDisk;
  readonly machine: MemoryMachine;
  readonly files: SnapshotFiles;
  /** What was done to the log. */
  readonly resets: string[];
}

function place(puts: number): Place {
  const disk = new MemoryDisk();
  const machine = machineWith(puts);
  const resets: string[] = [];
  const log = {
    prepareReset: () => void resets.push("prepared"),
    reset: () => void resets.push("reset"),
  };
  const options = { disk, directory, group: 0, clusterId: "c", drawId: () => 1 };
  return { disk, machine, resets, files: new SnapshotFiles({ ...options, machine, log, formed }) };
}

function whole(puts: number): { bytes: Uint8Array; info: SnapshotInfo; digest: object } {
  const { files, machine } = place(puts);
  files.make();
  while (files.work() === "more");
  const info = must(files.newest, "it was made");
  return { bytes: files.read(0, info.bytes), info, digest: machine.digest() };
}

const snapshots = [1, 20].map(whole);

/** What disks and networks do to a snapshot on its way: it is the one that was made, or refused. */
export function checkTransfer(tape: Tape): void {
  const { bytes, info, digest } = tape.pick(snapshots);
  const changed = mutate(bytes, tape);
  const { disk, machine, files, resets } = place(0);
  const before = machine.digest();
  files.accept({ ...info, bytes: changed.byteLength });
  for (let at = 0; at < changed.byteLength;) {
    const piece = changed.subarray(at, at + 1 + tape.below(700));
    files.write(piece);
    at += piece.byteLength;
  }
  let step: ReturnType<SnapshotFiles["build"]> = "more";
  const { sum } = allocations(() => {
    for (let steps = 0; step === "more"; steps++) {
      assert.ok(steps <= changed.byteLength, "it comes to an end");
      step = files.build();
    }
  });
  assert.ok(sum <= 4 * changed.byteLength + 10_000, `${sum} bytes for ${changed.byteLength}`);
  assert.equal(machine.digest(), before, "nothing counts before it is installed");
  assert.equal(resets, []);
  if (typeof step === "object") {
    assert.ok((step as { damage: string }).damage.length > 0, "it says what is wrong");
    assert.equal(disk.list(incoming), [], "nothing is left of it");
    return;
  }
  assert.is(step, "built");
  assert.equal(Buffer.from(changed), Buffer.from(bytes), "only what was made is taken in");
  files.install();
  assert.equal(resets, ["prepared", "reset"]);
  assert.equal(machine.digest(), digest);
}

/** Bodies that no node ever wrote, in chunks whose checksums are right. */
export function checkForged(tape: Tape): void {
  const bytes = forge(tape.pick(snapshots).bytes, tape);
  const disk = new MemoryDisk();
  disk.makeDirectory(directory);
  const path = `${directory}/forged`;
  const file = disk.open(path, "create");
  file.write(0, bytes);
  const reader = new SnapshotReader(new FileSource(disk, path));
  const head = reader.readHead();
  if (head === null) return;
  if (typeof head === "string") {
    assert.ok(head.length > 0);
    return;
  }
  let values = 0;
  for (let steps = 0; ; steps++) {
    assert.ok(steps <= bytes.byteLength, "it comes to an end");
    const step = reader.next();
    if (step.kind === "damaged") assert.ok(step.detail.length > 0);
    if (step.kind !== "rows") break;
    // A row without a column costs nothing in the file, and memory here.
    for (const row of step.batch.rows) values += 1 + row.length;
    assert.ok(values <= 2 * bytes.byteLength, `${values} values in ${bytes.byteLength} bytes`);
  }
  reader.close();
}

const kinds: readonly ChunkKind[] = ["head", "rows", "end"];

function forge(bytes: Uint8Array, tape: Tape): Uint8Array {
  const parts: Buffer[] = [];
  const source = Buffer.from(bytes);
  let chain = 0;
  for (let at = 0, number = 0; at < source.byteLength; number++) {
    const end = at + chunkHeaderBytes + source.readUInt32LE(at);
    let kind = must(kinds[source.readUInt8(at + 8) - 1], "it was written by us");
    let body: Uint8Array = source.subarray(at + chunkHeaderBytes, end);
    if (number > 0 && tape.once(8)) kind = tape.pick(kinds);
    if (number > 0 || tape.once(8)) body = spoil(kind, body, tape);
    const chunk = encodeChunk(kind, body, { number, chain });
    parts.push(chunk.bytes);
    ({ chain } = chunk);
    at = end;
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** JSON that means something else, counts that promise too much, or any change. */
function spoil(kind: ChunkKind, body: Uint8Array, tape: Tape): Uint8Array {
  if (tape.once(2)) return body;
  if (kind !== "rows" && tape.once(2)) {
    const text = tape.pick(["null", "1", "[]", "{}", "", "{", '{"rows":"1"}', '{"rows":null}']);
    return new TextEncoder().encode(text);
  }
  if (kind === "rows" && tape.once(2) && body.byteLength >= 12) {
    const copy = Buffer.from(body);
    copy.writeUInt32LE(tape.pick([0, 1, 4, 1_000_000]), 4);
    copy.writeUInt32LE(tape.pick([0, 1, 4, 1_000_000]), 8);
    return tape.once(2) ? copy.subarray(0, 12 + copy.readUInt32LE(0)) : copy;
  }
  return mutate(body, tape);
}
