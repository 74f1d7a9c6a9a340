/** Commands in bytes: what goes in comes out, and bytes that are no command are refused and harm nothing. */

import { decode, encode } from "@msgpack/msgpack";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { index, nodeId } from "../../server/raft/entry.ts";
import { decodeCommand, encodeCommand, takesRoom } from "../../server/state-machine/codec.ts";
import {
  commandBytes,
  commandHeaderBytes,
  frameCommand,
  readCommandHeader,
} from "../../server/state-machine/command-header.ts";
import {
  contentTypeBytesMax,
  fingerprintBytes,
  keyBytesMax,
  valueBytesMax,
  type Command,
  type PlainCommand,
} from "../../server/state-machine/command.ts";
import { afterEveryKey } from "../../server/state-machine/key-range.ts";
import { decodeResult, encodeResult } from "../../server/state-machine/result-codec.ts";
import { rowOf } from "../../server/state-machine/rows.ts";
import {
  operationsMax,
  type OperationResult,
  type Transaction,
} from "../../server/state-machine/transaction.ts";
import { Random } from "../raft/random.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const none = new Uint8Array(0);
const header = { origin: nodeId(0xfffffffe), session: 0xdeadbeef, sequence: 0xffffffff };

const put = (key: string, value: Uint8Array, contentType: string | null = null): PlainCommand => ({
  op: "put",
  key,
  value,
  contentType,
});

const once = (command: PlainCommand): Command => ({
  op: "once",
  requestKey: "order 42",
  fingerprint: new Uint8Array(fingerprintBytes).fill(9),
  command,
});

function assertRefused(data: Uint8Array, what: string): void {
  const decoded = decodeCommand(data);
  assert.is(decoded.op, "refused", what);
  if (decoded.op === "refused") assert.ok(decoded.detail.length > 10);
}

/** Lengths at which the form of a field changes, and the greatest allowed. */
const keyLengths = [1, 31, 32, 255, 256, keyBytesMax];
const valueLengths = [0, 1, 255, 256, 65_535, 65_536, valueBytesMax];
const typeLengths = [0, 1, 31, 32, contentTypeBytesMax];

test("a put comes back as it was, at every length", () => {
  const commands = [
    ...keyLengths.map((length) => put("k".repeat(length), utf8("v"), "text/plain")),
    ...valueLengths.map((length) => put("k", new Uint8Array(length).fill(7))),
    ...typeLengths.map((length) => put("k", none, "t".repeat(length))),
  ];
  for (const command of commands) {
    // uvu compares large arrays byte by byte in a slow way.
    const decoded = decodeCommand(encodeCommand(command));
    if (decoded.op !== "put" || command.op !== "put") throw new Error("a put decodes to a put");
    assert.is(decoded.key, command.key);
    assert.is(decoded.contentType, command.contentType);
    assert.is(Buffer.compare(decoded.value, command.value), 0);
  }
});

test("a delete comes back as it was, at every length", () => {
  for (const length of keyLengths) {
    const command: Command = { op: "delete", key: "k".repeat(length) };
    assert.equal(decodeCommand(encodeCommand(command)), command);
  }
});

test("keys of every plane and with every name come back", () => {
  for (const key of [
    "é",
    "\u{feff}k",
    "\u{ffff}",
    "😀",
    "\u{10ffff}",
    "__proto__",
    "../x",
    "\u{1}",
  ]) {
    assert.equal(decodeCommand(encodeCommand({ op: "delete", key })), { op: "delete", key });
  }
});

test("no content type and an empty one are two things", () => {
  const types = [null, ""].map((type) => decodeCommand(encodeCommand(put("k", none, type))));
  assert.equal(types, [put("k", none, null), put("k", none, "")]);
});

test("the bytes are MessagePack that any library reads", () => {
  assert.equal(decode(encodeCommand(put("key", utf8("value"), "a/b"))), [
    1,
    "key",
    utf8("value"),
    "a/b",
  ]);
  assert.equal(decode(encodeCommand(put("k", none))), [1, "k", none, null]);
  assert.equal(decode(encodeCommand({ op: "delete", key: "k" })), [2, "k"]);
});

