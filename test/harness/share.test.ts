/** That the shares of all runs together are the whole, and none is there twice. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { type shared, type sharedPlaces, shareOf } from "./share.ts";

interface Sharing {
  readonly shared: typeof shared;
  readonly sharedPlaces: typeof sharedPlaces;
}

/** As a run with that environment has it. */
async function sharing(share?: string): Promise<Sharing> {
  const before = process.env["KV_SHARE"];
  if (share === undefined) delete process.env["KV_SHARE"];
  else process.env["KV_SHARE"] = share;
  try {
    // It looks at the environment once, as it is loaded.
    const path = `./share.ts?${share}`;
    return (await import(path)) as Sharing;
  } finally {
    if (before === undefined) delete process.env["KV_SHARE"];
    else process.env["KV_SHARE"] = before;
  }
}

test("three shares are the whole", async () => {
  const found: number[] = [];
  for (let position = 0; position < 3; position++) {
    const { shared } = await sharing(shareOf(position, 3).KV_SHARE);
    const own = [...shared(8, 5)];
    assert.ok(own.length === 2 || own.length === 3, own.join(", "));
    found.push(...own);
  }
  assert.equal(
    found.sort((a, b) => a - b),
    [5, 6, 7, 8, 9, 10, 11, 12],
  );
});

test("without a share a run takes all", async () => {
  const { shared, sharedPlaces } = await sharing();
  assert.equal([...shared(4)], [0, 1, 2, 3]);
  assert.equal([...sharedPlaces(26, 13)], [0, 13]);
  assert.equal([...sharedPlaces(27, 13)], [0, 13, 26]);
});

test("places are shared as numbers are", async () => {
  const { sharedPlaces } = await sharing("2/3");
  assert.equal([...sharedPlaces(60, 13)], [13, 52]);
});

test.run();
