/** A quota that is used up is a full disk, to the log and to the database. */

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isFullDisk } from "../../storage/disk.ts";
import { diskError } from "../../storage/node-disk.ts";
import { asSqliteError, SqliteError } from "../../storage/sqlite/port.ts";

const message = "disk quota exceeded, write";

test("a write beyond the quota finds no room, and a sync beyond it is a failed sync", () => {
  const written = diskError("f", "write", { code: "EDQUOT", message });
  assert.ok(isFullDisk(written));
  assert.match(written.message, message);
  assert.not(isFullDisk(diskError("f", "fdatasync", { code: "EDQUOT", message })));
  assert.not(isFullDisk(diskError("f", "write", { code: "EIO", message })));
});

test("a failed write of the database finds no room where the quota is used up, and else is an error", () => {
  const failed = Object.assign(new Error("disk I/O error"), { code: "SQLITE_IOERR_WRITE" });
  const isFull = (isQuotaReached?: () => boolean, path = "f"): boolean => {
    const error = asSqliteError(path, failed, isQuotaReached);
    assert.instance(error, SqliteError);
    return (error as SqliteError).isFull;
  };
  assert.ok(isFull(() => true));
  assert.not(isFull(() => false));
  const directory = mkdtempSync(join(tmpdir(), "kv-quota-"));
  try {
    assert.not(isFull(undefined, join(directory, "state.sqlite")), "there is room here");
    assert.equal(readdirSync(directory), []);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test.run();