test("limits are those of the command, one byte more is refused", () => {
  assertRefused(encodeCommand(put("k".repeat(keyBytesMax + 1), none)), "a long key");
  assertRefused(encodeCommand({ op: "delete", key: "k".repeat(keyBytesMax + 1) }), "a long key");
  assertRefused(encodeCommand({ op: "delete", key: "é".repeat(keyBytesMax / 2 + 1) }), "in bytes");
  assertRefused(encodeCommand(put("k", new Uint8Array(valueBytesMax + 1))), "a long value");
  assertRefused(encodeCommand(put("k", none, "t".repeat(contentTypeBytesMax + 1))), "a long type");
});

test("an empty key and one with NUL are refused", () => {
  for (const key of ["", "\0", "a\0b", "a\0"]) {
    assertRefused(encodeCommand({ op: "delete", key }), JSON.stringify(key));
    assertRefused(encodeCommand(put(key, none)), JSON.stringify(key));
  }
});

test("every other shape is refused", () => {
  const shapes: unknown[] = [
    ...[null, true, 1, -1, 1.5, "text", utf8("bytes"), {}, { op: "put" }, new Date(0)],
    ...[[], [1], [2], [0, "k"], [3, "k"], [1, "k"], [2, "k", none, null], [2, "k", null]],
    ...[
      [1, "k", none],
      [1, "k", none, null, null],
      [1, none, none, null],
      [1, "k", "v", null],
    ],
    ...[
      [1, "k", null, null],
      [1, "k", none, 1],
      [1, "k", none, none],
      [1, 1, none, null],
    ],
    ...[
      [2, null],
      [2, 1],
      [2, none],
      [2, ["k"]],
      ["1", "k"],
      [1.5, "k", none, null],
    ],
  ];
  for (const shape of shapes) assertRefused(encode(shape), JSON.stringify(shape));
});

test("a command cut at any byte is refused, and so is one with a byte too many", () => {
  for (const command of [put("key", utf8("value"), "a/b"), { op: "delete", key: "key" } as const]) {
    const data = encodeCommand(command);
    for (let length = 0; length < data.byteLength; length++) {
      assertRefused(data.subarray(0, length), `cut at ${length}`);
    }
    assertRefused(Uint8Array.from([...data, 0xc0]), "a byte too many");
  }
});

test("text that is not UTF-8 is refused", () => {
  const wrong = [[0xff], [0xc3], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80]];
  for (const bytes of wrong) {
    const data = Uint8Array.from([0x92, 2, 0xd9, bytes.length, ...bytes]);
    assertRefused(data, bytes.map((byte) => byte.toString(16)).join(" "));
  }
});

test("lengths beyond the bytes, and nests of arrays, are refused at once", () => {
  const huge = [0xff, 0xff, 0xff, 0xff];
  const bombs = [
    [0x92, 2, 0xdb, ...huge],
    [0x94, 1, 0xd9, 1, 0x6b, 0xc6, ...huge],
    [0xdd, ...huge],
    [0xdf, ...huge],
    [0xc9, ...huge, 0],
    [0x94, 1, 0xdd, ...huge],
  ];
  for (const bomb of bombs) assertRefused(Uint8Array.from(bomb), bomb.join(" "));
  assertRefused(new Uint8Array(1 << 20).fill(0x91), "nested arrays");
  assertRefused(new Uint8Array(1 << 20).fill(0x94), "nested arrays of four");
  assertRefused(new Uint8Array(1 << 20).fill(0x81), "nested maps");
});

