/** Heads of requests: what is taken, and all that is refused. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Head, parseHead } from "../../server/listen/http1-head.ts";

function headOf(text: string): Head {
  const parsed = parseHead(text);
  if (!parsed.ok) throw new Error(`${parsed.detail}: ${JSON.stringify(text)}`);
  return parsed.head;
}

const withFields = (...fields: readonly string[]): string =>
  ["PUT /v1/kv/k HTTP/1.1", "Host: localhost", ...fields].join("\r\n");

function assertRefused(text: string, detail: RegExp): void {
  const parsed = parseHead(text);
  assert.is(parsed.ok, false, JSON.stringify(text));
  if (!parsed.ok) assert.match(parsed.detail, detail, JSON.stringify(text));
}

test("the first line is told as it came", () => {
  const { method, target } = headOf(withFields());
  assert.equal([method, target], ["PUT", "/v1/kv/k"]);
  for (const raw of ["/v1/kv/a/%2e%2e/b", "/a/../b//c", "*", "http://x/y", "/?a=%zz&b", "/\xe4"]) {
    assert.is(headOf(`GET ${raw} HTTP/1.1\r\nHost: x`).target, raw);
  }
});

test("a first line that is none is refused", () => {
  const lines = [
    "",
    "GET",
    "GET /",
    "GET / HTTP/2.0",
    "GET / HTTP/1.2",
    "GET / HTTP/9.9",
    "GET / http/1.1",
    "GET / HTTP/1.1 ",
    " GET / HTTP/1.1",
    "GET  / HTTP/1.1",
    "GET /a b HTTP/1.1",
    "GET\t/ HTTP/1.1",
    "G(T / HTTP/1.1",
    "\x16\x03\x01\x02",
  ];
  for (const line of lines) assertRefused(`${line}\r\nHost: localhost`, /./);
});

test("header names have no case, and values no margins", () => {
  const { headers } = headOf(withFields("X-One:  a b \t", "x-TWO:", "X-Three: \xe4"));
  assert.is(headers.get("x-one"), "a b");
  assert.is(headers.get("X-Two"), "");
  assert.is(headers.get("x-three"), "\xe4");
  assert.is(headers.get("x-four"), null);
  assert.equal([headers.has("X-ONE"), headers.has("x-four")], [true, false]);
});

test("several headers of one name are joined", () => {
  const { headers } = headOf(withFields("If-None-Match: a", "X: y", "if-none-match: b"));
  assert.is(headers.get("if-none-match"), "a, b");
  assert.equal([...headers].length, 4);
});

test("headers that are none are refused", () => {
  const fields = [
    "no colon",
    ": no name",
    "Name : value",
    "Na me: value",
    " folded: value",
    "\tfolded",
    "N\xe4me: value",
    "X: a\0b",
    "X: a\x7fb",
    "X: a\x0bb",
    "X: a\rb",
    "X: a\nb",
  ];
  for (const field of fields) assertRefused(withFields(field), /./);
  assertRefused(withFields(...Array.from({ length: 100 }, (_, i) => `X-${i}: y`)), /more than 100/);
});

test("there is one Host, in either version", () => {
  assertRefused("GET / HTTP/1.1", /Host/);
  assertRefused("GET / HTTP/1.0\r\nX: y", /Host/);
  assertRefused(withFields("Host: localhost"), /Host/);
});

test("a length is decimal digits, once", () => {
  assert.is(headOf(withFields()).body, 0);
  assert.is(headOf(withFields("Content-Length: 0")).body, 0);
  assert.is(headOf(withFields("Content-Length: 0017")).body, 17);
  for (const text of ["-1", "+1", "1e3", "0x5", "1.0", "", "5, 5", "5 5", "18446744073709551621"]) {
    assertRefused(withFields(`Content-Length: ${text}`), /Content-Length/);
  }
  assertRefused(withFields("Content-Length: 5", "Content-Length: 5"), /Content-Length/);
});

test("the only transfer coding is chunked, without a length, in HTTP/1.1", () => {
  assert.is(headOf(withFields("Transfer-Encoding: chunked")).body, "chunked");
  assert.is(headOf(withFields("transfer-encoding: CHUNKED")).body, "chunked");
  for (const coding of ["xchunked", "chunked, identity", "gzip, chunked", "identity", ""]) {
    assertRefused(withFields(`Transfer-Encoding: ${coding}`), /transfer coding/);
  }
  const twice = withFields("Transfer-Encoding: chunked", "Transfer-Encoding: chunked");
  assertRefused(twice, /transfer coding/);
  assertRefused(withFields("Transfer-Encoding: chunked", "Content-Length: 5"), /both/);
  assertRefused("PUT / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked", /transfer coding/);
});

test("a connection is kept in HTTP/1.1 unless its client wants no more", () => {
  assert.is(headOf(withFields()).isKeepAlive, true);
  assert.is(headOf(withFields("Connection: keep-alive, Upgrade")).isKeepAlive, true);
  assert.is(headOf(withFields("Connection: Close")).isKeepAlive, false);
  assert.is(headOf(withFields("Connection: x,close")).isKeepAlive, false);
  assert.is(headOf("GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive").isKeepAlive, false);
});

test("100-continue is understood where a body follows, other expectations are not", () => {
  const expecting = (...fields: string[]): boolean =>
    headOf(withFields("Expect: 100-Continue", ...fields)).awaitsContinue;
  assert.is(expecting("Content-Length: 5"), true);
  assert.is(expecting("Transfer-Encoding: chunked"), true);
  assert.is(expecting(), false);
  assertRefused(withFields("Expect: miracles"), /expects/);
});

test.run();
