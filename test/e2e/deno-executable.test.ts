/** `deno compile` makes a working executable too, and it is a member like any other. */

import { spawnSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { skipped } from "../harness/skipped.ts";
import { Cluster } from "./cluster.ts";
import { denoExecutable, root } from "./executable.ts";
import { scenario } from "./scope.ts";

const buildMs = 100_000;

/** Builds it anew. Returns why it cannot be built here; throws where the project is to blame. */
function build(): string | null {
  rmSync(denoExecutable, { force: true });
  const built = spawnSync("npm", ["run", "--silent", "build:deno"], {
    cwd: root,
    encoding: "utf8",
    timeout: buildMs,
    env: { ...process.env, NO_COLOR: "1" },
  });
  if (built.status === 0) {
    assert.ok(existsSync(denoExecutable), "the build leaves the executable");
    return null;
  }
  // Deno fetches what its executables are based on, once; not every machine can.
  assert.match(built.stderr, /Setting up base binary/, built.stdout + built.stderr);
  const why = /error sending request[^\n]*/i.exec(built.stderr)?.[0] ?? built.stderr.trim();
  return `deno compile cannot fetch its base here: ${why}`;
}

scenario("the executable made by Deno serves beside those made by Bun", async (scope) => {
  const reason = build();
  if (reason !== null) return skipped(reason);
  const cluster = await Cluster.start(scope, { forms: ["deno executable"] });
  for (const writer of cluster.nodes) {
    await writer.mustPut("from", `node ${writer.id}`);
    for (const reader of cluster.nodes) {
      assert.is((await reader.get("from")).text, `node ${writer.id}`);
    }
  }
  await cluster.node(1).kill();
  cluster.node(1).start();
  await cluster.whole();
  await cluster.assertSameState();
  await cluster.node(1).stop();
});

test.run();
