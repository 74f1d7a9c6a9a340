/** Damaged files: the node refuses and names the file, or heals. It never serves what is wrong. */

import { rmSync } from "node:fs";
import { basename, dirname } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Cluster, type ClusterNode, formationMs } from "./cluster.ts";
import { NoAnswer } from "./http.ts";
import {
  cut,
  databaseFile,
  filesOf,
  flip,
  flipAll,
  hardStateFile,
  keepCopy,
  logFile,
  offsetsOf,
  usedBytes,
} from "./node-files.ts";
import { scenario, shared } from "./scope.ts";
import { throughout, until } from "./wait.ts";

const rows = 200;
const damagedExitCode = 4;

const valueOf = (row: number): string => `value-${row}-${"v".repeat(400)}-end-${row}`;

let copies = "";

const cluster = shared(async (scope) => {
  copies = scope.temporaryDirectory();
  const started = await Cluster.start(scope);
  for (let row = 0; row < rows; row++) await started.node(1).mustPut(`row-${row}`, valueOf(row));
  await started.assertSameState();
  return started;
});

/** Whatever the node answers about a row, it is not wrong. */
async function assertNotWrong(node: ClusterNode, row: number): Promise<void> {
  for (const level of [undefined, "local"] as const) {
    try {
      const answer = await node.get(`row-${row}`, level);
      if (answer.status === 200) assert.is(answer.text, valueOf(row), `row ${row}, ${level}`);
      // A node that is still catching up may lack the row, but says so only to who asks it alone.
      else if (level === undefined) assert.is.not(answer.status, 404, `row ${row} is not there`);
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
    }
  }
}

function assertRefusal(node: ClusterNode, file: string): void {
  const { process } = node;
  const told = `${JSON.stringify(process.ending)}\n${process.stderr}`;
  assert.is(process.ending?.code, damagedExitCode, told);
  const naming = process.errorLines.filter((line) => line.includes(file));
  assert.ok(naming.length > 0, `names ${file}: ${told}`);
  assert.not.match(process.stderr, /^\s+at /m);
}

/**
 * Stops a follower, damages it and starts it. It must refuse with a line that names the file, or come
 * back equal to the others; `healing: false` where there is nothing to heal from. `killed`: stopped by
 * kill -9, and not in order.
 */
async function afterDamage(
  damage: (node: ClusterNode) => string,
  options: { healing?: boolean; killed?: boolean } = {},
): Promise<void> {
  await cluster().whole();
  const [node] = await cluster().followers();
  assert.ok(node);
  await (options.killed ? node.kill() : node.stop());
  const restore = keepCopy(node, copies);
  try {
    await assertRefusesOrHeals(node, damage(node), options.healing ?? true);
  } finally {
    // What refused has done nothing since, so its files of before are still its own.
    if (!node.isRunning) {
      restore();
      node.start();
    }
  }
  await cluster().whole();
  await cluster().assertSameState();
}

async function assertRefusesOrHeals(
  node: ClusterNode,
  file: string,
  healing: boolean,
): Promise<void> {
  node.start();
  await until(`node ${node.id} refuses or heals`, formationMs, async () => {
    if (!node.isRunning) return true;
    await assertNotWrong(node, rows / 2);
    return (await node.isReady()) && (await node.status()).appliedIndex > 0;
  });
  // What is checked in passing must be found in passing: rows are read while it may go on.
  for (let row = 0; row < rows && node.isRunning; row += 7) await assertNotWrong(node, row);
  if (node.isRunning) {
    assert.ok(healing, `node ${node.id} serves although ${file} is damaged`);
    return;
  }
  assertRefusal(node, file);
  for (const other of cluster().running) await other.mustPut("meanwhile", basename(file));
}

scenario("a bit in the middle of the log", async () => {
  await afterDamage((node) => {
    const [file = ""] = filesOf(node, logFile);
    flip(file, Math.floor(usedBytes(file) / 2));
    return file;
  });
});

scenario("a bit in the first bytes of the log", async () => {
  await afterDamage((node) => {
    const file = filesOf(node, logFile).sort()[0] ?? "";
    flip(file, 1);
    return file;
  });
});

