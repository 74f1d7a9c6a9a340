/** Messages as bytes and back, and what happens to bytes that are no message. */

import { encode } from "@msgpack/msgpack";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  decodePeerMessage,
  entryDataBytesMax,
  listLengthMax,
  PeerEncoder,
} from "../../server/peer-codec.ts";
import type { PeerMessage } from "../../server/peer-message.ts";
import type { Append } from "../../server/raft/message.ts";
import { Random } from "../raft/random.ts";
import { append, entry, everyPeerMessage } from "./peer-messages.ts";

function bytesOf(message: PeerMessage, encoder = new PeerEncoder()): Uint8Array {
  const { head, tail } = encoder.encode(message);
  const whole = new Uint8Array(head.byteLength + (tail?.byteLength ?? 0));
  whole.set(head);
  if (tail) whole.set(tail, head.byteLength);
  return whole;
}

function assertRefused(tuple: unknown, detail: RegExp): void {
  const decoded = decodePeerMessage(encode(tuple));
  // Some are eight megabytes long: they become text only where there is something to tell.
  if (decoded.ok) assert.unreachable(`it was taken: ${JSON.stringify(tuple)}`);
  else assert.match(decoded.detail, detail);
}

test("every type of message comes back as it was sent", () => {
  for (const message of everyPeerMessage) {
    assert.equal(decodePeerMessage(bytesOf(message)), { ok: true, message });
  }
});

test("an append is written as a general encoder would write it, at every size", () => {
  const sizes = [0, 1, 127, 128, 255, 256, 65_535, 65_536];
  const numbers = [0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 48];
  for (const count of [0, 1, 15, 16, 300]) {
    const entries = Array.from({ length: count }, (_, i) => {
      const timeMs = numbers[i % numbers.length] ?? 0;
      return { ...entry(i + 1, count > 20 ? 3 : sizes[i % sizes.length]), timeMs };
    });
    for (const number of numbers) {
      const message = { ...append(1, entries), previousIndex: number } as PeerMessage & Append;
      const { term, previousTerm, commitIndex } = message;
      const tuples = entries.map((e) => [e.index, e.term, 1, e.timeMs, e.data]);
      const tuple = [5, term, number, previousTerm, commitIndex, tuples];
      assert.equal(Buffer.compare(bytesOf(message), encode(tuple)), 0, `${count}, ${number}`);
    }
  }
});

test("a fraction in an append ends in an assertion, not on the wire", () => {
  const message = append(1, [{ ...entry(1), timeMs: 0.5 }]);
  assert.throws(() => new PeerEncoder().encode(message), /safe integer/);
});

test("the same entries for several peers are encoded once, until they are forgotten", () => {
  const encoder = new PeerEncoder();
  const first = encoder.encode(append(3, [entry(3), entry(4)]));
  const same = encoder.encode(append(3, [entry(3), entry(4)]));
  assert.ok(first.tail !== null && first.tail === same.tail);
  assert.ok(encoder.encode(append(4, [entry(4)])).tail !== first.tail);
  encoder.forgetEntries();
  assert.ok(encoder.encode(append(3, [entry(3), entry(4)])).tail !== first.tail);
});

test("encoded entries that are kept are bounded in number", () => {
  const encoder = new PeerEncoder();
  const first = encoder.encode(append(1, [entry(1)]));
  for (let i = 2; i <= PeerEncoder.entryListsMax; i++) encoder.encode(append(i, [entry(i)]));
  assert.is(encoder.encode(append(1, [entry(1)])).tail, first.tail);
  encoder.encode(append(100, [entry(100)]));
  assert.ok(encoder.encode(append(1, [entry(1)])).tail !== first.tail);
});

test("a small entry does not keep the packet alive, a large one is not copied", () => {
  const bytes = bytesOf(append(1, [entry(1, 10), entry(2, 5_000)]));
  const decoded = decodePeerMessage(bytes);
  assert.ok(decoded.ok && decoded.message.type === "append");
  if (!decoded.ok || decoded.message.type !== "append") return;
  const [small, large] = decoded.message.entries;
  assert.is(small?.data.buffer.byteLength, 10);
  assert.is(large?.data.buffer, bytes.buffer);
});

/** The same message with a longer head, which the way for common messages does not know. */
const unusual = (bytes: Uint8Array): Uint8Array =>
  Uint8Array.of(0xdc, 0, (bytes[0] ?? 0) & 0x0f, ...bytes.subarray(1));

test("appends and forwards mean the same, or are refused, whichever way they are read", () => {
  const random = new Random(5);
  const configuration = entry(4, 30, "configuration");
  const commands = [new Uint8Array(0), new Uint8Array(300).fill(7), new Uint8Array(9_000)];
  const samples = [
    bytesOf(append(1, [])),
    bytesOf(append(3, [entry(3), entry(4, 200), entry(5, 9_000), entry(6, 5)])),
    bytesOf(append(2 ** 33, [{ ...entry(2 ** 33), timeMs: 2 ** 52 }])),
    bytesOf(append(4, [configuration])),
    bytesOf({ type: "forward", commands }),
  ];
  let taken = 0;
  for (const sample of samples) {
    assert.equal(decodePeerMessage(sample.slice()), decodePeerMessage(unusual(sample)));
    for (let i = 0; i < 200; i++) {
      const isCut = random.below(8) === 0;
      const other = sample.slice(0, isCut ? 1 + random.below(sample.length) : undefined);
      // Behind the head, and mostly where the numbers stand.
      for (let left = random.below(3); left >= 0; left--) {
        const at = 1 + random.below(Math.min(other.length, random.below(3) === 0 ? 1e6 : 40));
        if (at < other.length) other[at] = random.below(256);
      }
      const expected = decodePeerMessage(unusual(other));
      assert.equal(decodePeerMessage(other), expected);
      if (expected.ok) taken++;
    }
  }
  assert.ok(taken > 50, "some of them are messages");
});