test("whatever bytes come, decoding does not throw", () => {
  // Lehmer's generator: the same bytes in every run.
  let seed = 20_240;
  const draw = (below: number): number => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  const sound = [
    encodeCommand(put("key", utf8("value"), "a/b")),
    encodeCommand({ op: "delete", key: "k" }),
    encodeCommand(once(put("key", utf8("value"), null))),
  ];
  for (let round = 0; round < 20_000; round++) {
    const data = (sound[round % sound.length] ?? none).slice();
    for (let changes = 1 + draw(4); changes > 0; changes--) data[draw(data.byteLength)] = draw(256);
    const decoded = decodeCommand(data);
    if (decoded.op === "refused") continue;
    if (decoded.op === "once") assert.match(decoded.requestKey, /^[ -~]+$/);
    const plain = decoded.op === "once" ? decoded.command : decoded;
    if (plain.op === "transaction" || plain.op === "expire") continue;
    assert.ok(plain.key !== "" && !plain.key.includes("\0"));
  }
});

test("a command that is done once comes back with its key and its fingerprint", () => {
  for (const plain of [
    put("k", utf8("v"), "text/plain"),
    { op: "delete", key: "k" } as const,
    transaction,
  ]) {
    const command = once(plain);
    const data = encodeCommand(command);
    assert.equal(decodeCommand(data), command);
    for (let end = 0; end < data.byteLength; end++) assertRefused(data.subarray(0, end), `${end}`);
    assertRefused(Uint8Array.of(...data, 0), "one byte too many");
    assertRefused(encodeCommand(once(command as PlainCommand)), "once within once");
    assert.is(takesRoom(data), takesRoom(encodeCommand(plain)));
  }
  assertRefused(encodeCommand({ ...once(put("k", none)), requestKey: "" } as Command), "no key");
  const short = { ...once(put("k", none)), fingerprint: none } as Command;
  assertRefused(encodeCommand(short), "no fingerprint");
});

const range = { start: "a", end: "b\u{10ffff}" };

const transaction: Transaction = {
  op: "transaction",
  conditions: [
    { kind: "exists", key: "k", not: true },
    { kind: "revision", key: "k", not: false, revision: Number.MAX_SAFE_INTEGER },
    { kind: "createRevision", key: "ä", not: false, revision: 0 },
    { kind: "value", key: "k", not: true, value: utf8("v") },
    { kind: "holder", key: "lock/a", not: false, token: 0 },
    { kind: "holder", key: "lock/a", not: true, token: 77 },
  ],
  then: [
    { op: "put", key: "k", value: utf8("value"), contentType: "a/b" },
    { op: "put", key: "k", value: none, contentType: null },
    { op: "delete", key: "k" },
    { op: "get", key: "k" },
    { op: "getdel", key: "k" },
    { op: "revision", key: "k" },
    { op: "deleteRange", range, limit: null },
    { op: "deleteRange", range, limit: 7 },
    { op: "range", range: { start: "", end: afterEveryKey }, limit: 10_000 },
  ],
  otherwise: [
    { op: "incr", key: "k", by: -(2n ** 63n), min: null, max: 2n ** 63n - 1n },
    { op: "incr", key: "k", by: 255n, min: -1n, max: null },
    { op: "max", key: "k", value: -1n },
    { op: "min", key: "k", value: 256n },
    { op: "append", key: "k", value: utf8("end") },
    { op: "put", key: "k", value: utf8("v"), contentType: null, lease: 7 },
    { op: "put", key: "k", value: none, contentType: "a/b", ttlMs: 7 },
    { op: "leaseGrant", ttlMs: 1 },
    { op: "leaseRenew", lease: 8 },
    { op: "leaseRevoke", lease: 2 ** 40 },
    { op: "join", key: "lock/a", value: none, lease: null, ttlMs: 5, waits: false },
    { op: "join", key: "election/ä", value: utf8("me"), lease: 3, ttlMs: 1, waits: true },
    { op: "leave", key: "lock/a", token: 9 },
    { op: "setValue", key: "election/ä", token: 9, value: utf8("you") },
  ],
};

