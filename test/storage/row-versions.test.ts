/** What is kept of the keys that were written last, and how much. */

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
  assert.ok(short >= 100_000 && short <= 120_000, `${short} short keys`);
  const long = known(10_000, 2_048);
  assert.ok(long >= 2_500 && long <= 3_072, `${long} long keys`);
});

test("a version comes back to the last digit, a newer one in place of it, and so does that there is none", () => {
  const versions = new RowVersions();
  const version = { checksum: 2 ** 32 - 1, revision: 2 ** 53 - 1, createRevision: 2 ** 53 - 2 };
  assert.is(versions.get("k"), undefined);
  versions.set("k", version);
  assert.equal(versions.get("k"), version);
  versions.set("k", null);
  assert.is(versions.get("k"), null);
  versions.set("k", { ...version, checksum: 0, revision: 1 });
  assert.equal(versions.get("k"), { checksum: 0, revision: 1, createRevision: 2 ** 53 - 2 });
  versions.clear();
  assert.is(versions.get("k"), undefined);
});

test.run();
