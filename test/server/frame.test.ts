/** Frames are cut out of a stream however it arrives, and a stream that breaks the rules is stopped. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { emptyFrame, FrameAssembler, frameHeader, payloadBytesMax } from "../../server/frame.ts";

const payload = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 0xff);

const frame = (bytes: Uint8Array): Uint8Array =>
  Uint8Array.of(...frameHeader(bytes, null), ...bytes);

const join = (parts: readonly Uint8Array[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => [...part]));

function collect(chunks: readonly Uint8Array[], assembler = new FrameAssembler()) {
  const payloads: Uint8Array[] = [];
  let violation: string | null = null;
  for (const chunk of chunks) {
    violation = assembler.push(chunk, (bytes) => payloads.push(bytes) > 0);
    if (violation !== null) break;
  }
  return { payloads, violation };
}

const chunksOf = (bytes: Uint8Array, size: number): Uint8Array[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
    bytes.slice(i * size, (i + 1) * size),
  );

test("frames come out whole and in order, in chunks of any size", () => {
  const payloads = [payload(0), payload(1), payload(100, 7), payload(0), payload(3_000, 9)];
  const stream = join(payloads.map(frame));
  for (const size of [1, 2, 11, 12, 13, 100, 4_096]) {
    assert.equal(collect(chunksOf(stream, size)), { payloads, violation: null });
  }
});

test("a payload in two pieces has one checksum", () => {
  const whole = payload(500);
  const header = frameHeader(whole.subarray(0, 20), whole.subarray(20));
  assert.equal(header, frameHeader(whole, null));
});

test("a payload owns its bytes, whatever becomes of the chunk", () => {
  const chunk = frame(payload(50));
  const { payloads } = collect([chunk]);
  chunk.fill(0);
  assert.equal(payloads, [payload(50)]);
  assert.is(payloads[0]?.buffer.byteLength, 50);
});

test("a frame of the largest size passes; a claim of more is refused before it is believed", () => {
  const largest = new Uint8Array(payloadBytesMax);
  const { payloads } = collect([frameHeader(largest, null), largest]);
  assert.is(payloads[0]?.byteLength, payloadBytesMax);
  const header = frameHeader(payload(1), null);
  new DataView(header.buffer).setUint32(0, payloadBytesMax + 1);
  assert.match(collect([header]).violation ?? "", /more than/);
  new DataView(header.buffer).setUint32(0, 0xffffffff);
  assert.match(collect([header]).violation ?? "", /4294967295 bytes/);
});

test("any flipped bit of a frame is noticed, or leaves it incomplete", () => {
  const original = frame(payload(20));
  for (let bit = 0; bit < original.length * 8; bit++) {
    const damaged = original.slice();
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const { payloads, violation } = collect([damaged]);
    assert.is(payloads.length, 0, `bit ${bit}`);
    // A length that grew leaves the frame waiting for the rest.
    if (bit >= 32) assert.ok(violation !== null, `bit ${bit}`);
  }
});

test("another group and a last field that is not zero are refused", () => {
  for (const offset of [8, 10]) {
    const bytes = frame(payload(5));
    bytes[offset + 1] = 1;
    assert.ok(collect([bytes]).violation !== null);
  }
});

test("after a violation nothing more comes out", () => {
  const bad = frame(payload(5));
  bad[4] = (bad[4] ?? 0) ^ 1;
  const assembler = new FrameAssembler();
  assert.ok(collect([join([bad, frame(payload(5))])], assembler).violation !== null);
  const after = collect([frame(payload(5))], assembler);
  assert.is(after.payloads.length, 0);
  assert.match(after.violation ?? "", /checksum/);
});

test("a taker who has enough gets no more of the chunk", () => {
  const taken: number[] = [];
  const stream = join([frame(payload(1)), frame(payload(2))]);
  new FrameAssembler().push(stream, (bytes) => {
    taken.push(bytes.byteLength);
    return false;
  });
  assert.equal(taken, [1]);
});

test("where only empty frames are expected, one byte is too much", () => {
  assert.is(collect([emptyFrame], new FrameAssembler(0)).violation, null);
  assert.match(collect([frame(payload(1))], new FrameAssembler(0)).violation ?? "", /more than 0/);
});

test("a large frame in tiny chunks is assembled in linear time", () => {
  const large = new Uint8Array(payloadBytesMax);
  const assembler = new FrameAssembler();
  assembler.push(frameHeader(large, null), () => true);
  let taken = 0;
  const chunk = new Uint8Array(64);
  const started = performance.now();
  for (let sent = 0; sent < payloadBytesMax; sent += chunk.byteLength) {
    assembler.push(chunk, () => ++taken > 0);
  }
  assert.is(taken, 1);
  // Copying the whole for every chunk would be 512 GB.
  assert.ok(performance.now() - started < 10_000);
});

test.run();
