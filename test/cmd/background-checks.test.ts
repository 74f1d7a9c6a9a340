/** How fast rows are looked at that nobody asks for. */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { BackgroundChecks } from "../../cmd/background-checks.ts";
import { VirtualTime } from "../server/simulated-nodes.ts";

const seconds = 1_000;

/** Bytes a second, of rows of one size that are read until the limit is reached or passed. */
function pace(rowBytes: number): number {
  const time = new VirtualTime();
  let bytes = 0;
  const checks = new BackgroundChecks({
    clock: time.clock(),
    log: { scrub: () => "done" },
    machine: {
      verify: (bytesMax) => {
        const rows = Math.ceil(bytesMax / rowBytes);
        bytes += rows * rowBytes;
        return { bytes: rows * rowBytes, isEnd: false };
      },
    },
    failed: (error) => {
      throw error;
    },
  });
  time.run(1_000 * seconds);
  checks.stop();
  return bytes / seconds;
}

for (const rowBytes of [100, 1_100, 300_000, 1 << 20]) {
  test(`rows of ${rowBytes} bytes are read at one pace on average`, () => {
    const allowed = 64 << 10;
    const read = pace(rowBytes);
    assert.ok(read > 0.95 * allowed && read < 1.05 * allowed, `${read} bytes a second`);
  });
}

test.run();
