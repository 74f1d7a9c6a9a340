/** What each node gathers before it writes: as much as any other, and not in step with any. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { defaultLimits, gatheringOf } from "../../server/limits.ts";

test("no two of seven nodes gather the same, and none much less than it may", () => {
  for (const limit of ["commitBytes", "commitPages"] as const) {
    const most = defaultLimits[limit];
    const each = [1, 2, 3, 4, 5, 6, 7].map((id) => gatheringOf(id)[limit]).sort((a, b) => a - b);
    assert.ok(
      each.every((value) => Number.isInteger(value) && value >= 0.8 * most && value <= most),
    );
    const steps = each.slice(1).map((value, at) => value - (each[at] ?? 0));
    assert.ok(Math.min(...steps) > most / 60, each.join(", "));
  }
});

test("the identity of a node that comes later changes nothing in that", () => {
  for (const id of [1, 100, 2 ** 31, Number.MAX_SAFE_INTEGER]) {
    assert.ok(gatheringOf(id).commitBytes >= 0.8 * defaultLimits.commitBytes, `${id}`);
  }
});

test.run();
