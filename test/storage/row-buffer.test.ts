/** Rows that wait: found by key, and read in order whatever order they came in. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { afterEveryKey, compareKeys } from "../../server/state-machine/key-range.ts";
import { RowBuffer } from "../../storage/row-buffer.ts";
import { Random } from "../raft/random.ts";

// UTF-16 would put the second before the first.
const odd = ["\u{fffd}", "\u{1f600}", "é", "z", "A"];

test("keys come in the order of a scan, of any range, in both directions, at any time", () => {
  const random = new Random(3);
  const buffer = new RowBuffer();
  const keys: string[] = [];
  for (let i = 0; i < 6_000; i++) {
    const key = `${random.pick(odd)}${random.below(1_000_000)}`;
    if (buffer.get(key) === undefined) {
      buffer.add(key, { stored: null, rowid: 0, row: null, checksum: 0 });
      keys.push(key);
    }
    if (random.below(i < 50 ? 2 : 500) !== 0) continue;
    const [start, end] = [random.pick([...odd, ""]), random.pick([...odd, afterEveryKey])];
    const within = keys.filter((k) => compareKeys(k, start) >= 0 && compareKeys(k, end) < 0);
    const ordered = within.sort(compareKeys);
    const found = (reverse: boolean): string[] =>
      [...buffer.within({ start, end }, reverse)].map(([k]) => k);
    assert.equal(found(false), ordered);
    assert.equal(found(true), ordered.toReversed());
  }
  assert.is(buffer.size, keys.length);
});

test.run();
