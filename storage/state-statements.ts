/** How the state's database is set up, and every statement that is run on it again and again. */

import { isIndexed, makeShrinkable, prepareSaveMeta } from "./state-schema.ts";
import type { SqliteDatabase } from "./sqlite/port.ts";

/**
 * The page cache. Changed pages beyond it go to the write-ahead log before the end of a transaction, whose
 * last step, in which the loop stands still, so has less to do; what is read again comes from the system's
 * own cache, at no more cost than can be measured.
 */
const cacheKib = 4 << 10;

export function configure(database: SqliteDatabase): void {
  // Nobody else may read along: a foreign reader would keep our checkpoints from being complete. It
  // also keeps the index of the write-ahead log in memory instead of in a shared file, for which a full
  // disk has no room. So it comes before whatever looks into the file.
  database.exec("PRAGMA locking_mode = EXCLUSIVE");
  database.exec("PRAGMA busy_timeout = 0");
  makeShrinkable(database);
  database.prepare("PRAGMA journal_mode = WAL").get();
  // What a power loss takes from the write-ahead log is applied again from the Raft log.
  database.exec("PRAGMA synchronous = NORMAL");
  database.prepare("PRAGMA wal_autocheckpoint = 0").get();
  // A transaction that begins the log anew cuts off what is behind it: the file's size tells what it holds.
  database.prepare("PRAGMA journal_size_limit = 0").get();
  database.exec(`PRAGMA cache_size = -${cacheKib}`);
  database.prepare("PRAGMA mmap_size = 0").get();
  database.exec("PRAGMA cell_size_check = ON");
}

export function prepareStatements(database: SqliteDatabase) {
  const columns = "content_type, create_revision, revision, checksum, expires_ms, lease";
  // All of them: a row that went and came again in one transaction has another creation.
  const update = `UPDATE kv SET value = ?, ${columns.replaceAll(",", " = ?,")} = ?`;
  const hasRowids = isIndexed(database);
  // Forward it goes on behind the key in the middle, and backward below the one at the end.
  const scan = (value: string) => ({
    forward: database.prepare(
      `SELECT key, ${value}, ${columns} FROM kv WHERE key >= ? AND key <> ? AND key < ?
       ORDER BY key LIMIT ?`,
    ),
    backward: database.prepare(
      `SELECT key, ${value}, ${columns} FROM kv WHERE key >= ? AND key < ?
       ORDER BY key DESC LIMIT ?`,
    ),
  });
  return {
    begin: database.prepare("BEGIN IMMEDIATE"),
    commit: database.prepare("COMMIT"),
    rollBack: database.prepare("ROLLBACK"),
    saveMeta: prepareSaveMeta(database),
    get: database.prepare(`SELECT key, value, ${columns} FROM kv WHERE key = ?`),
    getVersion: database.prepare(
      `SELECT create_revision, revision, checksum, ${hasRowids ? "rowid" : "0"} AS rowid
       FROM kv WHERE key = ?`,
    ),
    insert: database.prepare(
      `INSERT INTO kv (value, ${columns}, key) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    update: database.prepare(`${update} WHERE key = ?`),
    // At less cost: the index need not be asked.
    updateByRowid: hasRowids ? database.prepare(`${update} WHERE rowid = ? AND key = ?`) : null,
    delete: database.prepare("DELETE FROM kv WHERE key = ?"),
    deadlines: database.prepare(
      `SELECT key, expires_ms FROM kv WHERE expires_ms IS NOT NULL
         AND (expires_ms, key) > (?, ?) ORDER BY expires_ms, key LIMIT 1000`,
    ),
    leased: database.prepare(
      `SELECT key, lease FROM kv WHERE lease IS NOT NULL
         AND (lease, key) > (?, ?) ORDER BY lease, key LIMIT 1000`,
    ),
    scanRows: scan("value"),
    scanKeys: scan("x'' AS value"),
    copyLog: database.prepare("PRAGMA main.wal_checkpoint(PASSIVE)"),
    cutLog: database.prepare("PRAGMA main.wal_checkpoint(TRUNCATE)"),
  };
}

export type Statements = ReturnType<typeof prepareStatements>;
