/** When bytes that are kept are a view of the packet or entry they came in, and when they are a copy. */

import { Buffer } from "node:buffer";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { keptBytes } from "../../server/kept-bytes.ts";

const isView = (kept: Uint8Array, data: Uint8Array): boolean => kept.buffer === data.buffer;
const numbered = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i);

test("short bytes are copied, however large their share", () => {
  const data = numbered(4_095);
  const kept = keptBytes(data);
  assert.equal(kept, data);
  assert.not(isView(kept, data));
  assert.equal(keptBytes(data, 3, 6), Uint8Array.of(3, 4, 5));
});

test("long bytes are a view of up to twice as much", () => {
  const data = numbered(2 * 4_096);
  const kept = keptBytes(data, 10, 10 + 4_096);
  assert.equal(kept, data.slice(10, 10 + 4_096));
  assert.ok(isView(kept, data));
});

test("a part of more is copied, so that it does not keep the rest", () => {
  const data = numbered(2 * 4_096 + 1);
  const kept = keptBytes(data, 10, 10 + 4_096);
  assert.equal(kept, data.slice(10, 10 + 4_096));
  assert.not(isView(kept, data));
});

test("what counts is all that a view would keep, not what is shown of it", () => {
  const whole = numbered(1 << 20);
  assert.not(isView(keptBytes(whole.subarray(0, 8_192)), whole));
});

test("a Buffer's bytes are copied as well", () => {
  const data = Buffer.from("abc");
  const kept = keptBytes(data, 0, 2);
  data[0] = 120;
  assert.equal([...kept], [97, 98]);
});

test.run();
