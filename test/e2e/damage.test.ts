/**
 * Damaged files: the node heals while the others serve, or refuses and names the file. It never serves
 * what is wrong, and never votes on what it has lost.
 */

import { existsSync, readFileSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
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
      else assert.is.not(answer.status, 404, `row ${row} is not there, ${level}`);
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
    }
  }
}

function assertRefusal(node: ClusterNode, file: string): void {
  const { process } = node;
  const told = `${JSON.stringify(process.ending)}\n${process.stderr}`;
  assert.is(process.ending?.code, damagedExitCode, told);
  assertTold(node, file);
  assert.not.match(process.stderr, /^\s+at /m);
}

function assertTold(node: ClusterNode, file: string): void {
  const naming = node.process.errorLines.filter((line) => line.includes(file));
  assert.ok(naming.length > 0, `names ${file}: ${node.process.stderr}`);
}

/**
 * Stops a follower, damages it and starts it. It must come back equal to the others without anybody's
 * help, and say what was damaged; `isSeen: false` where nothing shows that there was damage. `killed`:
 * stopped by kill -9, and not in order. `before` comes just before it is stopped.
 */
async function healsAfter(
  damage: (node: ClusterNode) => string,
  options: {
    isSeen?: boolean;
    killed?: boolean;
    before?: (node: ClusterNode) => Promise<unknown>;
  } = {},
): Promise<void> {
  await cluster().whole();
  const [node] = await cluster().followers();
  assert.ok(node);
  await options.before?.(node);
  await (options.killed ? node.kill() : node.stop());
  const file = damage(node);
  node.start();
  const others = cluster().nodes.filter((other) => other !== node);
  for (const other of others) await other.mustPut("meanwhile", basename(file));
  await until(`node ${node.id} is whole`, formationMs, async () => {
    assert.ok(node.isRunning, `node ${node.id} has ended: ${node.process.stderr}`);
    await assertNotWrong(node, rows / 2);
    return isWhole(node);
  });
  // What is checked in passing must be found in passing: rows are read while it goes on.
  for (let row = 0; row < rows; row += 7) await assertNotWrong(node, row);
  await until(`node ${node.id} is whole again`, formationMs, () => isWhole(node));
  if (options.isSeen ?? true) assertTold(node, file);
  for (let row = 0; row < rows; row += 7) assert.is((await node.get(`row-${row}`)).status, 200);
  await cluster().assertSameState();
  await assertVotes(node);
}

async function isWhole(node: ClusterNode): Promise<boolean> {
  const { mending, appliedIndex } = await node.status();
  return mending === null && appliedIndex > 0 && (await node.isReady());
}

/** One of the others is killed: there is no leader without the vote of `node`. */
async function assertVotes(node: ClusterNode): Promise<void> {
  const leader = await cluster().leader();
  const other = cluster().nodes.find((each) => each !== node && each !== leader);
  const killed = leader === node ? other : leader;
  assert.ok(killed);
  await killed.kill();
  await cluster().leader(formationMs);
  await node.mustPut("voted", `${node.id}`);
  killed.start();
  await cluster().whole();
}

/** The same for damage that nobody can mend: it must refuse, and the others go on. */
async function refusesAfter(damage: (node: ClusterNode) => string): Promise<void> {
  await cluster().whole();
  const [node] = await cluster().followers();
  assert.ok(node);
  await node.stop();
  const restore = keepCopy(node, copies);
  const file = damage(node);
  node.start();
  await until(`node ${node.id} refuses`, formationMs, () => !node.isRunning);
  assertRefusal(node, file);
  for (const other of cluster().running) await other.mustPut("meanwhile", basename(file));
  // It has done nothing since, so its files of before are still its own.
  restore();
  node.start();
  await cluster().whole();
  await cluster().assertSameState();
}

scenario("a bit in the middle of the log", async () => {
  await healsAfter((node) => {
    const [file = ""] = filesOf(node, logFile);
    flip(file, Math.floor(usedBytes(file) / 2));
    return file;
  });
});

