/** That the shares of all runs together are the whole, and none is there twice. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { shareOf, type shared } from "./share.ts";

/** The numbers of a run with that environment. */
async function numbers(share: string | undefined, count: number, first: number): Promise<number[]> {
  const before = process.env["KV_SHARE"];
  if (share === undefined) delete process.env["KV_SHARE"];
  else process.env["KV_SHARE"] = share;
  try {
    // It looks at the environment once, as it is loaded.
    const path = `./share.ts?${share}`;
    const loaded = (await import(path)) as { shared: typeof shared };
    return [...loaded.shared(count, first)];
  } finally {
    if (before === undefined) delete process.env["KV_SHARE"];
    else process.env["KV_SHARE"] = before;
  }
}

test("three shares are the whole", async () => {
  const found: number[] = [];
  for (let position = 0; position < 3; position++) {
    const own = await numbers(shareOf(position, 3).KV_SHARE, 8, 5);
    assert.ok(own.length === 2 || own.length === 3, own.join(", "));
    found.push(...own);
  }
  assert.equal(
    found.sort((a, b) => a - b),
    [5, 6, 7, 8, 9, 10, 11, 12],
  );
});

test("without a share a run takes all", async () => {
  assert.equal(await numbers(undefined, 4, 0), [0, 1, 2, 3]);
});

test.run();
