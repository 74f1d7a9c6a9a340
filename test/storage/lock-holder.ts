/** Locks the directory it is given, says so, and stays until it is killed. */

import { DirectoryLock } from "../../storage/directory-lock.ts";
import { loadSqlite } from "../../storage/sqlite/open.ts";

const lock = DirectoryLock.acquire(await loadSqlite(), process.argv[2] ?? "");
process.stdout.write(lock === null ? "held\n" : "locked\n");
// Holds the process longer than any test takes, and the lock from being collected as garbage.
if (lock !== null) {
  setTimeout(() => {
    lock.release();
    process.exit(1);
  }, 60_000);
}
