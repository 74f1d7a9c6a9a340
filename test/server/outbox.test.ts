/** Frames that wait for a peer: in order, whole, bounded, and large ones without a copy. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Outbox, type FramePieces } from "../../server/outbox.ts";
import { Random } from "../raft/random.ts";

const writeBytesMax = 100 << 10;

function everything(outbox: Outbox): Uint8Array[] {
  const taken: Uint8Array[] = [];
  for (let piece = outbox.take(writeBytesMax); piece; piece = outbox.take(writeBytesMax)) {
    taken.push(piece);
  }
  return taken;
}

test("what is taken is what was added, in order, whatever its sizes", () => {
  const random = new Random(11);
  const piece = (bytesMax: number): Uint8Array =>
    new Uint8Array(random.below(bytesMax)).fill(random.below(256));
  const outbox = new Outbox({ framesMax: 100, bytesMax: 64 << 20 });
  for (let round = 0; round < 200; round++) {
    const added: Uint8Array[] = [];
    for (let left = random.below(6); left > 0; left--) {
      const tail = random.below(3) === 0 ? null : piece(random.pick([100, 40_000, 200_000]));
      const frame: FramePieces = [piece(12), piece(300), tail];
      assert.ok(outbox.add(frame));
      for (const part of frame) if (part !== null) added.push(part);
    }
    const whole = Buffer.concat(added);
    assert.is(outbox.bytes, whole.byteLength);
    const taken = everything(outbox);
    assert.ok(taken.length > 0 || whole.byteLength === 0);
    assert.is(Buffer.compare(Buffer.concat(taken), whole), 0);
    assert.is(outbox.bytes, 0);
    assert.is(outbox.count, 0);
  }
});

test("a large tail is given as it is, and waits until then", () => {
  const outbox = new Outbox({ framesMax: 2, bytesMax: 1 << 20 });
  const tail = new Uint8Array(64 << 10);
  outbox.add([new Uint8Array(12), new Uint8Array(20), tail]);
  assert.is(outbox.take(writeBytesMax)?.byteLength, 32);
  assert.is(outbox.count, 1);
  assert.is(outbox.bytes, tail.byteLength);
  outbox.add([new Uint8Array(12), new Uint8Array(5), null]);
  assert.is(outbox.add([new Uint8Array(12), new Uint8Array(5), null]), false, "two wait already");
  assert.is(outbox.take(writeBytesMax), tail);
  assert.is(outbox.take(writeBytesMax)?.byteLength, 17);
  assert.is(outbox.take(writeBytesMax), null);
});

test("what is cleared is gone, a tail whose head is taken too", () => {
  const outbox = new Outbox({ framesMax: 2, bytesMax: 1 << 20 });
  outbox.add([new Uint8Array(12), new Uint8Array(20), new Uint8Array(64 << 10)]);
  outbox.take(writeBytesMax);
  outbox.clear();
  assert.is(outbox.take(writeBytesMax), null);
  assert.is(outbox.count, 0);
  assert.is(outbox.bytes, 0);
});

test.run();
