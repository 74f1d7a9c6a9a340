/**
 * Locks the directory it is given, says so, and stays until it is killed. A superuser who is told to be
 * `nobody` is, from before it looks at the directory.
 */

import { DirectoryLock } from "../../storage/directory-lock.ts";
import { loadSqlite } from "../../storage/sqlite/open.ts";
import { SqliteError } from "../../storage/sqlite/port.ts";

const [, , directory = "", user] = process.argv;
const driver = await loadSqlite();
if (user === "nobody" && process.getuid?.() === 0) process.setuid?.(65_534);

function take(): DirectoryLock | null {
  try {
    return DirectoryLock.acquire(driver, directory);
  } catch (error) {
    if (!(error instanceof SqliteError)) throw error;
    process.stdout.write(`${error.code}\n`);
    process.exit(0);
  }
}

const lock = take();
process.stdout.write(lock === null ? "held\n" : "locked\n");
// Holds the process longer than any test takes, and the lock from being collected as garbage.
if (lock !== null) {
  setTimeout(() => {
    lock.release();
    process.exit(1);
  }, 60_000);
}
