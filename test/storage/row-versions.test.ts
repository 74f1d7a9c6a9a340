/** What is kept of the keys that were written last, and how much. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { RowVersions } from "../../storage/row-versions.ts";

/** How many of `count` keys, each so long, are known afterwards. */
function known(count: number, keyLength: number): number {
  const versions = new RowVersions();
  const keys = Array.from({ length: count }, (_, i) => String(i).padStart(keyLength, "k"));
  for (const key of keys) versions.set(key, null, 0);
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
  const revisions = { revision: 2 ** 53 - 1, createRevision: 2 ** 53 - 2 };
  const version = { checksum: 2 ** 32 - 1, ...revisions };
  assert.is(versions.get("k"), undefined);
  versions.set("k", version, 2 ** 32 - 1);
  assert.equal(versions.get("k"), { ...version, rowid: 2 ** 32 - 1 });
  versions.set("k", null, 0);
  assert.is(versions.get("k"), null);
  const other = { checksum: 0, revision: 1, createRevision: 2 };
  versions.set("k", other, 7);
  assert.equal(versions.get("k"), { ...other, rowid: 7 });
  versions.clear();
  assert.is(versions.get("k"), undefined);
});

test("a rowid that is too large to be kept is not known", () => {
  const versions = new RowVersions();
  const version = { checksum: 1, revision: 2, createRevision: 1 };
  versions.set("k", version, 2 ** 32 + 5);
  assert.equal(versions.get("k"), { ...version, rowid: 0 });
});

test.run();