for (const killed of [false, true]) {
  scenario(
    `a bit in the last entry of the log of a ${killed ? "killed" : "stopped"} node`,
    async () => {
      const last = `the last value before ${killed ? "a kill" : "a stop"}`;
      await cluster().node(1).mustPut("last", last);
      await cluster().assertSameState();
      const flipLast = (node: ClusterNode): string => {
        const file = filesOf(node, logFile).sort().at(-1) ?? "";
        const [offset = 0] = offsetsOf(file, last);
        assert.ok(offset > 0, "the log holds the value as it is");
        flip(file, offset);
        return file;
      };
      await afterDamage(flipLast, { killed });
      for (const node of cluster().nodes) assert.is((await node.get("last")).text, last);
    },
  );
}

scenario("a log cut in the middle", async () => {
  await afterDamage((node) => {
    const [file = ""] = filesOf(node, logFile);
    cut(file, Math.floor(usedBytes(file) / 2));
    return file;
  });
});

scenario("a log file that is gone", async () => {
  await afterDamage((node) => {
    const [file = ""] = filesOf(node, logFile);
    rmSync(file);
    // Which files there should be is what is lost with them.
    return dirname(file);
  });
});

scenario("a hard state of which nothing is left", async () => {
  await afterDamage(
    (node) => {
      const [file = ""] = filesOf(node, hardStateFile);
      flipAll(file);
      return file;
    },
    { healing: false },
  );
});

scenario("a hard state that is gone", async () => {
  await afterDamage(
    (node) => {
      const [file = ""] = filesOf(node, hardStateFile);
      rmSync(file);
      return file;
    },
    { healing: false },
  );
});

scenario("a database whose first page is nonsense", async () => {
  await afterDamage((node) => {
    const [file = ""] = filesOf(node, databaseFile);
    flipAll(file, 0, 100);
    return file;
  });
});

scenario("a database with a row changed", async () => {
  await afterDamage((node) => {
    const [file = ""] = filesOf(node, databaseFile);
    const changed = [rows / 2, 7, 14].flatMap((row) =>
      offsetsOf(file, `value-${row}-`).map((offset) => offset + 20),
    );
    assert.ok(changed.length > 0, "the rows stand in the database as they are");
    flip(file, ...changed);
    return file;
  });
});

scenario("a database that is gone", async () => {
  await afterDamage((node) => {
    const [file = ""] = filesOf(node, databaseFile);
    rmSync(file);
    rmSync(`${file}-wal`, { force: true });
    rmSync(`${file}-shm`, { force: true });
    return file;
  });
});

scenario(
  "a node that lost synced entries does not vote others' acknowledged writes away",
  async (scope) => {
    const fresh = await Cluster.start(scope);
    await fresh.node(1).mustPut("early", "x");
    const [absent, damaged] = await fresh.followers();
    assert.ok(absent && damaged);
    const third = await fresh.leader();
    await absent.kill();
    for (let row = 0; row < 50; row++) await third.mustPut(`late-${row}`, valueOf(row));
    await fresh.assertSameState();
    await Promise.all([third.kill(), damaged.kill()]);
    const file = filesOf(damaged, logFile).sort().at(-1) ?? "";
    const [offset = 0] = offsetsOf(file, "value-10-");
    assert.ok(offset > 0, "the log holds the value as it is");
    cut(file, offset);
    // Together these two would be a majority that knows nothing of the later writes.
    for (const node of [absent, damaged]) node.start();
    await throughout(5_000, async () => {
      for (const node of fresh.running) {
        const answer = await node.get("late-49").catch((error: unknown) => {
          if (error instanceof NoAnswer) return null;
          throw error;
        });
        if (answer?.status === 200) assert.is(answer.text, valueOf(49));
        else assert.is.not(answer?.status, 404, `node ${node.id} has voted the write away`);
      }
    });
    third.start();
    await fresh.leader(formationMs);
    for (let row = 0; row < 50; row++) {
      assert.is((await third.get(`late-${row}`)).text, valueOf(row));
    }
  },
);

test.run();
