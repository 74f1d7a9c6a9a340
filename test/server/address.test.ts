/** What an address may be, wherever it comes from. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { formatAddress, parseAddress } from "../../server/address.ts";

const refused = [
  "",
  "a",
  ":1",
  "a:",
  "a:0",
  "a:65536",
  "a:01",
  "a:1 ",
  " a:1",
  "a/b:1",
  "a=b:1",
  "a,b:1",
  "::1:80",
  "[::::]:1000",
  "[127.0.0.1]:80",
  "[::1]80",
  "[fe80::1%eth0]:80",
  "[]:80",
  "\u0001:80",
  "ü:80",
  "漢:80",
  `${"a".repeat(254)}:80`,
];
for (const text of refused) {
  test(`${JSON.stringify(text.slice(0, 40))} is no address`, () => {
    assert.is(parseAddress(text), null);
  });
}

const taken: [string, string, number][] = [
  ["127.0.0.1:1", "127.0.0.1", 1],
  ["localhost:65535", "localhost", 65_535],
  ["node-1.example_zone.org:8001", "node-1.example_zone.org", 8001],
  ["[::1]:8001", "::1", 8001],
  ["[::ffff:127.0.0.1]:8001", "::ffff:127.0.0.1", 8001],
  [`${"a".repeat(253)}:65535`, "a".repeat(253), 65_535],
];
for (const [text, host, port] of taken) {
  test(`${text.slice(0, 40)} is host and port, and is written the same again`, () => {
    assert.equal(parseAddress(text), { host, port });
    assert.is(formatAddress({ host, port }), text);
  });
}

test.run();
