/** Connections leave descriptors for the disk. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { connectionsWithin } from "../../cmd/descriptors.ts";

test("as many connections as wanted, or as the descriptors allow", () => {
  assert.is(connectionsWithin(10_000, 1 << 20), 10_000);
  assert.is(connectionsWithin(10_000, 1_024), 896);
  assert.is(connectionsWithin(10_000, 100), 16);
  assert.is(connectionsWithin(10_000, null), 10_000);
});

test.run();