scenario("a bit in the first bytes of the log", async () => {
  await healsAfter((node) => {
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
      await healsAfter(flipLast, { killed });
      for (const node of cluster().nodes) assert.is((await node.get("last")).text, last);
    },
  );
}

scenario("a log cut in the middle", async () => {
  await healsAfter((node) => {
    const [file = ""] = filesOf(node, logFile);
    cut(file, Math.floor(usedBytes(file) / 2));
    return file;
  });
});

scenario("a log file that is gone", async () => {
  await healsAfter((node) => {
    const [file = ""] = filesOf(node, logFile);
    rmSync(file);
    // Which files there should be is what is lost with them.
    return dirname(file);
  });
});

scenario("a hard state of which nothing is left", async () => {
  await refusesAfter((node) => {
    const [file = ""] = filesOf(node, hardStateFile);
    flipAll(file);
    return file;
  });
});

scenario("a hard state that is gone", async () => {
  await refusesAfter((node) => {
    const [file = ""] = filesOf(node, hardStateFile);
    rmSync(file);
    return file;
  });
});

scenario("a database whose first page is nonsense", async () => {
  await healsAfter((node) => {
    const [file = ""] = filesOf(node, databaseFile);
    flipAll(file, 0, 100);
    return file;
  });
});

scenario("a database with a row changed", async () => {
  await healsAfter((node) => {
    const [file = ""] = filesOf(node, databaseFile);
    const changed = [rows / 2, 7, 14].flatMap((row) =>
      offsetsOf(file, `value-${row}-`).map((offset) => offset + 20),
    );
    assert.ok(changed.length > 0, "the rows stand in the database as they are");
    flip(file, ...changed);
    return file;
  });
});

scenario("a database with a key changed, that nobody asks for", async () => {
  await cluster().whole();
  const [node] = await cluster().followers();
  assert.ok(node);
  await node.stop();
  const [file = ""] = filesOf(node, databaseFile);
  const [offset = 0] = offsetsOf(file, "row-55value-55-");
  assert.ok(offset > 0, "key and value stand side by side");
  flip(file, offset + 5);
  node.start();
  await until("it finds it", formationMs, () => {
    assertTold(node, file);
    return true;
  });
  await until("it is whole", formationMs, () => isWhole(node));
  assert.is((await node.get("row-55", "local")).text, valueOf(55));
  await cluster().assertSameState();
});

scenario("a database that is gone", async () => {
  const remove = (node: ClusterNode): string => {
    const [file = ""] = filesOf(node, databaseFile);
    rmSync(file);
    rmSync(`${file}-wal`, { force: true });
    rmSync(`${file}-shm`, { force: true });
    return file;
  };
  await healsAfter(remove);
});

scenario("a write-ahead log of the database with nonsense in it", async () => {
  const walOf = (node: ClusterNode): string => filesOf(node, /-wal$/)[0] ?? "";
  await healsAfter(
    (node) => {
      const file = walOf(node);
      const middle = Math.floor(statSync(file).size / 2);
      flipAll(file, middle, middle + 100);
      return file;
    },
    {
      killed: true,
      // A checkpoint in a quiet moment empties it.
      before: (node) =>
        until("there is something in it", formationMs, async () => {
          for (let row = 0; row < 30; row++) await node.mustPut(`row-${row}`, valueOf(row));
          return statSync(walOf(node)).size > 1_000;
        }),
      // What SQLite leaves out is applied again.
      isSeen: false,
    },
  );
});

scenario("a log directory that is gone", async () => {
  await healsAfter((node) => {
    const directory = dirname(filesOf(node, logFile)[0] ?? "");
    rmSync(directory, { recursive: true });
    return directory;
  });
});

scenario("damage in log and database at once", async () => {
  await healsAfter((node) => {
    const [log = ""] = filesOf(node, logFile);
    flip(log, Math.floor(usedBytes(log) / 2));
    const [database = ""] = filesOf(node, databaseFile);
    flipAll(database, 0, 100);
    return database;
  });
});

scenario("a leader that is damaged comes back as a follower", async () => {
  await cluster().whole();
  const leader = await cluster().leader();
  await leader.kill();
  const [file = ""] = filesOf(leader, logFile);
  flip(file, Math.floor(usedBytes(file) / 2));
  leader.start();
  await until("it is whole", formationMs, () => isWhole(leader));
  for (let row = 0; row < rows; row += 7) {
    assert.is((await leader.get(`row-${row}`)).text, valueOf(row));
  }
  await cluster().assertSameState();
});

scenario("with all logs damaged, the nodes wait and say what to do", async (scope) => {
  const lost = await Cluster.start(scope);
  for (let row = 0; row < 20; row++) await lost.node(1).mustPut(`row-${row}`, valueOf(row));
  await lost.assertSameState();
  await lost.killAll();
  const restores = lost.nodes.map((node) => keepCopy(node, scope.temporaryDirectory()));
  for (const node of lost.nodes) {
    const [file = ""] = filesOf(node, logFile);
    flip(file, offsetsOf(file, "value-19-").at(-1) ?? 0);
  }
  lost.startAll();
  await throughout(4_000, async () => {
    for (const node of lost.nodes) {
      const status = await node.status().catch(() => null);
      assert.ok(node.isRunning);
      assert.is(status?.leaderId ?? null, null);
    }
  });
  for (const node of lost.nodes) {
    assert.ok((await node.status()).mending?.log);
    assert.match(node.process.stderr, /directories of all nodes from copies/);
    const answer = await node.get("row-1");
    assert.is(answer.status, 503);
    assert.match(answer.text, /lost log entries/);
  }
  await lost.killAll();
  for (const restore of restores.slice(1)) restore();
  lost.startAll();
  await lost.whole();
  await until("the first is whole", formationMs, () => isWhole(lost.node(1)));
  for (const node of lost.nodes) assert.is((await node.get("row-19")).text, valueOf(19));
});

scenario("a single node with a damaged log refuses and touches nothing", async (scope) => {
  const alone = await Cluster.start(scope, { size: 1 });
  const node = alone.node(1);
  await node.mustPut("k", valueOf(1));
  await node.kill();
  const [file = ""] = filesOf(node, logFile);
  flip(file, offsetsOf(file, "value-1-")[0] ?? 0);
  const before = readFileSync(file);
  node.start();
  await until("it refuses", formationMs, () => !node.isRunning);
  assertRefusal(node, file);
  assert.match(node.process.stderr, /restore a backup/);
  assert.ok(readFileSync(file).equals(before));
  assert.not.ok(existsSync(join(dirname(dirname(file)), "mending")));
});

scenario("a single node makes a damaged database anew from its log", async (scope) => {
  const alone = await Cluster.start(scope, { size: 1 });
  const node = alone.node(1);
  for (let row = 0; row < 20; row++) await node.mustPut(`row-${row}`, valueOf(row));
  await node.stop();
  const [file = ""] = filesOf(node, databaseFile);
  flipAll(file, 0, 100);
  node.start();
  await until("it is whole", formationMs, () => isWhole(node));
  for (let row = 0; row < 20; row++) assert.is((await node.get(`row-${row}`)).text, valueOf(row));
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
    const [offset = 0] = offsetsOf(file, "value-0-");
    assert.ok(offset > 0, "the log holds the value as it is");
    flip(file, offset);
    // Otherwise it would still know from there what it has lost.
    rmSync(filesOf(damaged, databaseFile)[0] ?? "");
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