test("integers of 2^53 and more, negative, broken or of another type are refused", () => {
  for (const term of [2 ** 53, 2 ** 48 + 1, -1, 1.5, NaN, null, "7", true, [7]]) {
    assertRefused([11, term], /./);
    assertRefused([2, term, true], /./);
  }
  // u64, as the encoder does not write it: 2^53, 2^53 + 1, 2^64 - 1.
  for (const high of [
    [0, 0x20],
    [0xff, 0xff],
  ]) {
    const bytes = Uint8Array.of(0x92, 11, 0xcf, ...high, 0, 0, 0, 0, 0, 1);
    assert.is(decodePeerMessage(bytes).ok, false);
  }
});

test("types, kinds, roles and reasons without a meaning are refused", () => {
  assertRefused([0, 1], /stands for nothing/);
  assertRefused([19, 1], /stands for nothing/);
  assertRefused(["vote", 1], /stands for nothing/);
  assertRefused([5, 7, 0, 0, 0, [[1, 7, 4, 0, new Uint8Array(0)]]], /stands for nothing/);
  assertRefused([15, 4, []], /stands for nothing/);
  assertRefused([17, 7, 0, 7], /stands for nothing/);
});

test("too few and too many fields are refused at every level", () => {
  assertRefused([], /too few/);
  assertRefused([11], /too few/);
  assertRefused([11, 7, 7], /too many/);
  assertRefused([5, 7, 0, 0, 0, [[1, 7, 1, 0]]], /too few/);
  assertRefused([5, 7, 0, 0, 0, [[1, 7, 1, 0, new Uint8Array(0), 0]]], /too many/);
  assertRefused([5, 7, 0, 0, 0, [7]], /not a tuple/);
  assertRefused([5, 7, 0, 0, 0, 7], /not a list/);
  assertRefused(7, /not a tuple/);
});

test("entries must follow the previous index and each other", () => {
  const data = new Uint8Array(0);
  assertRefused([5, 7, 3, 6, 0, [[5, 7, 1, 0, data]]], /do not follow/);
  assertRefused(
    [
      5,
      7,
      3,
      6,
      0,
      [
        [4, 7, 1, 0, data],
        [6, 7, 1, 0, data],
      ],
    ],
    /do not follow/,
  );
});

test("terms must not go back inside an append, nor pass the leader's", () => {
  const data = new Uint8Array(0);
  assertRefused([5, 7, 3, 6, 0, [[4, 5, 1, 0, data]]], /older/);
  assertRefused([5, 7, 3, 6, 0, [[4, 8, 1, 0, data]]], /newer/);
});

test("members need an id in range, only once, and a voter among them", () => {
  const member = { id: 1, role: "voter", raft: "a:1", http: "a:2", incarnation: "0a" };
  const offer = (...members: unknown[]): unknown[] => {
    const text = JSON.stringify({ revision: 1, members, retired: ["0b"], successors: [] });
    return [10, 7, 1, 1, new TextEncoder().encode(text), 5, 6];
  };
  assert.ok(decodePeerMessage(encode(offer(member))).ok);
  for (const wrong of [
    [{ ...member, id: 0 }],
    [{ ...member, id: 2 ** 32 }],
    [member, member],
    [{ ...member, role: "learner" }],
    [{ ...member, raft: "a".repeat(257) }],
    [{ ...member, incarnation: "0b" }],
    Array.from({ length: 17 }, (_, i) => ({ ...member, id: i + 1 })),
  ]) {
    assertRefused(offer(...wrong), /configuration/);
  }
});

test("a list longer than any honest one is refused", () => {
  assertRefused([15, 1, 0, new Array(listLengthMax + 1).fill(0)], /longer than/);
});

test("bytes after a message are refused", () => {
  assert.equal(decodePeerMessage(Uint8Array.of(0x92, 11, 7, 0)).ok, false);
});

test("a configuration is refused where its bytes are none, before it reaches the core", () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  const member = { id: 1, role: "voter", raft: "a:1", http: "a:2", incarnation: "0a" };
  const entryWith = (data: Uint8Array): unknown[] => [5, 7, 3, 6, 0, [[4, 7, 3, 0, data]]];
  const list = { revision: 1, members: [member], retired: [], successors: [] };
  assert.ok(decodePeerMessage(encode(entryWith(bytes(JSON.stringify(list))))).ok);
  for (const text of ["", "[]", 'Z{"id":2}', "null", "\xff"]) {
    assertRefused(entryWith(bytes(text)), /configuration/);
  }
  assertRefused(entryWith(bytes(JSON.stringify({ ...list, retired: [7] }))), /configuration/);
});

test("an entry or command is refused that no further frame could hold", () => {
  const largest = new Uint8Array(entryDataBytesMax);
  assert.ok(decodePeerMessage(encode([14, [largest]])).ok);
  const larger = new Uint8Array(entryDataBytesMax + 1);
  assertRefused([14, [larger]], /too large/);
  assertRefused([5, 7, 3, 6, 0, [[4, 7, 1, 0, larger]]], /too large/);
});

test("the last entry of a snapshot is no newer than its leader", () => {
  assertRefused([10, 7, 9, 8, new Uint8Array(0), 5, 6], /newer/);
});

test.run();
