/** Bombs and lies in msgpack are found before a decoder sees them. */

import { decode, encode } from "@msgpack/msgpack";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { refuseUnsafe } from "../../server/msgpack-guard.ts";
import { Random } from "../raft/random.ts";

const limits = { depthMax: 8, valuesMax: 10_000 };

const verdict = (...bytes: number[]): string | null => refuseUnsafe(Uint8Array.from(bytes), limits);

const pairs = (count: number): number[][] => Array.from({ length: count }, () => [1]);

function assertRefused(bytes: Uint8Array, why: RegExp): void {
  const problem = refuseUnsafe(bytes, limits);
  assert.ok(problem !== null && why.test(problem), String(problem));
}

test("what the codec writes passes", () => {
  const values = [0, 127, 128, 65_535, 2 ** 32, true, "text", "x".repeat(70_000), [], [[[]]]];
  const more = [new Uint8Array(3), new Uint8Array(300), new Uint8Array(70_000)];
  for (const value of [...values, ...more, [...values, more], pairs(4_999)]) {
    assert.is(refuseUnsafe(encode(value), limits), null);
  }
});

test("4,500 arrays inside each other, one element each", () => {
  assertRefused(new Uint8Array(4_500).fill(0x91), /nested deeper/);
});

test("arrays are counted as deep as they are, and no deeper", () => {
  const nest = (depth: number): Uint8Array =>
    new Uint8Array(depth).fill(0x91, 0, depth - 1).fill(0x90, depth - 1);
  assert.is(refuseUnsafe(nest(8), limits), null);
  assertRefused(nest(9), /nested deeper/);
});

test("siblings are not taken for depth", () => {
  assert.is(refuseUnsafe(encode([pairs(50), pairs(50)]), limits), null);
});

test("more values than allowed, flat or in many small arrays", () => {
  assertRefused(encode(new Array(10_000).fill(0)), /more than/);
  assertRefused(encode(pairs(5_000)), /more than/);
  assert.is(refuseUnsafe(encode(new Array(9_999).fill(0)), limits), null);
});

test("lengths beyond the end: texts, bytes and arrays, in every width", () => {
  for (const head of [[0xa5], [0xd9, 5], [0xda, 0, 5], [0xdb, 0xff, 0xff, 0xff, 0xff]]) {
    assertRefused(Uint8Array.of(...head, 1, 2), /beyond the end/);
  }
  for (const head of [
    [0xc4, 5],
    [0xc5, 0, 5],
    [0xc6, 0xff, 0xff, 0xff, 0xff],
  ]) {
    assertRefused(Uint8Array.of(...head, 1, 2), /beyond the end/);
  }
  for (const head of [[0x95], [0xdc, 0, 5], [0xdd, 0xff, 0xff, 0xff, 0xff]]) {
    assertRefused(Uint8Array.of(...head, 1, 2), /beyond the end/);
  }
});

test("a cut anywhere is noticed", () => {
  const whole = encode([300, 70_000, 2 ** 40, "x".repeat(300), new Uint8Array(300), [1, [2]]]);
  for (let length = 0; length < whole.length; length++) {
    assert.ok(refuseUnsafe(whole.subarray(0, length), limits) !== null, `cut at ${length}`);
  }
});

test("extensions, maps, floats, negative numbers, nil and the unused byte", () => {
  for (const head of [
    0xc0, 0xc1, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0x80, 0x8f, 0xde, 0xdf, 0xe0, 0xff,
  ]) {
    assert.match(verdict(head, 0, 0, 0, 0, 0, 0, 0, 0) ?? "", /of type/);
  }
  for (let head = 0xd0; head <= 0xd8; head++) {
    assert.match(verdict(0x91, head, 0, 0, 0, 0, 0, 0, 0, 0) ?? "", /of type/);
  }
});

test("bytes after the value", () => {
  assert.match(verdict(0x91, 1, 1) ?? "", /after the value/);
});

test("whatever passes, the decoder reads without an error", () => {
  const random = new Random(57);
  let passed = 0;
  for (let round = 0; round < 50_000; round++) {
    const bytes = Uint8Array.from({ length: 1 + random.below(12) }, () => random.below(256));
    if (round % 2 === 0) bytes[0] = 0x90 + random.below(6);
    if (refuseUnsafe(bytes, limits) !== null) continue;
    passed++;
    decode(bytes);
  }
  assert.ok(passed > 100, `${passed} passed`);
});

test.run();
