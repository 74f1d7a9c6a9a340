/** The lock of a node's directory, against this process and against another one. */

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { DirectoryLock } from "../../storage/directory-lock.ts";
import { loadSqlite } from "../../storage/sqlite/open.ts";
import { SqliteError } from "../../storage/sqlite/port.ts";

const driver = await loadSqlite();
const holderPath = fileURLToPath(new URL("lock-holder.ts", import.meta.url));

async function withDirectory(run: (directory: string) => void | Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "kv-lock-"));
  try {
    await run(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function locked(directory: string): DirectoryLock {
  const lock = DirectoryLock.acquire(driver, directory);
  if (lock === null) throw new Error("the lock is held");
  return lock;
}

/** Starts another process on this runtime and waits for what it says of the lock. */
async function startHolder(
  directory: string,
  ...user: "nobody"[]
): Promise<{ child: ChildProcess; said: string }> {
  const isDeno = process.versions["deno"] !== undefined;
  const args = [...(isDeno ? ["run", "--allow-all"] : []), holderPath, directory, ...user];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const said = await new Promise<string>((resolve, reject) => {
    child.stdout?.once("data", (data: Uint8Array) => resolve(String(data).trim()));
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the other process ended with ${code}`)));
  });
  return { child, said };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

test("a locked directory is held against a second lock in the same process", async () => {
  await withDirectory((directory) => {
    const lock = locked(directory);
    assert.is(DirectoryLock.acquire(driver, directory), null);
    lock.release();
  });
});

test("a released lock can be taken again at once", async () => {
  await withDirectory((directory) => {
    locked(directory).release();
    locked(directory).release();
  });
});

test("being refused does not weaken the lock", async () => {
  await withDirectory((directory) => {
    const lock = locked(directory);
    for (let i = 0; i < 3; i++) assert.is(DirectoryLock.acquire(driver, directory), null);
    lock.release();
  });
});

test("the lock is one file and does not touch its neighbours", async () => {
  await withDirectory((directory) => {
    const lock = locked(directory);
    assert.equal(readdirSync(directory), ["lock"]);
    lock.release();
  });
});

test("a lock file that is no file of ours is an error and not a free lock", async () => {
  await withDirectory((directory) => {
    writeFileSync(join(directory, "lock"), "somebody else's notes. ".repeat(100));
    assert.throws(
      () => DirectoryLock.acquire(driver, directory),
      (error: unknown) => error instanceof SqliteError && error.isDamage,
    );
    assert.ok(existsSync(join(directory, "lock")));
  });
});

test("another process is kept out", async () => {
  await withDirectory(async (directory) => {
    const lock = locked(directory);
    const { child, said } = await startHolder(directory);
    await kill(child);
    assert.is(said, "held");
    lock.release();
  });
});

test("a lock file that may be read and not written is refused, and not taken for a lock", async () => {
  await withDirectory(async (directory) => {
    locked(directory).release();
    chmodSync(directory, 0o755);
    chmodSync(join(directory, "lock"), 0o444);
    const { child, said } = await startHolder(directory, "nobody");
    await kill(child);
    assert.is(said, "SQLITE_READONLY");
  });
});

test("kill -9 of the holder frees the lock", async () => {
  await withDirectory(async (directory) => {
    const { child, said } = await startHolder(directory);
    try {
      assert.is(said, "locked");
      assert.is(DirectoryLock.acquire(driver, directory), null);
    } finally {
      await kill(child);
    }
    locked(directory).release();
  });
});

test("who may only read sees whether it is held", async () => {
  await withDirectory((directory) => {
    const lock = locked(directory);
    assert.is(DirectoryLock.isHeld(driver, directory), true);
    lock.release();
    assert.is(DirectoryLock.isHeld(driver, directory), false);
  });
});

test.run();
