/** A ring of items holds what was put into it, or nothing; and no more of it than it may. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { itemBytesMax, KeyedRing } from "../../storage/keyed-ring.ts";
import { Random } from "../raft/random.ts";

const chunkBytes = 64 << 10;

/** Adds the key, or finds it, with a number that tells it. False: it is not kept. */
function keep(ring: KeyedRing, key: string, number: number): boolean {
  const place = ring.find(key) || ring.add(key, 0);
  if (place !== 0) ring.setNumber(place, 0, number);
  return place !== 0;
}

const numberOf = (ring: KeyedRing, key: string): number | null => {
  const place = ring.find(key);
  return place === 0 ? null : ring.number(place, 0);
};

for (const key of ["k", "\u{1f511}"]) {
  test(`the item of ${key} is as it was put in, with numbers of every size, and bytes of its own`, () => {
    const ring = new KeyedRing({ bytesMax: 1 << 20 });
    const place = ring.add(key, 5);
    ring.setWord(place, 0, 2 ** 32 - 1);
    ring.setWord(place, 1, 7);
    ring.setNumber(place, 0, Number.MAX_SAFE_INTEGER);
    ring.setNumber(place, 1, -0.5);
    ring.setBytes(place, Uint8Array.of(1, 2, 3, 4, 255));
    ring.add("l", 5);
    assert.is(ring.find(key), place);
    assert.equal([ring.word(place, 0), ring.word(place, 1)], [2 ** 32 - 1, 7]);
    assert.equal([ring.number(place, 0), ring.number(place, 1)], [Number.MAX_SAFE_INTEGER, -0.5]);
    const bytes = ring.bytes(place, 5);
    ring.setBytes(place, new Uint8Array(5));
    assert.equal(bytes, Uint8Array.of(1, 2, 3, 4, 255));
  });
}

test("keys are the same to their last unit, or others", () => {
  const ring = new KeyedRing({ bytesMax: 1 << 20 });
  const long = "k".repeat(2_000);
  const keys = ["", "a", "aa", "ab", "\0", "\0\0", "\xe9", "\u01e9", "a\u{e9}", "a\u{1e9}"];
  keys.push("\ud83d", "\ude00", "\u{1f600}", "\ude00\ud83d", "\u{1f600}a", "\ufffd");
  keys.push(long, `${long}a`, `${long}b`, `${long}\u4e00`, `${long}\u4e01`);
  keys.forEach((key, i) => keep(ring, key, i));
  keys.forEach((key, i) => assert.is(numberOf(ring, key), i, JSON.stringify(key)));
});

test("a ring with one item takes little, and one without takes nothing", () => {
  const ring = new KeyedRing({ bytesMax: 16 << 20 });
  assert.is(ring.byteLength, 0);
  keep(ring, "k", 1);
  assert.ok(ring.byteLength <= chunkBytes + (8 << 10), `${ring.byteLength}`);
  ring.clear();
  assert.is(ring.byteLength, 0);
  assert.is(ring.find("k"), 0);
});

test("the oldest make room for the newest, in no more bytes than there may be", () => {
  const bytesMax = 2 << 20;
  const ring = new KeyedRing({ bytesMax });
  const keys = Array.from({ length: 150_000 }, (_, i) => `key ${i}`.padEnd(20, "."));
  keys.forEach((key, i) => {
    keep(ring, key, i);
    assert.is(numberOf(ring, key), i);
  });
  const tableBytes = 4 * (1 << 17);
  assert.is(ring.byteLength, bytesMax + tableBytes);
  // 56 bytes each; the chunk that is filled now is not full.
  const kept = (bytesMax - chunkBytes) / 56;
  const newest = keys.slice(-kept).filter((key) => ring.find(key) !== 0);
  // Some buckets had more than their eight.
  assert.ok(newest.length > 0.98 * kept, `${newest.length} of ${kept}`);
  assert.ok(keys.slice(0, -bytesMax / 56).every((key) => ring.find(key) === 0));
  assert.is(ring.count, keys.filter((key) => ring.find(key) !== 0).length);
});

