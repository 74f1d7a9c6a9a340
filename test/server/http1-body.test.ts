/** Bodies put together from pieces of any size. */

import { Buffer } from "node:buffer";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  type BodyReader,
  type BodyStep,
  ChunkedReader,
  LengthReader,
} from "../../server/listen/http1-body.ts";

const more: BodyStep = { state: "more" };

/** Feeds `text` in pieces of `size` bytes until the reader has made up its mind. */
function feed(reader: BodyReader, text: string, size: number): { step: BodyStep; rest: string } {
  const bytes = Buffer.from(text, "latin1");
  let step: BodyStep = more;
  let at = 0;
  while (at < bytes.byteLength && step.state === "more") {
    step = reader.push(bytes.subarray(at, at + size));
    at += size;
  }
  const rest = step.state === "complete" ? step.rest.toString("latin1") : "";
  return { step, rest: rest + bytes.subarray(at).toString("latin1") };
}

function bodyIn(reader: BodyReader, text: string, size: number): { body: string; rest: string } {
  const { step, rest } = feed(reader, text, size);
  if (step.state !== "complete") throw new Error(`${step.state} for ${JSON.stringify(text)}`);
  return { body: Buffer.from(step.body).toString("latin1"), rest };
}

const sizes = [1, 2, 3, 7, 1_000_000];

test("a body of known length ends where it ends, and what follows is given back", () => {
  for (const size of sizes) {
    assert.equal(bodyIn(new LengthReader(5), "helloGET /", size), { body: "hello", rest: "GET /" });
  }
});

test("a large body of known length comes whole", () => {
  const text = "0123456789".repeat(100_000);
  const { body } = bodyIn(new LengthReader(text.length), text, 60_001);
  assert.ok(body === text);
});

test("chunks are put together, whatever pieces they come in", () => {
  const text = '5\r\nhello\r\n00001;name="value"\r\n,\r\n6 \r\n\r\nyou!\r\n0\r\n\r\nGET /';
  for (const size of sizes) {
    const expected = { body: "hello,\r\nyou!", rest: "GET /" };
    assert.equal(bodyIn(new ChunkedReader(100), text, size), expected, `pieces of ${size}`);
  }
});

test("trailers are read and dropped", () => {
  const text = "1\r\nx\r\n0\r\nExpires: never\r\nX-Sum: 1\r\n\r\nrest";
  for (const size of sizes) {
    assert.equal(bodyIn(new ChunkedReader(1), text, size), { body: "x", rest: "rest" });
  }
});

test("an empty chunked body is empty", () => {
  assert.equal(bodyIn(new ChunkedReader(0), "0\r\n\r\n", 1), { body: "", rest: "" });
});

test("a chunked body stops being read where it grows too large, before the bytes come", () => {
  for (const text of ["65\r\n", "64\r\n" + "x".repeat(100) + "\r\n1\r\n", "ffffffff\r\n"]) {
    for (const size of sizes) {
      assert.equal(feed(new ChunkedReader(100), text, size).step, { state: "tooLarge" }, text);
    }
  }
});

test("malformed chunks are refused", () => {
  const malformed = [
    "zz\r\n",
    "-5\r\nhello\r\n",
    "0x5\r\nhello\r\n",
    "+5\r\n",
    "\r\n",
    " 5\r\n",
    "123456789\r\n",
    "5\nhello\n",
    "5\r\nhello0\r\n\r\n",
    "5\r\nhello\n",
    "5\r\nhello\rx",
    "5;a\nb\r\nhello\r\n",
    "5;a\0b\r\n",
    `5;${"x".repeat(2_000)}\r\n`,
    "0\r\nno colon\r\n\r\n",
    "0\r\nX: a\0b\r\n\r\n",
    "0\r\nX: y\n\r\n",
    `0\r\n${"X: yyyyyyyyyyyyyy\r\n".repeat(400)}\r\n`,
  ];
  for (const text of malformed) {
    for (const size of sizes) {
      const { step } = feed(new ChunkedReader(100), text, size);
      assert.is(step.state, "malformed", `${JSON.stringify(text.slice(0, 40))} by ${size}`);
    }
  }
});

test("what is not complete waits for more", () => {
  for (const text of [
    "5",
    "5\r",
    "5\r\nhell",
    "5\r\nhello\r",
    "0\r\n",
    "0\r\nX: y\r\n",
    "0\r\n\r",
  ]) {
    for (const size of sizes) assert.equal(feed(new ChunkedReader(9), text, size).step, more, text);
  }
});

test.run();
