/** How much is kept of the keys that were written last. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { RowVersions } from "../../storage/row-versions.ts";

/** How many of `count` keys, each so long, are known afterwards. */
function known(count: number, keyLength: number): number {
  const versions = new RowVersions();
  const keys = Array.from({ length: count }, (_, i) => String(i).padStart(keyLength, "k"));
  for (const key of keys) versions.set(key, null);
  return keys.filter((key) => versions.get(key) !== undefined).length;
}

test("short keys are bounded in number, long ones by their length", () => {
  const short = known(200_000, 20);
  assert.ok(short >= 1 << 15 && short <= 1 << 16, `${short} short keys`);
  const long = known(10_000, 2_048);
  assert.ok(long >= 1_024 && long <= 2_048, `${long} long keys`);
});

test.run();