test("items that are smaller than was expected take no more than 1 MiB for their places", () => {
  const bytesMax = 16 << 20;
  const ring = new KeyedRing({ bytesMax });
  for (let i = 0; i < 400_000; i++) {
    ring.add(i.toString(36), 0);
    if (ring.find(i.toString(36)) === 0) throw new Error(`${i} is forgotten at once`);
  }
  assert.ok(ring.byteLength <= bytesMax + (1 << 20), `${ring.byteLength}`);
  assert.ok(ring.count > 200_000, `${ring.count}`);
});

test("what is longer than an item may be is not kept, and what is as long is", () => {
  const ring = new KeyedRing({ bytesMax: 2 * chunkBytes });
  const headBytes = 32;
  assert.is(ring.add("k", itemBytesMax - headBytes), 0);
  assert.is(ring.find("k"), 0);
  for (let i = 0; i < 100; i++) {
    const place = ring.add(`${i}`.padStart(3), itemBytesMax - headBytes - 3);
    assert.is(ring.room(place), itemBytesMax - headBytes - 3);
    ring.setBytes(place, new Uint8Array(ring.room(place)).fill(i));
  }
  const place = ring.find(" 98");
  assert.ok(ring.bytes(place, ring.room(place)).every((byte) => byte === 98));
});

/** A key out of few, of all kinds. */
function drawKey(random: Random): string {
  const text = `${random.below(6_000)}`;
  switch (random.below(8)) {
    case 0:
      return `${text}\u{1f600}`;
    case 1:
      return `\ud800${text}`;
    case 2:
      return `\u0431${text}`;
    case 3:
      return text.padStart(1 + random.below(2_048), "long");
    default:
      return text;
  }
}

for (const [name, bytesMax] of [
  ["a ring that everything fits into", 16 << 20],
  ["a ring that turns over", 2 * chunkBytes],
] as const) {
  test(`${name} knows of each key what a map knows, or nothing`, () => {
    const random = new Random(5);
    const ring = new KeyedRing({ bytesMax });
    const map = new Map<string, number>();
    let known = 0;
    let asked = 0;
    for (let i = 0; i < 100_000; i++) {
      const key = drawKey(random);
      const what = random.below(10);
      if (what < 4) {
        if (keep(ring, key, i)) map.set(key, i);
        else map.delete(key);
      } else if (what < 5) {
        const place = ring.find(key);
        if (place !== 0) ring.remove(place);
        map.delete(key);
      } else {
        const number = numberOf(ring, key);
        if (number !== null) assert.is(number, map.get(key), JSON.stringify(key));
        if (map.has(key)) asked++;
        if (number !== null) known++;
      }
      if (random.below(60_000) === 0) {
        ring.clear();
        map.clear();
      }
    }
    const part = known / asked;
    assert.ok(bytesMax > 1 << 20 ? part > 0.98 : part > 0.01 && part < 0.5, `${part}`);
  });
}

test("of many thousands of keys none is taken for another", () => {
  const ring = new KeyedRing({ bytesMax: 16 << 20 });
  const count = 150_000;
  // By their hashes alone, dozens of either kind would be.
  const kinds = [
    (i: number): string => `key-${i}`,
    (i: number): string => `\u4e00${i >> 14}${String.fromCharCode(0x4e00 + (i & 0x3fff))}`,
  ];
  for (const keyOf of kinds) {
    for (let i = 0; i < count; i++) keep(ring, keyOf(i), i);
    let known = 0;
    for (let i = 0; i < count; i++) {
      const number = numberOf(ring, keyOf(i));
      assert.ok(number === null || number === i, keyOf(i));
      if (number !== null) known++;
    }
    assert.ok(known > 0.97 * count, `${known}`);
    for (let i = count; i < 2 * count; i++) assert.is(ring.find(keyOf(i)), 0);
    ring.clear();
  }
});

test("no key is taken for a longer or a shorter one", () => {
  for (let letter = 0; letter < 20; letter++) {
    const ring = new KeyedRing({ bytesMax: 1 << 20 });
    const keyOf = (length: number): string => String.fromCharCode(97 + letter).repeat(length);
    for (let length = 400; length < 800; length++) keep(ring, keyOf(length), length);
    for (let length = 0; length < 2_000; length++) {
      if (length < 400 || length >= 800) assert.is(ring.find(keyOf(length)), 0);
    }
  }
});

test.run();