test("the results of all operations on leases and queues come back as they were", () => {
  const results: readonly OperationResult[] = [
    { op: "leaseGrant", lease: index(7) },
    { op: "leaseRenew", ttlMs: 1_000 },
    { op: "leaseRevoke", deleted: 3 },
    { op: "join", token: index(9), lease: 7, isFirst: true },
    { op: "join", token: null, lease: null, isFirst: false },
    { op: "leave", left: true },
    { op: "leave", left: false },
    { op: "setValue", revision: index(2 ** 40) },
    { op: "get", row: rowOf(leased, { revision: index(9), createRevision: index(8) }) },
  ];
  const transacted = { op: "transaction", succeeded: true, results, revision: index(9) } as const;
  assert.equal(decodeResult(encodeResult(transacted)), transacted);
  const failed = { op: "failed", code: "not_found", detail: "gone", position: 1 } as const;
  assert.equal(decodeResult(encodeResult(failed)), failed);
});

const leased = { key: "k", value: utf8("v"), contentType: null, lease: 7 };

test("a transaction comes back as it was, with every kind of condition and operation", () => {
  assert.equal(decodeCommand(encodeCommand(transaction)), transaction);
  const empty: Command = { op: "transaction", conditions: [], then: [], otherwise: [] };
  assert.equal(decodeCommand(encodeCommand(empty)), empty);
});

test("a transaction that is cut short, too long or too large is refused", () => {
  const whole = encodeCommand(transaction);
  for (let length = 0; length < whole.byteLength; length++) {
    assertRefused(whole.subarray(0, length), `cut at ${length}`);
  }
  assertRefused(Buffer.concat([whole, new Uint8Array(1)]), "a byte too many");
  const get = { op: "get", key: "k" } as const;
  const many = (count: number): Command => ({
    op: "transaction",
    conditions: [],
    then: Array.from({ length: count }, () => get),
    otherwise: [],
  });
  assert.is(decodeCommand(encodeCommand(many(operationsMax))).op, "transaction");
  assertRefused(encodeCommand(many(operationsMax + 1)), "too many operations");
});

test("a transaction with random bytes in it is another one or refused, and never without a key", () => {
  const whole = encodeCommand(transaction);
  const random = new Random(7);
  for (let round = 0; round < 20_000; round++) {
    const data = whole.slice();
    for (let changes = 1 + random.below(4); changes > 0; changes--) {
      data[random.below(data.byteLength)] = random.below(256);
    }
    const decoded = decodeCommand(data);
    if (decoded.op !== "transaction") continue;
    const keys = [...decoded.conditions, ...decoded.then, ...decoded.otherwise].flatMap((part) =>
      "key" in part ? [part.key] : [],
    );
    assert.ok(keys.every((key) => key !== "" && !key.includes("\0")));
  }
});

test("a command behind its header comes back with it", () => {
  const command = encodeCommand(put("key", utf8("value")));
  const data = frameCommand(header, command);
  assert.is(data.byteLength, commandHeaderBytes + command.byteLength);
  assert.equal(readCommandHeader(data), header);
  assert.equal(commandBytes(data), command);
});

test("a header is read from within a larger buffer", () => {
  const data = frameCommand(header, utf8("command"));
  const larger = Uint8Array.from([9, 9, 9, ...data, 9]);
  const view = larger.subarray(3, 3 + data.byteLength);
  assert.equal(readCommandHeader(view), header);
  assert.equal(commandBytes(view), utf8("command"));
});

test("the header's bytes are fixed", () => {
  const data = frameCommand({ origin: nodeId(1), session: 2, sequence: 3 }, none);
  assert.equal([...data], [1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]);
});

test("a header of another machine, version or length is none", () => {
  const data = frameCommand(header, none);
  for (const offset of [0, 1, 2, 3]) {
    const other = data.slice();
    other[offset] = 7;
    assert.is(readCommandHeader(other), null, `byte ${offset}`);
  }
  for (let length = 0; length < commandHeaderBytes; length++) {
    assert.is(readCommandHeader(data.subarray(0, length)), null);
  }
});

test.run();
